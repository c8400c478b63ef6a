#include <sys/resource.h>

#include <atomic>
#include <vector>

#include "tests/unit/dnsd/tcp_serving.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ask;
using tests::check_answer;
using tests::ClientSocket;
using tests::framed;
using tests::query_with_id;
using tests::Serving;

namespace {

// As many as the system lets this process have, while it lasts.
class ManyDescriptors {
 public:
  ManyDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit many = before_;
    many.rlim_cur = many.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &many) == 0);
  }
  ~ManyDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  ManyDescriptors(const ManyDescriptors&) = delete;
  ManyDescriptors& operator=(const ManyDescriptors&) = delete;

 private:
  rlimit before_{};
};

// GCC's undefined behaviour sanitizer looks at memory through a pipe, and takes it for broken when it gets none.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kNeedsDescriptors = true;
#elif defined(__has_feature)
constexpr bool kNeedsDescriptors = __has_feature(address_sanitizer);
#else
constexpr bool kNeedsDescriptors = false;
#endif

// This process can open `spare` descriptors more, while it lasts.
class FewDescriptors {
 public:
  explicit FewDescriptors(std::size_t spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 512;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (base::Descriptor one{::socket(AF_UNIX, SOCK_STREAM, 0)}) taken_.push_back(std::move(one));
    REQUIRE(taken_.size() > spare);
    free(spare);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

  void free(std::size_t count) { taken_.resize(taken_.size() - count); }

 private:
  rlimit before_{};
  std::vector<base::Descriptor> taken_;
};

}  // namespace

TEST_CASE("a connection that says nothing is closed at its deadline, one that trickles as well", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 150ms});
  ClientSocket silent = serving.client();
  ClientSocket trickling = serving.client();
  std::string query = framed(query_with_id("n1.auth.test TXT", 1));
  std::atomic<bool> closed{false};
  std::thread sender([&] {
    // One octet each 20 ms would take far longer than the deadline.
    for (char octet : query) {
      if (closed || ::send(trickling.fd(), &octet, 1, MSG_NOSIGNAL) != 1) break;
      std::this_thread::sleep_for(20ms);
    }
  });
  CHECK(silent.is_ended());
  CHECK(trickling.is_ended());
  closed = true;
  sender.join();
  CHECK(serving.counters().closed_idle.read() == 2);
  CHECK(serving.server.counters().queries_tcp.read() == 0);
}

TEST_CASE("an answered query starts the idle time anew", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 400ms});
  ClientSocket client = serving.client();
  for (unsigned id = 0; id < 4; ++id) {
    std::this_thread::sleep_for(150ms);
    ask(client, id);
  }
}

TEST_CASE("a client that does not read is closed, and its answers do not pile up", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 200ms});
  ClientSocket client = serving.client();
  std::string some;
  for (unsigned id = 0; id < 2000; ++id) some += framed(query_with_id("n1.auth.test TXT", id));
  // Until both sockets' buffers are full and the server has given up: then sending fails.
  bool refused = false;
  for (int i = 0; i < 2000 && !refused; ++i) refused = ::send(client.fd(), some.data(), some.size(), MSG_NOSIGNAL) < 0;
  CHECK(refused);
  CHECK((errno == EPIPE || errno == ECONNRESET));
  CHECK(serving.counters().closed_idle.read() == 1);
}

