#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <set>

#include "dnsd/net/deferred_inbox.hpp"
#include "dnsd/net/listeners.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ClientSocket;
using tests::id_of;
using tests::LiveZone;
using tests::Packet;
using tests::query_with_id;
using tests::TsigClient;
using tests::update_message;

namespace {

constexpr std::uint64_t kTime = 1'795'000'000;

void fill(DeferredDatagram& datagram, std::uint16_t length) {
  datagram.length = length;
  std::fill_n(datagram.octets.begin(), length, static_cast<std::byte>(length));
}

// Answers a message with itself, QR set.
std::string echo(base::Bytes message) {
  std::string answer(base::as_text(message));
  answer[2] = static_cast<char>(static_cast<unsigned char>(answer[2]) | 0x80U);
  return answer;
}

// One worker, and an inbox on a loop of its own.
struct Deferring {
  LiveZone zone;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  DeferredInbox inbox{context.get_executor()};
  Listeners listeners;
  std::unique_ptr<UdpWorker> worker;
  std::thread thread;

  explicit Deferring(DeferredInbox::Handler handler, const char* address = "127.0.0.1:0") {
    zone.use({.defers_signed = true});
    auto bound = bind_listeners({*base::SocketAddress::parse(address)}, 1);
    if (!bound) FAIL(bound.error().message);
    listeners = std::move(*bound);
    worker = std::make_unique<UdpWorker>(0, std::move(listeners.udp[0]), zone.responder(), zone.first_reader());
    REQUIRE(inbox.open(std::move(handler)));
    worker->defer_to(inbox);
    REQUIRE(worker->start());
    thread = std::thread([this] { context.run(); });
  }
  ~Deferring() { stop(); }
  void stop() {
    if (!thread.joinable()) return;
    worker->stop();
    worker->join();
    asio::post(context, [this] { inbox.stop(); });
    guard.reset();
    thread.join();
  }
  [[nodiscard]] ClientSocket client() const { return ClientSocket(listeners.addresses[0], SOCK_DGRAM); }
};

void send_echo(const DeferredDatagram& datagram) {
  std::string answer = echo(datagram.message());
  send_datagram(datagram.origin, base::as_bytes(answer));
}

// What parse() and compose() make of a packet.
struct Outcome {
  Query::Fate fate;
  std::size_t octets;
  Packet packet;
};

Outcome respond(LiveZone& zone, Counters& counters, const Packet& packet, Transport transport = Transport::Udp) {
  std::vector<std::byte> buffer(65535);
  std::copy_n(base::as_bytes(packet).begin(), packet.size(), buffer.begin());
  auto query = std::make_unique<Query>();
  query->packet = buffer.data();
  query->capacity = buffer.size();
  query->length = packet.size();
  query->transport = transport;
  zones::ReadScope scope(zone.second_reader());
  Seen seen;
  std::size_t octets = zone.responder().respond(*query, counters, seen);
  return {query->fate, octets, Packet(base::as_text(base::Bytes(buffer).first(packet.size())))};
}

}  // namespace

TEST_CASE("updates and signed queries are deferred untouched where keys are, and errors where none are",
          "[dnsd][answer]") {
  LiveZone zone;
  TsigClient client;
  Packet update = update_message(1, "a.auth.test", "v");
  Packet signed_query = client.sign(query_with_id("n1.auth.test TXT", 2), kTime).wire;
  // A version of EDNS that we do not know changes nothing: the error has to be signed, too.
  Packet signed_edns = client.sign(query_with_id("n1.auth.test TXT edns version=1", 3), kTime).wire;
  Counters counters;
  for (const Packet& packet : {update, signed_query, signed_edns}) {
    Outcome outcome = respond(zone, counters, packet);
    CHECK(outcome.fate == Query::Fate::Error);
    CHECK(outcome.octets > 0);
  }
  CHECK(counters.notimp.read() == 1);
  CHECK(counters.notauth.read() == 1);
  CHECK(counters.badvers.read() == 1);
  zone.use({.defers_signed = true});
  Counters deferring;
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    for (const Packet& packet : {update, signed_query, signed_edns, update.substr(0, 12)}) {
      Outcome outcome = respond(zone, deferring, packet, transport);
      CHECK(outcome.fate == Query::Fate::Deferred);
      CHECK(outcome.octets == 0);
      CHECK(outcome.packet == packet);
    }
  }
  CHECK(deferring.queries_udp.read() == 4);
  CHECK(deferring.queries_tcp.read() == 4);
  CHECK(deferring.responses.read() == 0);
}

