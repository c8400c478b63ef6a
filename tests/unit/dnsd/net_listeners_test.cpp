#include "dnsd/net/listeners.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "dnsd/net/port_holder.hpp"
#include "tests/unit/dnsd/client_socket.hpp"

using namespace countersign;
using namespace countersign::dnsd;
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
