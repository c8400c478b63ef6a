#include <algorithm>
#include <set>

#include "dnsd/net/listeners.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using tests::ClientSocket;
using tests::id_of;
using tests::LiveZone;
using tests::Packet;
using tests::query_with_id;

namespace {

// Workers of a live zone on a port that was free.
struct Serving {
  LiveZone zone;
  Listeners listeners;
  std::vector<std::unique_ptr<UdpWorker>> workers;

  Serving(const char* address, unsigned count) {
    auto bound = bind_listeners({*base::SocketAddress::parse(address)}, count);
    if (!bound) FAIL(bound.error().message);
    listeners = std::move(*bound);
    for (unsigned i = 0; i < count; ++i) {
      zones::Epochs::Reader& reader = i == 0 ? zone.first_reader() : zone.second_reader();
      workers.push_back(std::make_unique<UdpWorker>(i, std::move(listeners.udp[i]), zone.responder(), reader));
      REQUIRE(workers.back()->start());
    }
    zone.publish("n1.auth.test", "the value");
  }

  void stop() {
    for (auto& worker : workers) worker->stop();
    for (auto& worker : workers) worker->join();
  }
  [[nodiscard]] ClientSocket client() const { return ClientSocket(listeners.addresses[0], SOCK_DGRAM); }
};

void check_answer(const std::optional<std::string>& packet) {
  REQUIRE(packet);
  auto message = tests::decode(*packet);
  REQUIRE(message);
  CHECK(message->rcode == 0);
  REQUIRE(message->answer.size() == 1);
  CHECK(message->answer[0].find("the value") != std::string::npos);
}

}  // namespace

TEST_CASE("a worker answers each of many queries that arrive at once", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 1);
  ClientSocket client = serving.client();
  constexpr unsigned kCount = 200;  // several batches
  for (unsigned id = 0; id < kCount; ++id) client.send(query_with_id("N1.auth.test TXT edns", id));
  std::set<unsigned> ids;
  for (unsigned i = 0; i < kCount; ++i) {
    auto packet = client.receive();
    check_answer(packet);
    ids.insert(id_of(*packet));
  }
  CHECK(ids.size() == kCount);
  serving.stop();
  CHECK(serving.workers[0]->counters().queries_udp.read() == kCount);
  CHECK(serving.workers[0]->counters().responses.read() == kCount);
  CHECK(serving.workers[0]->udp_counters().send_errors.read() == 0);
}

TEST_CASE("workers that share an address answer whoever asks", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 2);
  constexpr unsigned kClients = 40;  // the kernel spreads them by their ports
  for (unsigned i = 0; i < kClients; ++i) {
    ClientSocket client = serving.client();
    client.send(query_with_id("n1.auth.test TXT", i));
    check_answer(client.receive());
  }
  serving.stop();
  std::uint64_t first = serving.workers[0]->counters().responses.read();
  std::uint64_t second = serving.workers[1]->counters().responses.read();
  CHECK(first + second == kClients);
  CHECK(first > 0);
  CHECK(second > 0);
}

TEST_CASE("a worker answers over IPv6", "[dnsd][net]") {
  Serving serving("[::1]:0", 1);
  ClientSocket client = serving.client();
  client.send(query_with_id("n1.auth.test TXT", 7));
  check_answer(client.receive());
}

TEST_CASE("behind a wildcard address an answer comes from where the query went", "[dnsd][net]") {
  for (auto [listen, asked] : {std::pair{"0.0.0.0:0", "127.9.8.7:1"}, std::pair{"[::]:0", "[::1]:1"}}) {
    Serving serving(listen, 1);
    auto server = *base::SocketAddress::parse(asked);
    server.set_port(serving.listeners.addresses[0].port());
    // Connected: the kernel hands over only what comes from that very address.
    ClientSocket client(server, SOCK_DGRAM);
    client.send(query_with_id("n1.auth.test TXT", 8));
    check_answer(client.receive());
  }
}

TEST_CASE("what deserves no answer gets none, and those behind it do", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 1);
  ClientSocket client = serving.client();
  Packet response = query_with_id("n1.auth.test TXT qr", 1);
  client.send(response);
  client.send(std::string(5, 'x'));
  client.send(query_with_id("n1.auth.test TXT", 2));
  client.send(response);
  client.send(query_with_id("n1.auth.test TXT", 3));
  std::set<unsigned> ids;
  for (int i = 0; i < 2; ++i) {
    auto packet = client.receive();
    check_answer(packet);
    ids.insert(id_of(*packet));
  }
  CHECK(ids == std::set<unsigned>{2, 3});
  serving.stop();
  CHECK(serving.workers[0]->counters().dropped_response.read() == 2);
  CHECK(serving.workers[0]->counters().dropped_short.read() == 1);
}

TEST_CASE("a query too long for a slot is a format error, not silence", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 1);
  ClientSocket client = serving.client();
  client.send(query_with_id("n1.auth.test TXT edns", 9) + std::string(6000, 'x'));
  auto packet = client.receive();
  REQUIRE(packet);
  CHECK(packet->size() == 12);
  CHECK(id_of(*packet) == 9);
  CHECK(((*packet)[3] & 0xf) == 1);
  // The slot is as good as before.
  client.send(query_with_id("n1.auth.test TXT", 10));
  check_answer(client.receive());
  serving.stop();
  CHECK(serving.workers[0]->udp_counters().cut.read() == 1);
}

TEST_CASE("a worker sleeps offline, so that what it could see is freed while nobody asks", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 1);
  ClientSocket client = serving.client();
  client.send(query_with_id("n1.auth.test TXT", 1));
  check_answer(client.receive());
  // Each publication replaces a node; they are all made while the worker sleeps and must not wait for it.
  for (int i = 0; i < 3; ++i) serving.zone.publish("n2.auth.test", "value " + std::to_string(i));
  client.send(query_with_id("n2.auth.test TXT", 2));
  auto packet = client.receive();
  REQUIRE(packet);
  CHECK(tests::decode(*packet)->answer.size() == 3);
}

TEST_CASE("answers stay whole while values change under the workers", "[dnsd][net]") {
  Serving serving("127.0.0.1:0", 2);
  std::atomic<bool> done{false};
  unsigned refused = 0;
  std::thread writer([&] {
    for (int i = 0; i < 150; ++i)
      refused += serving.zone.try_publish("busy.auth.test", "value " + std::to_string(i % 3)) ? 0U : 1U;
    done = true;
  });
  std::vector<ClientSocket> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(serving.client());
  unsigned id = 0;
  unsigned broken = 0;
  while (!done) {
    for (ClientSocket& client : clients) client.send(query_with_id("busy.auth.test TXT edns", ++id & 0xffffU));
    for (ClientSocket& client : clients) {
      auto packet = client.receive();
      if (!packet || !tests::decode(*packet)) ++broken;
    }
  }
  writer.join();
  CHECK(refused == 0);
  CHECK(broken == 0);
  CHECK(id > 0);
}