TEST_CASE("what is no update and not well signed is answered or dropped as ever, keys or none", "[dnsd][answer]") {
  LiveZone zone;
  zone.use({.defers_signed = true});
  Counters counters;
  Packet update = update_message(1, "a.auth.test", "v");
  Packet signed_query = TsigClient().sign(query_with_id("n1.auth.test TXT", 2), kTime).wire;
  SECTION("a response, or less than a header") {
    Packet response = update;
    response[2] = static_cast<char>(response[2] | '\x80');
    CHECK(respond(zone, counters, response).fate == Query::Fate::Drop);
    CHECK(respond(zone, counters, update.substr(0, 11)).fate == Query::Fate::Drop);
  }
  SECTION("another opcode, or no TSIG") {
    CHECK(respond(zone, counters, query_with_id("auth.test SOA opcode=4", 1)).fate == Query::Fate::Error);
    CHECK(respond(zone, counters, query_with_id("n1.auth.test TXT edns", 1)).fate == Query::Fate::Answer);
  }
  SECTION("a TSIG that is cut") {
    for (std::size_t cut = 1; cut < 60; ++cut)
      CHECK(respond(zone, counters, signed_query.substr(0, signed_query.size() - cut)).fate == Query::Fate::Error);
    CHECK(counters.formerr.read() == 59);
  }
}

TEST_CASE("a ring gives back what was put in, in its order, and drops what it has no room for", "[dnsd][net]") {
  DeferredRing ring;
  CHECK(ring.front() == nullptr);
  for (unsigned round = 0; round < 3; ++round) {
    for (std::uint16_t i = 0; i < DeferredRing::kCapacity; ++i) {
      DeferredDatagram* slot = ring.reserve();
      REQUIRE(slot != nullptr);
      fill(*slot, static_cast<std::uint16_t>(i + 1));
      ring.commit();
    }
    CHECK(ring.reserve() == nullptr);
    CHECK(ring.reserve() == nullptr);
    CHECK(ring.lost() == 2 * (round + 1));
    for (std::uint16_t i = 0; i < DeferredRing::kCapacity; ++i) {
      const DeferredDatagram* datagram = ring.front();
      REQUIRE(datagram != nullptr);
      CHECK(datagram->message().size() == i + 1U);
      CHECK(datagram->message().back() == static_cast<std::byte>(i + 1));
      ring.release();
    }
    CHECK(ring.front() == nullptr);
  }
}

TEST_CASE("what is reserved and not committed is not seen", "[dnsd][net]") {
  DeferredRing ring;
  fill(*ring.reserve(), 5);
  CHECK(ring.front() == nullptr);
  fill(*ring.reserve(), 6);
  ring.commit();
  REQUIRE(ring.front() != nullptr);
  CHECK(ring.front()->length == 6);
}

TEST_CASE("two threads at a ring lose nothing that it took", "[dnsd][net]") {
  DeferredRing ring;
  constexpr unsigned kCount = 50'000;
  unsigned taken = 0;
  std::thread writer([&] {
    for (unsigned i = 0; i < kCount; ++i) {
      DeferredDatagram* slot = ring.reserve();
      if (slot == nullptr) continue;
      fill(*slot, static_cast<std::uint16_t>(i % 50 + 1));
      ring.commit();
      ++taken;
    }
  });
  unsigned seen = 0;
  bool whole = true;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    for (;;) {
      bool last = done;
      while (const DeferredDatagram* datagram = ring.front()) {
        whole = whole && datagram->message().back() == static_cast<std::byte>(datagram->length);
        ring.release();
        ++seen;
      }
      if (last) return;
    }
  });
  writer.join();
  done = true;
  reader.join();
  CHECK(whole);
  CHECK(seen == taken);
  CHECK(ring.lost() == kCount - taken);
}

TEST_CASE("the control thread gets each deferred datagram, and others are answered meanwhile", "[dnsd][net]") {
  Deferring deferring(send_echo);
  deferring.zone.publish("n1.auth.test", "the value");
  ClientSocket client = deferring.client();
  // More than a batch, and more than one turn of the loop; mixed, so that runs of answers are cut by what is deferred.
  constexpr unsigned kCount = 200;
  std::set<unsigned> echoed, answered;
  for (unsigned id = 0; id < kCount; ++id) {
    client.send(id % 2 == 0 ? update_message(id, "a.auth.test", "v") : query_with_id("n1.auth.test TXT", id));
  }
  for (unsigned i = 0; i < kCount; ++i) {
    auto packet = client.receive();
    REQUIRE(packet);
    unsigned id = id_of(*packet);
    (id % 2 == 0 ? echoed : answered).insert(id);
    if (id % 2 == 0) CHECK(*packet == echo(base::as_bytes(update_message(id, "a.auth.test", "v"))));
  }
  CHECK(echoed.size() == kCount / 2);
  CHECK(answered.size() == kCount / 2);
  deferring.stop();
  CHECK(deferring.worker->counters().queries_udp.read() == kCount);
  CHECK(deferring.worker->counters().responses.read() == kCount / 2);
  CHECK(deferring.inbox.lost() == 0);
}

