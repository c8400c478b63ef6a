// The sockets of dns.listen: bound before privileges are dropped, then handed to the workers and the TCP server.
#pragma once

#include <vector>

#include "base/descriptor.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::dnsd {

struct Listeners {
  std::vector<base::SocketAddress> addresses;      // as bound: port 0 became a real one, the same for UDP and TCP
  std::vector<std::vector<base::Descriptor>> udp;  // by worker
  std::vector<base::Descriptor> tcp;               // listening
};

// One UDP socket for each worker and one TCP socket at every address. An IPv6 wildcard is left out with a warning
// where the system has no IPv6. Error: Exists (the port is in use: the message names who holds it), Denied, Io.
[[nodiscard]] base::Result<Listeners> bind_listeners(const std::vector<base::SocketAddress>& listen, unsigned workers);

// The same of sockets that somebody else bound. All workers share each UDP socket: one that another user opened cannot
// be joined by SO_REUSEPORT. Warns of an address that has UDP without TCP or the reverse. Error: Io.
[[nodiscard]] base::Result<Listeners> share_listeners(std::vector<base::Descriptor> udp,
                                                      std::vector<base::Descriptor> tcp, unsigned workers);

}  // namespace countersign::dnsd
