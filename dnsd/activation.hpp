// Sockets that the service manager opened and handed over (sd_listen_fds(3)), so that the daemon needs no privileges.
#pragma once

#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace countersign::dnsd {

struct ActivatedSockets {
  std::vector<base::Descriptor> udp;
  std::vector<base::Descriptor> tcp;  // listening
  base::Descriptor control;           // a listening Unix socket; none: the daemon binds its own
};

// Those of $LISTEN_FDS, when $LISTEN_PID is us; the variables are unset. All close on exec and do not block. Error:
// Invalid, with the socket that is none of the above, or the second control socket.
[[nodiscard]] base::Result<ActivatedSockets> take_activated_sockets();

// The same for given descriptors; `names` are for messages.
[[nodiscard]] base::Result<ActivatedSockets> sort_sockets(std::vector<base::Descriptor> sockets,
                                                          const std::vector<std::string>& names);

}  // namespace countersign::dnsd
