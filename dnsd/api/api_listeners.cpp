#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.hpp"
#include "base/log.hpp"
#include "dnsd/api/api_server.hpp"
#include "dnsd/net/port_holder.hpp"

namespace countersign::dnsd {
namespace {

using base::Descriptor;
using base::ErrorCode;
using base::Result;
using base::SocketAddress;

// Connections that wait for accept(); the kernel's own limit is lower or equal.
constexpr int kBacklog = 4096;

bool set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

tl::unexpected<base::Error> bind_failure(const SocketAddress& address, int number) {
  std::string what = fmt::format("cannot bind {}/tcp for the API", address.text());
  switch (number) {
    case EADDRINUSE: {
      std::optional<PortHolder> holder = find_port_holder(address, Transport::Tcp);
      if (!holder)
        return base::fail(ErrorCode::Exists, "{}: in use by another process; stop it or set api.listen", what);
      if (holder->pid == getpid())
        return base::fail(ErrorCode::Exists,
                          "{}: api.listen names it, or all addresses, twice, or dns.listen has it; remove one", what);
      return base::fail(ErrorCode::Exists, "{}: in use by {} (pid {}); stop it or set api.listen", what,
                        holder->program, holder->pid);
    }
    case EACCES:
    case EPERM:
      return base::fail(ErrorCode::Denied, "{}: not permitted; start countersignd as root or with CAP_NET_BIND_SERVICE",
                        what);
    case EADDRNOTAVAIL:
      return base::fail(ErrorCode::Io, "{}: this machine does not have the address; add it or set api.listen", what);
    case EAFNOSUPPORT:
      return base::fail(ErrorCode::Io, "{}: this system has no IPv6; remove the address from api.listen", what);
    default:
      return base::fail(ErrorCode::Io, "{}: {}", what, base::system_reason(number));
  }
}

Result<Descriptor> bind_one(const SocketAddress& address) {
  Descriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  // V6ONLY: without it [::] would take IPv4's port too. REUSEADDR: a restart must not wait for the connections of the
  // last run to time out. NODELAY is inherited by what is accepted: answers go out in one write each.
  bool bound = socket && (address.family() != AF_INET6 || set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
               set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1) &&
               set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1) &&
               bind(socket.get(), address.data(), address.size()) == 0 && listen(socket.get(), kBacklog) == 0;
  if (!bound) return bind_failure(address, errno);
  return socket;
}

bool is_missing_ipv6(const SocketAddress& address) {
  if (address.family() != AF_INET6 || !address.is_wildcard()) return false;
  Descriptor probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return !probe && errno == EAFNOSUPPORT;
}

}  // namespace

Result<std::vector<Descriptor>> bind_api_listeners(const std::vector<SocketAddress>& addresses) {
  std::vector<Descriptor> sockets;
  for (const SocketAddress& address : addresses) {
    if (is_missing_ipv6(address)) {
      base::log::warn("this system has no IPv6, the API listens on IPv4 only", {{"left_out", address.text()}});
      continue;
    }
    auto socket = bind_one(address);
    if (!socket) return base::fail(socket.error());
    sockets.push_back(std::move(*socket));
  }
  if (sockets.empty() && !addresses.empty())
    return base::fail(ErrorCode::Invalid, "api.listen has no address that this system can use; add one");
  return sockets;
}

}  // namespace countersign::dnsd
