#include "dnsd/net/listeners.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "dnsd/net/port_holder.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using base::Descriptor;
using base::ErrorCode;
using base::SocketAddress;

namespace {

bool contains(const std::string& text, std::string_view part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("port 0 becomes one port for UDP and TCP", "[dnsd][net]") {
  auto bound = bind_listeners({*SocketAddress::parse("127.0.0.1:0"), *SocketAddress::parse("[::1]:0")}, 3);
  REQUIRE(bound);
  REQUIRE(bound->addresses.size() == 2);
  REQUIRE(bound->udp.size() == 3);
  REQUIRE(bound->tcp.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(bound->addresses[i].port() != 0);
    tests::ClientSocket tcp(bound->addresses[i], SOCK_STREAM);
    for (auto& worker : bound->udp) {
      sockaddr_storage storage{};
      socklen_t length = sizeof storage;
      REQUIRE(getsockname(worker[i].get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0);
      CHECK(SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), length) == bound->addresses[i]);
    }
  }
}

TEST_CASE("a second daemon of the same user does not join the port silently", "[dnsd][net]") {
  auto first = bind_listeners({*SocketAddress::parse("127.0.0.1:0")}, 2);
  REQUIRE(first);
  auto second = bind_listeners(first->addresses, 2);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::Exists);
}

TEST_CASE("a port in use names the process that holds it", "[dnsd][net]") {
  std::string test_program = "unit_dnsd";
  int kind = GENERATE(SOCK_DGRAM, SOCK_STREAM);
  // Held by a child, or the message would blame dns.listen itself.
  std::array<int, 2> ends{-1, -1};
  REQUIRE(pipe(ends.data()) == 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = socket(AF_INET, kind, 0);
    auto address = *SocketAddress::parse("127.0.0.1:0");
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    bool ok = bind(fd, address.data(), address.size()) == 0 && (kind == SOCK_DGRAM || listen(fd, 1) == 0) &&
              getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) == 0;
    unsigned short port = ok ? SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), length).port() : 0;
    static_cast<void>(write(ends[1], &port, sizeof port) < 0);
    pause();
    _exit(0);
  }
  unsigned short port = 0;
  REQUIRE(read(ends[0], &port, sizeof port) == sizeof port);
  REQUIRE(port != 0);
  auto address = *SocketAddress::parse("127.0.0.1:1");
  address.set_port(port);
  auto bound = bind_listeners({address}, 1);
  auto wildcard = *SocketAddress::parse("0.0.0.0:1");
  wildcard.set_port(port);
  auto everywhere = bind_listeners({wildcard}, 1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);

  REQUIRE_FALSE(bound);
  CHECK(bound.error().code == ErrorCode::Exists);
  std::string where = "cannot bind " + address.text() + (kind == SOCK_DGRAM ? "/udp" : "/tcp") + ": in use by ";
  CHECK(contains(bound.error().message, where + test_program));
  CHECK(contains(bound.error().message, "(pid " + std::to_string(child) + "); stop it or set dns.listen"));
  REQUIRE_FALSE(everywhere);
  CHECK(contains(everywhere.error().message, "(pid " + std::to_string(child) + ")"));
}

TEST_CASE("an address listed twice is said to be that", "[dnsd][net]") {
  auto first = bind_listeners({*SocketAddress::parse("127.0.0.1:0")}, 1);
  REQUIRE(first);
  auto address = first->addresses[0];
  first = base::fail(ErrorCode::Io, "closed");
  auto bound = bind_listeners({address, address}, 1);
  REQUIRE_FALSE(bound);
  CHECK(contains(bound.error().message, "dns.listen names it"));
}

TEST_CASE("an address that the machine does not have is refused with a remedy", "[dnsd][net]") {
  auto bound = bind_listeners({*SocketAddress::parse("192.0.2.77:0")}, 1);
  REQUIRE_FALSE(bound);
  CHECK(contains(bound.error().message, "this machine does not have the address"));
}

TEST_CASE("nobody holds a free port", "[dnsd][net]") {
  auto bound = bind_listeners({*SocketAddress::parse("127.0.0.1:0")}, 1);
  REQUIRE(bound);
  auto address = bound->addresses[0];
  auto holder = find_port_holder(address, Transport::Udp);
  REQUIRE(holder);
  CHECK(holder->pid == getpid());
  bound = base::fail(ErrorCode::Io, "closed");
  CHECK_FALSE(find_port_holder(address, Transport::Udp));
  CHECK_FALSE(find_port_holder(address, Transport::Tcp));
}
TEST_CASE("a socket that was handed over keeps its larger buffer", "[dnsd][net]") {
  Descriptor udp(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  auto any = *SocketAddress::parse("127.0.0.1:0", 53);
  REQUIRE(bind(udp.get(), any.data(), any.size()) == 0);
  auto buffer = [](const Descriptor& socket) {
    int octets = 0;
    socklen_t length = sizeof octets;
    REQUIRE(getsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &octets, &length) == 0);
    return octets;
  };
  int wanted = 16 << 20;
  // Beyond rmem_max only where we may; else what we get has to stay as well.
  if (setsockopt(udp.get(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)
    REQUIRE(setsockopt(udp.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted) == 0);
  int before = buffer(udp);
  std::vector<Descriptor> udps;
  udps.push_back(std::move(udp));
  auto shared = share_listeners(std::move(udps), {}, 1);
  REQUIRE(shared);
  CHECK(buffer(shared->udp[0][0]) >= before);
}

TEST_CASE("what the owner of a socket wants to be told with each packet does not keep answers back", "[dnsd][net]") {
  Descriptor udp(::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  if (!udp) return;  // no IPv6
  int off = 0, on = 1;
  REQUIRE(setsockopt(udp.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
  auto wildcard = *SocketAddress::parse("[::]:0", 53);
  REQUIRE(bind(udp.get(), wildcard.data(), wildcard.size()) == 0);
  for (int option : {SO_TIMESTAMPNS, SO_RXQ_OVFL})
    REQUIRE(setsockopt(udp.get(), SOL_SOCKET, option, &on, sizeof on) == 0);
  for (int option : {IP_PKTINFO, IP_RECVTTL}) REQUIRE(setsockopt(udp.get(), IPPROTO_IP, option, &on, sizeof on) == 0);
  std::vector<Descriptor> udps;
  udps.push_back(std::move(udp));
  auto shared = share_listeners(std::move(udps), {}, 1);
  REQUIRE(shared);
  tests::LiveZone zone;
  zone.publish("a.auth.test", "v");
  int fd = shared->udp[0][0].get();
  UdpWorker worker(0, std::move(shared->udp[0]), zone.responder(), zone.first_reader());
  // Also when somebody turns them on again later: only the packet's destination goes back.
  for (int option : {SO_TIMESTAMPNS}) REQUIRE(setsockopt(fd, SOL_SOCKET, option, &on, sizeof on) == 0);
  REQUIRE(worker.start());
  for (const char* text : {"127.0.0.1:1", "127.1.2.3:1", "[::1]:1"}) {
    INFO(text);
    auto server = *SocketAddress::parse(text);
    server.set_port(shared->addresses[0].port());
    tests::ClientSocket client(server, SOCK_DGRAM);
    client.send(tests::query_with_id("a.auth.test TXT", 77));
    CHECK(tests::id_of(client.receive().value_or(tests::Packet(12, '\0'))) == 77);
  }
  CHECK(worker.udp_counters().send_errors.read() == 0);
}
