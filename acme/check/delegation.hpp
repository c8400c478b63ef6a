// Where a challenge value belongs: the `_acme-challenge` chain of each name, followed through the configured resolver.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/issue/identifier.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme {

// One name's answer.
struct Delegation {
  DnsIdentifier identifier;        // as asked, with or without `*.`
  base::Name challenge_name;       // _acme-challenge.NAME
  std::vector<base::Name> chain;   // challenge_name, then each CNAME target in turn
  base::Name target;               // the end of the chain
  std::optional<base::Name> zone;  // the daemon's zone that holds `target`; absent: the delegation is missing
  std::string problem;             // when `zone` is absent: what is wrong, in words
  std::string remedy;              // ... and the exact record to add, as one master-file line
};

// Follows all names at once. `zones`: the daemon's. `resolvers`: asked in turn when one does not answer (never empty).
// At most 11 CNAMEs are followed (as Let's Encrypt's resolvers do); a loop is a problem of that name.
// A name whose chain already ends inside a daemon's zone by its own text needs no answer for that last name: the end
// may not exist yet (NXDOMAIN is normal before the first issuance). Error: Unavailable, Timeout (no resolver answers;
// says which and what to do).
[[nodiscard]] base::Result<std::vector<Delegation>> follow_delegations(
    const std::vector<DnsIdentifier>& identifiers, const std::vector<base::Name>& zones,
    const std::vector<base::SocketAddress>& resolvers);

// The record that `countersign delegate` recommends: `_acme-challenge.NAME. IN CNAME NAME.ZONE.`
// Error: Invalid, when NAME.ZONE is too long for a domain name.
[[nodiscard]] base::Result<std::string> recommended_record(const DnsIdentifier& identifier, const base::Name& zone);

// `acme.resolver` of the configuration, else the nameserver lines of /etc/resolv.conf. Error: Invalid, NotFound.
[[nodiscard]] base::Result<std::vector<base::SocketAddress>> resolver_addresses(const std::string& configured);

}  // namespace countersign::acme
