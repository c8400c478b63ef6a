#include "dnsd/net/listeners.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/files.hpp"
#include "base/log.hpp"
#include "dnsd/net/port_holder.hpp"

namespace countersign::dnsd {
namespace {

using base::Descriptor;
using base::ErrorCode;
using base::Result;
using base::SocketAddress;

// Bursts of queries wait here while the worker sleeps; at 4 MB the losses in bursts ended.
constexpr int kReceiveBuffer = 4 << 20;
constexpr int kSendBuffer = 1 << 20;
// TCP connections that wait for accept(); the kernel's own limit is lower or equal.
constexpr int kBacklog = 4096;
// With port 0 the port that UDP got may be taken for TCP.
constexpr int kPortAttempts = 50;

enum class Sharing { Alone, Shared };

bool set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

tl::unexpected<base::Error> bind_failure(const SocketAddress& address, Transport transport, int number) {
  const char* protocol = transport == Transport::Udp ? "udp" : "tcp";
  std::string what = fmt::format("cannot bind {}/{}", address.text(), protocol);
  switch (number) {
    case EADDRINUSE: {
      std::optional<PortHolder> holder = find_port_holder(address, transport);
      if (!holder)
        return base::fail(ErrorCode::Exists, "{}: in use by another process; stop it or set dns.listen", what);
      if (holder->pid == getpid())
        return base::fail(ErrorCode::Exists, "{}: dns.listen names it, or all addresses, twice; remove one", what);
      return base::fail(ErrorCode::Exists, "{}: in use by {} (pid {}); stop it or set dns.listen", what,
                        holder->program, holder->pid);
    }
    case EACCES:
    case EPERM:
      return base::fail(ErrorCode::Denied, "{}: not permitted; start countersignd as root or with CAP_NET_BIND_SERVICE",
                        what);
    case EADDRNOTAVAIL:
      return base::fail(ErrorCode::Io, "{}: this machine does not have the address; add it or set dns.listen", what);
    case EAFNOSUPPORT:
      return base::fail(ErrorCode::Io, "{}: this system has no IPv6; remove the address from dns.listen", what);
    default:
      return base::fail(ErrorCode::Io, "{}: {}", what, base::system_reason(number));
  }
}

bool set_common_options(int fd, const SocketAddress& address) {
  // Without it [::] would take IPv4's port too, and 0.0.0.0 could not be bound beside it.
  return address.family() != AF_INET6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

int buffer_of(int fd, int option) {
  int octets = 0;
  socklen_t length = sizeof octets;
  return getsockopt(fd, SOL_SOCKET, option, &octets, &length) == 0 ? octets : 0;
}

// Only ever larger: the owner of a socket that was handed over may have given it more than we are allowed to.
void raise_buffer(int fd, int forced, int option, int octets) {
  // The kernel tells twice what was asked for (socket(7)).
  if (buffer_of(fd, option) / 2 >= octets) return;
  // The forced form goes beyond rmem_max and needs CAP_NET_ADMIN; without it we take what we get.
  if (set_option(fd, SOL_SOCKET, forced, octets)) return;
  // What that would be, another socket tells (of a family that every sandbox leaves us).
  Descriptor probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  bool asked = probe && set_option(probe.get(), SOL_SOCKET, option, octets);
  if (asked && buffer_of(probe.get(), option) > buffer_of(fd, option)) set_option(fd, SOL_SOCKET, option, octets);
}

bool set_udp_options(int fd, const SocketAddress& address) {
  bool v4 = address.family() == AF_INET;
  // RFC 9715 §3.1: no fragments. PROBE sets DF on IPv4 and takes no notice of what (perhaps forged) "packet too big"
  // messages claim; OMIT would let the kernel fragment on a small interface, and costs it an IP id for each packet.
  bool ok = v4 ? set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
               : set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  if (address.is_wildcard())
    ok = ok && (v4 ? set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) : set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
  raise_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, kReceiveBuffer);
  raise_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, kSendBuffer);
  return ok;
}

Result<Descriptor> bind_udp(const SocketAddress& address, Sharing sharing) {
  Descriptor socket(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
  // The first socket is bound alone, so that a second countersignd of the same user fails here, instead of silently
  // taking a part of the queries; only then it is opened to the other workers' sockets.
  if (!socket || !set_common_options(socket.get(), address) || !set_udp_options(socket.get(), address) ||
      (sharing == Sharing::Shared && !set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1)) ||
      bind(socket.get(), address.data(), address.size()) != 0 || !set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1))
    return bind_failure(address, Transport::Udp, errno);
  return socket;
}

