// Updates all the way: from sockets through worker, inbox or session, service and store, and back.
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <set>
#include <thread>

#include "dnsd/net/listeners.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "dnsd/update/update_service.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"
#include "tests/unit/dnsd/tcp_serving.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ClientSocket;
using tests::framed;
using tests::id_of;
using tests::Packet;
using tests::query_with_id;
using tests::rcode_of;
using tests::TsigClient;
using tests::update_message;

namespace {

constexpr std::uint64_t kTime = 1'795'000'000;  // where the fake clock stands

std::shared_ptr<UpdatePolicy> make_policy() {
  auto policy = std::make_shared<UpdatePolicy>();
  TsigKey key;
  key.name = *base::Name::parse("key.test");
  key.secret = TsigClient().secret;
  key.allow = {{*base::Name::parse("auth.test"), true}};
  policy->keys = {key};
  policy->zones = {*base::Name::parse("auth.test")};
  return policy;
}

// One worker, TCP and the service, as the daemon has them.
struct Updating {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  tests::LiveZone zone;
  DeferredInbox inbox{context.get_executor()};
  Listeners listeners;
  std::unique_ptr<UdpWorker> worker;
  TcpServer tcp{context, zone.responder(), zone.tcp_reader(), {}};
  UpdateService service{context.get_executor(), zone.publisher(), zone.responder(), zone.second_reader(), zone.clock()};
  TsigClient key;
  std::thread thread;

  Updating() {
    service.use(make_policy());
    zone.use({.defers_signed = true});
    auto bound = bind_listeners({*base::SocketAddress::parse("127.0.0.1:0")}, 1);
    if (!bound) FAIL(bound.error().message);
    listeners = std::move(*bound);
    REQUIRE(inbox.open(connect_service(service, tcp)));
    worker = std::make_unique<UdpWorker>(0, std::move(listeners.udp[0]), zone.responder(), zone.first_reader());
    worker->defer_to(inbox);
    REQUIRE(worker->start());
    REQUIRE(tcp.serve(std::move(listeners.tcp[0])));
    thread = std::thread([this] { context.run(); });
  }
  ~Updating() {
    on_loop([this] {
      inbox.stop();
      tcp.stop();
      return 0;
    });
    guard.reset();
    thread.join();
    worker->stop();
    worker->join();
  }
  Updating(const Updating&) = delete;
  Updating& operator=(const Updating&) = delete;

  template <class Function>
  std::invoke_result_t<Function> on_loop(Function function) {
    std::packaged_task<std::invoke_result_t<Function>()> task(std::move(function));
    auto result = task.get_future();
    asio::post(context, [&task] { task(); });
    return result.get();
  }
  [[nodiscard]] ClientSocket client(int kind) const { return ClientSocket(listeners.addresses[0], kind); }
  [[nodiscard]] std::size_t values(ClientSocket& client, std::string_view name) const {
    client.send(query_with_id(std::string(name) + " TXT edns", 1));
    auto packet = client.receive();
    REQUIRE(packet);
    return tests::decode(*packet)->answer.size();
  }
  // The first job of the store is one that lasts until `gate` is set.
  void hold_store(std::promise<void>& gate) {
    std::promise<void> held;
    auto open = std::make_shared<std::shared_future<void>>(gate.get_future().share());
    zones::TxtChange change;
    change.name = *base::Name::parse("hold.auth.test");
    change.value = *zones::TxtValue::parse("v");
    change.owner = "control";
    zone.publisher().submit(std::move(change), [&held, open](const tests::LiveZone::Values&) {
      auto waiting = *open;
      held.set_value();
      waiting.wait();
    });
    held.get_future().wait();
  }
  void wait_for_pending(std::size_t count) {
    for (int i = 0; i < 1000 && on_loop([this] { return service.pending(); }) != count; ++i)
      std::this_thread::sleep_for(5ms);
    REQUIRE(on_loop([this] { return service.pending(); }) == count);
  }
};

}  // namespace

TEST_CASE("an update over UDP is in the next query's answer", "[dnsd][update]") {
  Updating updating;
  ClientSocket client = updating.client(SOCK_DGRAM);
  for (unsigned id = 1; id <= 20; ++id) {
    bool removes = id % 2 == 0;
    TsigClient::Signed request =
        updating.key.sign(update_message(id, "a.auth.test", "v" + std::to_string((id - 1) / 2), removes), kTime);
    client.send(request.wire);
    auto answer = client.receive();
    REQUIRE(answer);
    CHECK(id_of(*answer) == id);
    CHECK(rcode_of(*answer) == 0);
    CHECK(updating.key.verifies(*answer, request.mac));
    CHECK(updating.values(client, "a.auth.test") == (removes ? 0U : 1U));
  }
  CHECK(updating.on_loop([&] { return updating.service.counters().applied; }) == 20);
}

