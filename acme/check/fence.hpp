// The fence before a trigger: every name server address of the zones asked for the values that were published.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "acme/control/daemon.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme {

struct FenceReport {
  std::vector<base::SocketAddress> asked;  // name server addresses that answered rightly
  std::vector<std::string> warnings;       // unreachable addresses, in words
  // How many answers were got for each name: so often it stands in the daemon's query stream because of us.
  std::map<base::Name, std::size_t> questions;
};

// Finds the NS set of each zone and its addresses through `resolvers`, then asks each address for each name over UDP
// (TCP on TC) until all values stand in its answer (a few tries within `patience`). `daemon_listen`: the daemon's own
// addresses; when no public address is reachable, one right answer from those is enough, with a warning.
// Error: Protocol (an address gives a wrong or incomplete answer: says which, what it said, what was expected),
// Unavailable (nobody answers).
[[nodiscard]] base::Result<FenceReport> await_visibility(const std::vector<TxtValue>& values,
                                                         const std::vector<base::Name>& zones,
                                                         const std::vector<base::SocketAddress>& resolvers,
                                                         const std::vector<base::SocketAddress>& daemon_listen,
                                                         std::chrono::milliseconds patience);

}  // namespace countersign::acme