Result<Descriptor> bind_tcp(const SocketAddress& address) {
  Descriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  // SO_REUSEADDR: a restart must not wait for the connections of the last run to time out. A port that is listened on
  // stays refused. NODELAY is inherited by what is accepted: answers go out in one write each.
  if (!socket || !set_common_options(socket.get(), address) || !set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1) ||
      !set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1) ||
      bind(socket.get(), address.data(), address.size()) != 0 || listen(socket.get(), kBacklog) != 0)
    return bind_failure(address, Transport::Tcp, errno);
  return socket;
}

Result<SocketAddress> local_address(const Descriptor& socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0)
    return base::fail(ErrorCode::Io, "cannot read a socket's address: {}", base::system_reason(errno));
  return SocketAddress::from(reinterpret_cast<const sockaddr*>(&storage), length);
}

struct Pair {
  SocketAddress address;
  Descriptor udp;
  Descriptor tcp;
};

Result<Pair> bind_pair(const SocketAddress& wanted) {
  for (int attempt = 1;; ++attempt) {
    Pair pair;
    auto udp = bind_udp(wanted, Sharing::Alone);
    if (!udp) return base::fail(udp.error());
    auto address = local_address(*udp);
    if (!address) return base::fail(address.error());
    auto tcp = bind_tcp(*address);
    if (tcp) {
      pair.address = *address;
      pair.udp = std::move(*udp);
      pair.tcp = std::move(*tcp);
      return pair;
    }
    if (wanted.port() != 0 || tcp.error().code != ErrorCode::Exists || attempt == kPortAttempts)
      return base::fail(tcp.error());
  }
}

