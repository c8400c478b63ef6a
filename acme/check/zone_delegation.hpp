// Whether the daemon's zones are really delegated in the DNS, and the records that a missing delegation needs.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "acme/check/resolver.hpp"

namespace countersign::acme {

struct ZoneState {
  enum class Kind {
    Delegated,  // its NS come from the zone itself
    Unsure,     // the resolver gets no answer: a warning
    Broken,     // a CA gets no answer either: DNSSEC validation fails
    Missing,    // the parent zone has no delegation
    Alias,      // the DNS has a CNAME in its place
  };
  Kind kind = Kind::Delegated;
  std::string words;   // what is wrong; "" when delegated
  std::string remedy;  // records for the parent zone: NS and glue; "" unless missing
};

[[nodiscard]] std::map<base::Name, ZoneState> look_at_zones(const std::set<base::Name>& zones, dns::Resolver& resolver,
                                                            const std::vector<base::SocketAddress>& daemon_listen);

// The daemon's addresses as this machine can ask them: 0.0.0.0 and :: stand for loopback.
[[nodiscard]] std::vector<base::SocketAddress> askable(const std::vector<base::SocketAddress>& daemon_listen);

}  // namespace countersign::acme