TEST_CASE("a deferred answer comes from where its message went", "[dnsd][net]") {
  for (auto [listen, asked] : {std::pair{"0.0.0.0:0", "127.9.8.7:1"}, std::pair{"[::]:0", "[::1]:1"}}) {
    Deferring deferring(send_echo, listen);
    auto server = *base::SocketAddress::parse(asked);
    server.set_port(deferring.listeners.addresses[0].port());
    // Connected: the kernel hands over only what comes from that very address.
    ClientSocket client(server, SOCK_DGRAM);
    client.send(update_message(7, "a.auth.test", "v"));
    auto packet = client.receive();
    REQUIRE(packet);
    CHECK(id_of(*packet) == 7);
  }
}

TEST_CASE("an answer may come much later, when its datagram's slot has been used again", "[dnsd][net]") {
  std::vector<std::pair<DatagramOrigin, std::string>> kept;
  std::promise<void> all_here;
  Deferring deferring([&](const DeferredDatagram& datagram) {
    kept.emplace_back(datagram.origin, echo(datagram.message()));
    if (kept.size() == 3) all_here.set_value();
  });
  std::vector<ClientSocket> clients;
  for (unsigned id = 0; id < 3; ++id) {
    clients.push_back(deferring.client());
    clients.back().send(update_message(id, "a.auth.test", "v"));
  }
  REQUIRE(all_here.get_future().wait_for(5s) == std::future_status::ready);
  for (auto& [origin, answer] : kept) CHECK(send_datagram(origin, base::as_bytes(answer)));
  for (unsigned id = 0; id < 3; ++id) {
    auto packet = clients[id].receive();
    REQUIRE(packet);
    CHECK(id_of(*packet) == id);
  }
}

TEST_CASE("while the control thread is busy a ring's worth waits, the rest is lost, and queries are answered",
          "[dnsd][net]") {
  std::promise<void> busy, go_on;
  std::atomic<unsigned> handled{0};
  Deferring deferring([&](const DeferredDatagram&) {
    if (handled++ == 0) {
      busy.set_value();
      go_on.get_future().wait();
    }
  });
  deferring.zone.publish("n1.auth.test", "the value");
  ClientSocket client = deferring.client();
  client.send(update_message(0, "a.auth.test", "v"));
  REQUIRE(busy.get_future().wait_for(5s) == std::future_status::ready);
  constexpr unsigned kRounds = 40;
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned i = 0; i < 10; ++i) client.send(update_message(i, "a.auth.test", "v"));
    // Its answer says that the worker has come this far: the socket's own buffer loses nothing.
    client.send(query_with_id("n1.auth.test TXT", 1000 + round));
    auto packet = client.receive();
    REQUIRE(packet);
    CHECK(id_of(*packet) == 1000 + round);
  }
  // The first one is still in its slot.
  std::uint64_t lost = 10 * kRounds + 1 - DeferredRing::kCapacity;
  CHECK(deferring.inbox.lost() == lost);
  go_on.set_value();
  for (int i = 0; i < 500 && handled < DeferredRing::kCapacity; ++i) std::this_thread::sleep_for(10ms);
  deferring.stop();
  CHECK(handled == DeferredRing::kCapacity);
  CHECK(deferring.inbox.lost() == lost);
}

TEST_CASE("what arrives over rings by the hundred leaves the loop time for its other work", "[dnsd][net]") {
  asio::io_context context{1};
  DeferredInbox inbox(context.get_executor());
  DeferredRing first, second;
  inbox.add(first);
  inbox.add(second);
  for (DeferredRing* ring : {&first, &second}) {
    for (unsigned i = 0; i < 100; ++i) {
      fill(*ring->reserve(), ring == &first ? 1 : 2);
      ring->commit();
    }
  }
  unsigned handled = 0, of_second = 0, at_other_work = 0;
  REQUIRE(inbox.open([&](const DeferredDatagram& datagram) {
    if (++handled == 1) asio::post(context, [&] { at_other_work = handled; });
    of_second += datagram.length == 2 ? 1 : 0;
    if (handled == 40) CHECK(of_second == 20);
    if (handled == 200) inbox.stop();
  }));
  inbox.wake();
  context.run();
  CHECK(handled == 200);
  CHECK(at_other_work > 0);
  CHECK(at_other_work < 100);
}

TEST_CASE("sending to where nobody can is said, and harms nobody", "[dnsd][net]") {
  DatagramOrigin origin;
  CHECK_FALSE(send_datagram(origin, base::as_bytes("an answer")));
}