TEST_CASE("at the limit the connection that was idle longest makes room", "[dnsd][net]") {
  Serving serving(TcpLimits{3, 10'000ms});
  ClientSocket first = serving.client(), second = serving.client(), third = serving.client();
  for (ClientSocket* client : {&first, &second, &third, &first}) ask(*client);
  ClientSocket fourth = serving.client();
  ask(fourth, 4);
  CHECK(second.is_ended());
  for (ClientSocket* client : {&first, &third}) ask(*client, 5);
  CHECK(serving.connections() == 3);
  CHECK(serving.counters().closed_for_room.read() == 1);
}

TEST_CASE("clients that do not read make room as well", "[dnsd][net]") {
  Serving serving(TcpLimits{2, 10'000ms});
  ClientSocket first = serving.client(), second = serving.client();
  std::string some;
  for (unsigned id = 0; id < 2000; ++id) some += framed(query_with_id("n1.auth.test TXT", id));
  for (ClientSocket* client : {&first, &second}) {
    // Until the server's answers fill both sides' buffers and it reads no more: then ours are full too.
    while (::send(client->fd(), some.data(), some.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) std::this_thread::yield();
  }
  ClientSocket third = serving.client();
  ask(third);
  CHECK(serving.counters().closed_for_room.read() == 1);
}

TEST_CASE("a client with too many connections loses its own, nobody else's", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 10'000ms, 2});
  ClientSocket other = serving.client("127.0.0.2:0");
  ClientSocket first = serving.client(), second = serving.client();
  for (ClientSocket* client : {&other, &first, &second, &first}) ask(*client);
  ClientSocket third = serving.client();
  ask(third);
  CHECK(second.is_ended());
  for (ClientSocket* client : {&other, &first, &third}) ask(*client, 2);
  CHECK(serving.counters().closed_for_address.read() == 1);
  CHECK(serving.counters().closed_for_room.read() == 0);
}

TEST_CASE("limits that are set while running hold at once", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 10'000ms});
  std::vector<ClientSocket> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(serving.client(i < 2 ? "127.0.0.2:0" : "127.0.0.1:0"));
    ask(clients.back());
  }
  serving.on_loop([&] { serving.server.set_limits(TcpLimits{10, 10'000ms, 3}); });
  CHECK(clients[2].is_ended());
  serving.on_loop([&] { serving.server.set_limits(TcpLimits{3, 10'000ms, 3}); });
  CHECK(clients[0].is_ended());
  CHECK(clients[1].is_ended());
  CHECK(serving.connections() == 3);
  CHECK(serving.counters().closed_for_address.read() == 1);
  CHECK(serving.counters().closed_for_room.read() == 2);
  for (std::size_t i = 3; i < 6; ++i) ask(clients[i]);
  serving.on_loop([&] { serving.server.set_limits(TcpLimits{20, 100ms, 20}); });
  for (std::size_t i = 3; i < 6; ++i) CHECK(clients[i].is_ended());
  CHECK(serving.counters().closed_idle.read() == 3);
}

TEST_CASE("where little room is left the idle time is short", "[dnsd][net]") {
  Serving serving(TcpLimits{8, 4'000ms});
  std::vector<ClientSocket> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(serving.client());
    ask(clients.back());
  }
  auto start = std::chrono::steady_clock::now();
  CHECK(clients[0].is_ended());  // a tenth of it, and a sweep
  CHECK(std::chrono::steady_clock::now() - start < 2'000ms);
  std::this_thread::sleep_for(100ms);
  // Those within three quarters keep theirs.
  CHECK(serving.connections() >= 6);
  ask(clients[7]);
}

TEST_CASE("half-sent messages take no more memory than there is for them", "[dnsd][net]") {
  constexpr unsigned kClients = 1'200;
  ManyDescriptors many;
  Serving serving(TcpLimits{2'000, 60'000ms, 2'000});
  std::string most_of_one = tests::wire_u16(65535) + std::string(65'000, 'x');
  std::vector<ClientSocket> clients;
  while (clients.size() < kClients) {
    clients.push_back(serving.client());
    clients.back().send(most_of_one);
  }
  // The first of them had it for longest.
  CHECK(clients.front().is_ended());
  CHECK(serving.counters().closed_for_memory.read() > 0);
  CHECK(serving.connections() > TcpSessions::kKeptEnough / 200'000);
  ClientSocket client = serving.client();
  ask(client);
}

TEST_CASE("without descriptors the least worth connections make room", "[dnsd][net]") {
  if (kNeedsDescriptors) return;
  Serving serving;
  ClientSocket first = serving.client();
  ask(first);
  std::vector<ClientSocket> clients;
  {
    FewDescriptors few(40);
    // Each takes two, here and at the server.
    for (int i = 0; i < 25; ++i) {
      clients.push_back(serving.client());
      ask(clients.back());
    }
  }
  CHECK(serving.counters().accept_errors.read() > 0);
  CHECK(serving.counters().closed_for_room.read() >= 8);
  CHECK(first.is_ended());
  ask(clients.back());
}

TEST_CASE("without descriptors and connections it waits, and goes on when there are some", "[dnsd][net]") {
  if (kNeedsDescriptors) return;
  Serving serving;
  FewDescriptors few(1);
  ClientSocket client = serving.client();
  std::this_thread::sleep_for(450ms);
  std::uint64_t tries = serving.counters().accept_errors.read();
  CHECK(tries >= 2);
  CHECK(tries <= 4);
  few.free(2);
  ask(client);
}
