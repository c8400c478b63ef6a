// Who holds a port: what a person needs to know when it cannot be bound.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/socket_address.hpp"
#include "dnsd/answer/responder.hpp"

namespace countersign::dnsd {

struct PortHolder {
  pid_t pid = 0;
  std::string program;
};

// A process with a socket that keeps others from `address`: the same port on the same address, or on all of them.
// Empty when there is none, or it is another user's and we are not root.
[[nodiscard]] std::optional<PortHolder> find_port_holder(const base::SocketAddress& address, Transport transport);

}  // namespace countersign::dnsd
