// What the service manager hands over and is told: sockets, the watchdog; and what a reload compares.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>

#include "dnsd/activation.hpp"
#include "dnsd/api/control_socket.hpp"
#include "dnsd/configuration.hpp"
#include "dnsd/net/listeners.hpp"
#include "dnsd/watchdog.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using base::Descriptor;
using base::SocketAddress;
using tests::TemporaryFolder;

namespace {

Descriptor bound_socket(int type, const SocketAddress& address) {
  Descriptor socket(::socket(address.family(), type, 0));
  REQUIRE(socket);
  REQUIRE(bind(socket.get(), address.data(), address.size()) == 0);
  if (type == SOCK_STREAM) REQUIRE(listen(socket.get(), 5) == 0);
  return socket;
}

SocketAddress address_of(const Descriptor& socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0);
  return SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), length);
}

const SocketAddress kAnyPort = *SocketAddress::parse("127.0.0.1:0");

std::string refusal(Descriptor socket) {
  std::vector<Descriptor> sockets;
  sockets.push_back(std::move(socket));
  auto sorted = sort_sockets(std::move(sockets), {"odd.socket"});
  REQUIRE_FALSE(sorted);
  CHECK(sorted.error().code == base::ErrorCode::Invalid);
  CHECK(sorted.error().message.find("(\"odd.socket\")") != std::string::npos);
  return sorted.error().message;
}