// As far as the kernel lets us: the owner may have set all of this, and what is missing costs an answer in rare cases
// only.
void adopt_udp(const Descriptor& socket, const SocketAddress& address) {
  // What the owner wants to be told with each packet would stand where we look for the packet's destination.
  for (int option : {SO_TIMESTAMP, SO_TIMESTAMPNS, SO_RXQ_OVFL}) set_option(socket.get(), SOL_SOCKET, option, 0);
  for (int option : {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVOPTS}) set_option(socket.get(), IPPROTO_IP, option, 0);
  if (address.family() == AF_INET6)
    for (int option : {IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS}) set_option(socket.get(), IPPROTO_IPV6, option, 0);
  if (!set_udp_options(socket.get(), address))
    base::log::warn("cannot set all options of a socket that was handed over",
                    {{"address", address.text()}, {"reason", base::system_reason(errno)}});
  // [::] that takes IPv4 as well sends its packets by IPv4's rules.
  if (address.family() == AF_INET6) set_option(socket.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

Result<std::vector<SocketAddress>> addresses_of(const std::vector<Descriptor>& sockets) {
  std::vector<SocketAddress> addresses;
  for (const Descriptor& socket : sockets) {
    auto address = local_address(socket);
    if (!address) return base::fail(address.error());
    addresses.push_back(*address);
  }
  return addresses;
}

bool contains(const std::vector<SocketAddress>& addresses, const SocketAddress& wanted) {
  return std::ranges::find(addresses, wanted) != addresses.end();
}

void warn_of_missing(const std::vector<SocketAddress>& present, const std::vector<SocketAddress>& others,
                     const char* remedy) {
  for (const SocketAddress& address : present)
    if (!contains(others, address))
      base::log::warn("an address was handed over for one of UDP and TCP only; DNS needs both",
                      {{"address", address.text()}, {"add", fmt::format("{}{}", remedy, address.text())}});
}

void tell_small_buffer(const Listeners& listeners) {
  if (listeners.udp.empty() || listeners.udp[0].empty()) return;
  int octets = buffer_of(listeners.udp[0][0].get(), SO_RCVBUF) / 2;
  if (octets < kReceiveBuffer)
    base::log::info("the system allows a small receive buffer only; bursts of queries may be lost",
                    {{"octets", std::to_string(octets)},
                     {"remedy", fmt::format("sysctl net.core.rmem_max={}, or countersignd.socket", kReceiveBuffer)}});
}

bool is_missing_ipv6(const SocketAddress& address) {
  if (address.family() != AF_INET6 || !address.is_wildcard()) return false;
  Descriptor probe(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return !probe && errno == EAFNOSUPPORT;
}

}  // namespace

Result<Listeners> bind_listeners(const std::vector<SocketAddress>& listen, unsigned workers) {
  Listeners listeners;
  listeners.udp.resize(workers);
  for (const SocketAddress& wanted : listen) {
    if (is_missing_ipv6(wanted)) {
      base::log::warn("this system has no IPv6, listening on IPv4 only", {{"left_out", wanted.text()}});
      continue;
    }
    auto pair = bind_pair(wanted);
    if (!pair) return base::fail(pair.error());
    listeners.udp[0].push_back(std::move(pair->udp));
    listeners.tcp.push_back(std::move(pair->tcp));
    for (unsigned worker = 1; worker < workers; ++worker) {
      auto socket = bind_udp(pair->address, Sharing::Shared);
      if (!socket) return base::fail(socket.error());
      listeners.udp[worker].push_back(std::move(*socket));
    }
    listeners.addresses.push_back(pair->address);
  }
  if (listeners.addresses.empty())
    return base::fail(ErrorCode::Invalid, "dns.listen has no address that this system can use; add one");
  tell_small_buffer(listeners);
  return listeners;
}

Result<Listeners> share_listeners(std::vector<Descriptor> udp, std::vector<Descriptor> tcp, unsigned workers) {
  auto udp_addresses = addresses_of(udp), tcp_addresses = addresses_of(tcp);
  if (!udp_addresses) return base::fail(udp_addresses.error());
  if (!tcp_addresses) return base::fail(tcp_addresses.error());
  warn_of_missing(*udp_addresses, *tcp_addresses, "ListenStream=");
  warn_of_missing(*tcp_addresses, *udp_addresses, "ListenDatagram=");
  Listeners listeners;
  for (const auto& addresses : {*udp_addresses, *tcp_addresses})
    for (const SocketAddress& address : addresses)
      if (!contains(listeners.addresses, address)) listeners.addresses.push_back(address);
  listeners.udp.resize(workers);
  for (std::size_t i = 0; i < udp.size(); ++i) {
    adopt_udp(udp[i], (*udp_addresses)[i]);
    for (unsigned worker = 1; worker < workers; ++worker) {
      Descriptor copy(fcntl(udp[i].get(), F_DUPFD_CLOEXEC, 3));
      if (!copy)
        return base::fail(ErrorCode::Io, "cannot share {} among the workers: {}", (*udp_addresses)[i].text(),
                          base::system_reason(errno));
      listeners.udp[worker].push_back(std::move(copy));
    }
    listeners.udp[0].push_back(std::move(udp[i]));
  }
  for (Descriptor& socket : tcp) {
    set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    listeners.tcp.push_back(std::move(socket));
  }
  tell_small_buffer(listeners);
  return listeners;
}

}  // namespace countersign::dnsd
