// Where a challenge value belongs: the `_acme-challenge` chain of each name, followed through the configured resolver.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/issue/identifier.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme {

// A name's challenge, and where the CA looks for its value.
struct ChallengePlace {
  DnsIdentifier identifier;
  base::Name name;  // _acme-challenge.NAME; _LABEL._acme-challenge.NAME (dns-account-01), _validation-persist.NAME
  // The one name that it must lead to (a registration's); absent: any in a zone of the daemon.
  std::optional<base::Name> only{};
};
// Of dns-01, one for each.
[[nodiscard]] std::vector<ChallengePlace> dns01_places(const std::vector<DnsIdentifier>& identifiers);
// `labels` in front of the identifier's name without `*.`: "_validation-persist", "_abc._acme-challenge".
// Error: Invalid, when that is too long for a domain name.
[[nodiscard]] base::Result<ChallengePlace> place_of(const DnsIdentifier& identifier, std::string_view labels);

// One name's answer.
struct Delegation {
  DnsIdentifier identifier;        // as asked, with or without `*.`
  base::Name challenge_name;       // where the CA looks: ChallengePlace::name
  std::vector<base::Name> chain;   // challenge_name, then each CNAME target in turn
  base::Name target;               // the end of the chain
  std::optional<base::Name> zone;  // the daemon's zone that holds `target`; absent: the delegation is missing
  std::string problem;             // when `zone` is absent: what is wrong, in words
  // ... and the exact records to add, as master-file lines; "" when it is not a record that is missing.
  std::string remedy;
  // `zone` is set, but a person should look: the resolver cannot get an answer from the zone's name servers now.
  std::string warning;
};

// Follows all names at once. `zones`: the daemon's. `resolvers`: asked in turn when one does not answer (never empty).
// At most 11 CNAMEs are followed (as Let's Encrypt's resolvers do); a loop is a problem of that name.
// A name whose chain already ends inside a daemon's zone by its own text needs no answer for that last name: the end
// may not exist yet (NXDOMAIN is normal before the first issuance), and asking for it would fill the resolver's cache
// with "no" just before the CA asks. That the zone itself is delegated is checked, by its NS. `daemon_listen`: the
// daemon's own addresses; it is asked for the NS and addresses that a missing delegation needs in the parent zone.
// Error: Unavailable, Timeout (no resolver answers; says which and what to do), Interrupted.
[[nodiscard]] base::Result<std::vector<Delegation>> follow_delegations(
    const std::vector<ChallengePlace>& places, const std::vector<base::Name>& zones,
    const std::vector<base::SocketAddress>& resolvers, const std::vector<base::SocketAddress>& daemon_listen = {});

// The daemon's zone that challenges are best delegated to by CNAME: the first that is not itself the challenge zone of
// one name. Absent when there is none.
[[nodiscard]] std::optional<base::Name> preferred_zone(const std::vector<base::Name>& zones);

// The record that `countersign delegate` recommends: `_acme-challenge.NAME. IN CNAME NAME.ZONE.`; for the other types
// `LABEL.NAME.ZONE.` behind the same first label; ChallengePlace::only where there is one. Error: Invalid, when that is
// too long for a domain name.
[[nodiscard]] base::Result<std::string> recommended_record(const ChallengePlace& place, const base::Name& zone);

// `acme.resolver` of the configuration, else the nameserver lines of /etc/resolv.conf. Error: Invalid, NotFound.
[[nodiscard]] base::Result<std::vector<base::SocketAddress>> resolver_addresses(const std::string& configured);
// The nameserver lines of a resolv.conf(5); those that are not addresses (and scoped ones, fe80::1%eth0) are left out.
// As resolv.conf(5) says, none means that one runs on this machine.
[[nodiscard]] std::vector<base::SocketAddress> parse_resolv_conf(std::string_view text);

}  // namespace countersign::acme