bool mentions(const std::string& text, std::string_view part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("sockets that were handed over are sorted by what they are", "[dnsd][service]") {
  TemporaryFolder folder;
  auto control = bind_control_socket(folder.path / "control.sock", std::nullopt);
  REQUIRE(control);
  std::vector<Descriptor> sockets;
  sockets.push_back(bound_socket(SOCK_STREAM, kAnyPort));
  sockets.push_back(std::move(*control));
  sockets.push_back(bound_socket(SOCK_DGRAM, kAnyPort));
  sockets.push_back(bound_socket(SOCK_DGRAM, kAnyPort));
  auto sorted = sort_sockets(std::move(sockets), {});
  REQUIRE(sorted);
  CHECK(sorted->udp.size() == 2);
  CHECK(sorted->tcp.size() == 1);
  CHECK(socket_path(sorted->control) == folder.path / "control.sock");
  for (int fd : {sorted->udp.at(0).get(), sorted->udp.at(1).get(), sorted->tcp.at(0).get(), sorted->control.get()}) {
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("what is no socket of ours is refused by its name", "[dnsd][service]") {
  CHECK(mentions(refusal(Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))), "is no socket"));
  CHECK(mentions(refusal(Descriptor(socket(AF_INET, SOCK_DGRAM, 0))), "is a UDP socket without an address"));
  CHECK(mentions(refusal(Descriptor(socket(AF_INET, SOCK_STREAM, 0))), "does not listen (set Accept=no)"));
  CHECK(mentions(refusal(Descriptor(socket(AF_UNIX, SOCK_STREAM, 0))), "does not listen"));
  CHECK(mentions(refusal(Descriptor(socket(AF_UNIX, SOCK_DGRAM, 0))), "is another kind of socket"));
  TemporaryFolder folder;
  std::vector<Descriptor> two;
  for (const char* name : {"a.sock", "b.sock"}) two.push_back(std::move(*bind_control_socket(folder.path / name, {})));
  auto sorted = sort_sockets(std::move(two), {});
  REQUIRE_FALSE(sorted);
  CHECK(mentions(sorted.error().message, "is a second control socket"));
}

TEST_CASE("the variables of another process's sockets are ignored, wrong ones refused, and all unset",
          "[dnsd][service]") {
  auto take = [](const char* pid, const char* count) {
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", "a:b", 1);
    auto taken = take_activated_sockets();
    CHECK(getenv("LISTEN_PID") == nullptr);
    CHECK(getenv("LISTEN_FDS") == nullptr);
    CHECK(getenv("LISTEN_FDNAMES") == nullptr);
    return taken;
  };
  std::string self = std::to_string(getpid());
  for (auto& taken : {take("1", "1"), take(self.c_str(), "0"), take_activated_sockets()}) {
    REQUIRE(taken);
    CHECK((taken->udp.empty() && taken->tcp.empty() && !taken->control));
  }
  for (const char* count : {"x", "-1", "99999999", "1 ", "1025"}) CHECK_FALSE(take(self.c_str(), count));
  CHECK_FALSE(take("me", "1"));
  CHECK_FALSE(take(self.c_str(), "1000"));  // not so many are open
}

TEST_CASE("workers share the sockets that were handed over", "[dnsd][service]") {
  Descriptor udp = bound_socket(SOCK_DGRAM, kAnyPort);
  SocketAddress address = address_of(udp);
  Descriptor tcp = bound_socket(SOCK_STREAM, address);
  Descriptor alone = bound_socket(SOCK_STREAM, kAnyPort);
  SocketAddress other = address_of(alone);
  std::vector<Descriptor> udps, tcps;
  udps.push_back(std::move(udp));
  tcps.push_back(std::move(tcp));
  tcps.push_back(std::move(alone));
  auto shared = share_listeners(std::move(udps), std::move(tcps), 3);
  REQUIRE(shared);
  CHECK(shared->addresses == std::vector<SocketAddress>{address, other});
  CHECK(shared->tcp.size() == 2);
  REQUIRE(shared->udp.size() == 3);
  for (const auto& worker : shared->udp) {
    REQUIRE(worker.size() == 1);
    CHECK(address_of(worker[0]) == address);
    int discover = -1;
    socklen_t length = sizeof discover;
    REQUIRE(getsockopt(worker[0].get(), IPPROTO_IP, IP_MTU_DISCOVER, &discover, &length) == 0);
    CHECK(discover == IP_PMTUDISC_PROBE);
  }
}

TEST_CASE("a queue of one socket is answered by several workers, from [::] for both families", "[dnsd][service]") {
  Descriptor udp(::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  if (!udp) return;  // no IPv6
  int off = 0;
  REQUIRE(setsockopt(udp.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
  auto wildcard = *SocketAddress::parse("[::]:0");
  REQUIRE(bind(udp.get(), wildcard.data(), wildcard.size()) == 0);
  std::uint16_t port = address_of(udp).port();
  std::vector<Descriptor> udps;
  udps.push_back(std::move(udp));
  auto shared = share_listeners(std::move(udps), {}, 2);
  REQUIRE(shared);
  tests::LiveZone zone;
  zone.publish("a.auth.test", "v");
  UdpWorker first(0, std::move(shared->udp[0]), zone.responder(), zone.first_reader());
  UdpWorker second(1, std::move(shared->udp[1]), zone.responder(), zone.second_reader());
  REQUIRE(first.start());
  REQUIRE(second.start());
  // Connected sockets take an answer from the address that they asked only.
  for (const char* text : {"127.0.0.1:1", "127.1.2.3:1", "[::1]:1"}) {
    INFO(text);
    auto server = *SocketAddress::parse(text);
    server.set_port(port);
    tests::ClientSocket client(server, SOCK_DGRAM);
    client.send(tests::query_with_id("a.auth.test TXT", 77));
    tests::Packet answer = client.receive().value_or("");
    REQUIRE(answer.size() > 12);
    CHECK(tests::id_of(answer) == 77);
  }
}

TEST_CASE("a watchdog is ours when it is meant for us", "[dnsd][service]") {
  auto period = [](const char* usec, const char* pid) {
    if (usec != nullptr) setenv("WATCHDOG_USEC", usec, 1);
    if (pid != nullptr) setenv("WATCHDOG_PID", pid, 1);
    auto taken = take_watchdog_period();
    CHECK(getenv("WATCHDOG_USEC") == nullptr);
    CHECK(getenv("WATCHDOG_PID") == nullptr);
    return taken;
  };
  std::string self = std::to_string(getpid());
  CHECK(period("3000000", self.c_str()) == std::chrono::microseconds(1'500'000));
  CHECK(period("3000000", nullptr) == std::chrono::microseconds(1'500'000));
  for (const auto& none : {period(nullptr, nullptr), period("3000000", "1"), period("0", self.c_str()),
                           period("soon", nullptr), period("-5", nullptr)})
    CHECK_FALSE(none);
}

TEST_CASE("a worker that sleeps or gets on is alive, one that stays in a batch is not", "[dnsd][service]") {
  tests::LiveZone zone;
  std::vector<Descriptor> sockets;
  sockets.push_back(bound_socket(SOCK_DGRAM, kAnyPort));
  REQUIRE(fcntl(sockets[0].get(), F_SETFL, O_NONBLOCK) == 0);
  SocketAddress address = address_of(sockets[0]);
  // The pulse looks at a reader of the test's, because the worker's own goes offline after each batch; the queries that
  // it counts are real.
  zones::Epochs::Reader& batch = zone.second_reader();
  UdpWorker worker(0, std::move(sockets), zone.responder(), zone.first_reader());
  WorkerPulse pulse(worker, batch);
  REQUIRE(worker.start());
  CHECK(pulse.beats());
  CHECK(pulse.beats());
  batch.online();
  CHECK_FALSE(pulse.beats());
  tests::ClientSocket client(address, SOCK_DGRAM);
  for (unsigned id : {1U, 2U}) {
    client.send(tests::query_with_id("a.auth.test TXT", id));
    REQUIRE(client.receive());
    CHECK(pulse.beats());        // in a batch, but another one: the queries have grown
    CHECK_FALSE(pulse.beats());  // in the same one
  }
  batch.offline();
  CHECK(pulse.beats());
}

TEST_CASE("what needs a restart is named, and nothing else", "[dnsd][service]") {
  conf::Config started;
  started.dns.listen = {*SocketAddress::parse("127.0.0.1:53")};
  conf::Config wanted = started;
  CHECK(restart_keys(started, wanted, {}).empty());
  wanted.log_level = base::log::Level::Debug;
  wanted.dns.nsid = "x";
  wanted.dns.tcp_max_connections = 7;
  CHECK(restart_keys(started, wanted, {}).empty());
  wanted.dns.workers = 3;
  wanted.dns.listen = {*SocketAddress::parse("127.0.0.2:53")};
  CHECK(restart_keys(started, wanted, {}) == "dns.listen, dns.workers");
  wanted.state_dir = "/a";
  wanted.control_socket = "/b";
  wanted.user = "c";
  CHECK(restart_keys(started, wanted, {}) == "state_dir, control_socket, user, dns.listen, dns.workers");
  CHECK(restart_keys(started, wanted, {true, true}) == "state_dir, user, dns.workers");
}

TEST_CASE("cookie secrets are read with the configuration, and what is wrong with them is a problem of it",
          "[dnsd][service]") {
  TemporaryFolder folder;
  std::filesystem::path file = folder.path / "c.toml", secret = folder.path / "cookie.secret";
  std::ofstream(file) << "[dns]\ncookie_secret_file = \"" << secret.string() << "\"\nnsid = \"n\"\n"
                      << "[[zone]]\nname = \"auth.test\"\nnameservers = [\"ns.example.net\"]\n"
                      << "hostmaster = \"h@example.net\"\n";
  auto problem = [&] {
    Configuration read = read_configuration(file);
    REQUIRE(read.problems.size() == 1);
    return conf::format_problem("f", read.problems[0]);
  };
  CHECK(
      mentions(problem(), "f:2:22: dns.cookie_secret_file: \"" + secret.string() + "\" cannot be read: no such file"));
  std::ofstream(secret) << "00112233\n";
  CHECK(mentions(problem(), "line 1 is no cookie secret"));
  std::ofstream(secret) << std::string(5000, '#');
  CHECK(mentions(problem(), "larger than 4096 octets"));
  std::ofstream(secret) << "# first\n000102030405060708090a0b0c0d0e0f\nffffffffffffffffffffffffffffffff\n";
  Configuration good = read_configuration(file);
  REQUIRE(good.problems.empty());
  REQUIRE(good.cookie_secrets.size() == 2);
  CHECK(good.cookie_secrets[0][15] == std::byte{15});
  auto settings = answer_settings(good, {});
  CHECK(settings->cookie_secrets == good.cookie_secrets);
  CHECK(settings->nsid == "n");
  CHECK(settings->responses_per_second == 200);
  good.cookie_secrets.clear();
  CookieSecret random = random_cookie_secret();
  CHECK(answer_settings(good, random)->cookie_secrets == std::vector<CookieSecret>{random});
}