TEST_CASE("64 updates over one TCP connection are in flight together, and each is answered", "[dnsd][update]") {
  Updating updating;
  std::promise<void> gate;
  updating.hold_store(gate);
  ClientSocket client = updating.client(SOCK_STREAM);
  std::vector<TsigClient::Signed> requests;
  std::string all;
  for (unsigned id = 0; id < 64; ++id) {
    requests.push_back(updating.key.sign(update_message(id, "n" + std::to_string(id) + ".auth.test", "v"), kTime));
    all += framed(requests.back().wire);
  }
  client.send(all);
  updating.wait_for_pending(64);
  gate.set_value();
  std::set<unsigned> answered;
  for (unsigned i = 0; i < 64; ++i) {
    Packet answer = client.receive_message();
    REQUIRE(answer.size() > 12);
    CHECK(rcode_of(answer) == 0);
    REQUIRE(id_of(answer) < 64);
    CHECK(updating.key.verifies(answer, requests[id_of(answer)].mac));
    answered.insert(id_of(answer));
  }
  CHECK(answered.size() == 64);
  ClientSocket asker = updating.client(SOCK_DGRAM);
  for (unsigned id = 0; id < 64; ++id) CHECK(updating.values(asker, "n" + std::to_string(id) + ".auth.test") == 1);
}

TEST_CASE("a connection that closes while its update waits does not take it back", "[dnsd][update]") {
  Updating updating;
  std::promise<void> gate;
  updating.hold_store(gate);
  {
    ClientSocket client = updating.client(SOCK_STREAM);
    client.send(framed(updating.key.sign(update_message(1, "a.auth.test", "v"), kTime).wire));
    updating.wait_for_pending(1);
    linger now{1, 0};
    setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  for (int i = 0; i < 1000 && updating.on_loop([&] { return updating.tcp.connections(); }) != 0; ++i)
    std::this_thread::sleep_for(5ms);
  CHECK(updating.on_loop([&] { return updating.tcp.connections(); }) == 0);
  gate.set_value();
  updating.wait_for_pending(0);
  ClientSocket asker = updating.client(SOCK_DGRAM);
  CHECK(updating.values(asker, "a.auth.test") == 1);
}

TEST_CASE("an update is answered after its client half-closed", "[dnsd][update]") {
  Updating updating;
  std::promise<void> gate;
  updating.hold_store(gate);
  ClientSocket client = updating.client(SOCK_STREAM);
  TsigClient::Signed request = updating.key.sign(update_message(1, "a.auth.test", "v"), kTime);
  client.send(framed(request.wire));
  client.finish_sending();
  updating.wait_for_pending(1);
  gate.set_value();
  Packet answer = client.receive_message();
  CHECK(rcode_of(answer) == 0);
  CHECK(updating.key.verifies(answer, request.mac));
  CHECK(client.is_ended());
}

TEST_CASE("a replayed datagram does not resurrect a removed value, whichever way it comes", "[dnsd][update]") {
  Updating updating;
  ClientSocket client = updating.client(SOCK_DGRAM);
  TsigClient::Signed add = updating.key.sign(update_message(1, "a.auth.test", "v"), kTime);
  TsigClient::Signed remove = updating.key.sign(update_message(2, "a.auth.test", "v", true), kTime);
  for (const auto* request : {&add, &remove, &add, &add}) {
    client.send(request->wire);
    auto answer = client.receive();
    REQUIRE(answer);
    CHECK(rcode_of(*answer) == 0);
    CHECK(updating.key.verifies(*answer, request->mac));
  }
  CHECK(updating.values(client, "a.auth.test") == 0);
  ClientSocket stream = updating.client(SOCK_STREAM);
  stream.send(framed(add.wire));
  CHECK(rcode_of(stream.receive_message()) == 0);
  CHECK(updating.values(client, "a.auth.test") == 0);
  CHECK(updating.on_loop([&] { return updating.service.counters().replayed; }) == 3);
}

TEST_CASE("a flood of unsigned updates is refused, and signed ones are applied all the same", "[dnsd][update]") {
  Updating updating;
  std::atomic<bool> stop{false};
  std::thread flooder([&, socket = updating.client(SOCK_DGRAM)]() mutable {
    Packet packet = update_message(1, "a.auth.test", "flood");
    while (!stop) {
      for (unsigned i = 0; i < 16; ++i)
        static_cast<void>(::send(socket.fd(), packet.data(), packet.size(), MSG_DONTWAIT));
      std::this_thread::sleep_for(1ms);
    }
  });
  ClientSocket client = updating.client(SOCK_STREAM);
  for (unsigned id = 0; id < 20; ++id) {
    TsigClient::Signed request =
        updating.key.sign(update_message(id, "n" + std::to_string(id) + ".auth.test", "v"), kTime);
    client.send(framed(request.wire));
    Packet answer = client.receive_message();
    CHECK(id_of(answer) == id);
    CHECK(rcode_of(answer) == 0);
  }
  stop = true;
  flooder.join();
  ClientSocket asker = updating.client(SOCK_DGRAM);
  CHECK(updating.values(asker, "a.auth.test") == 0);
  CHECK(updating.on_loop([&] { return updating.service.counters().refused; }) > 0);
}
