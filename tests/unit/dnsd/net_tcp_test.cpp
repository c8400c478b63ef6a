#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "dnsd/net/listeners.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ClientSocket;
using tests::id_of;
using tests::LiveZone;
using tests::Packet;
using tests::query_with_id;

namespace {

Packet framed(const Packet& message) {
  return tests::wire_u16(static_cast<std::uint16_t>(message.size())) + message;
}

struct Serving {
  LiveZone zone;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  base::SocketAddress address;
  TcpServer server;
  std::thread thread;

  explicit Serving(TcpLimits limits = {}, const char* listen = "127.0.0.1:0")
      : server(context, zone.responder(), zone.tcp_reader(), limits) {
    zone.publish("n1.auth.test", "the value");
    auto bound = bind_listeners({*base::SocketAddress::parse(listen)}, 1);
    if (!bound) FAIL(bound.error().message);
    address = bound->addresses[0];
    server.serve(std::move(bound->tcp[0]), address.family());
    thread = std::thread([this] { context.run(); });
  }
  ~Serving() {
    on_loop([this] { server.stop(); });
    guard.reset();
    thread.join();
  }

  [[nodiscard]] ClientSocket client() const { return ClientSocket(address, SOCK_STREAM); }
  template <class Function>
  std::invoke_result_t<Function> on_loop(Function function) {
    std::packaged_task<std::invoke_result_t<Function>()> task(std::move(function));
    auto result = task.get_future();
    asio::post(context, [&task] { task(); });
    return result.get();
  }
  [[nodiscard]] std::size_t connections() {
    return on_loop([this] { return server.connections(); });
  }
};

void check_answer(const std::string& packet, unsigned id) {
  auto message = tests::decode(packet);
  REQUIRE(message);
  CHECK(message->id == id);
  REQUIRE(message->answer.size() == 1);
  CHECK(message->answer[0].find("the value") != std::string::npos);
}

}  // namespace

TEST_CASE("queries that are pipelined are answered in their order", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  std::string all;
  constexpr unsigned kCount = 500;
  for (unsigned id = 0; id < kCount; ++id) all += framed(query_with_id("n1.auth.test TXT edns", id));
  client.send(all);
  for (unsigned id = 0; id < kCount; ++id) check_answer(client.receive_message(), id);
  CHECK(serving.server.counters().queries_tcp.read() == kCount);
}

TEST_CASE("a query in segments of one octet is answered", "[dnsd][net]") {
  Serving serving({}, "[::1]:0");
  ClientSocket client = serving.client();
  int one = 1;
  setsockopt(client.fd(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
  for (char octet : framed(query_with_id("n1.auth.test TXT", 5))) client.send(std::string_view(&octet, 1));
  check_answer(client.receive_message(), 5);
}

TEST_CASE("a message of no octets ends the connection after what came before it", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  client.send(framed(query_with_id("n1.auth.test TXT", 1)) + std::string(2, '\0'));
  check_answer(client.receive_message(), 1);
  CHECK(client.is_ended());
}

TEST_CASE("a client that has finished sending still gets its answers", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  // The last one is cut short.
  client.send(framed(query_with_id("n1.auth.test TXT", 1)) + framed(query_with_id("n1.auth.test TXT", 2)) +
              std::string("\0\x20xyz", 5));
  client.finish_sending();
  check_answer(client.receive_message(), 1);
  check_answer(client.receive_message(), 2);
  CHECK(client.receive_message().empty());
}

TEST_CASE("responses sent to the server are dropped, and the connection goes on", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  client.send(framed(query_with_id("n1.auth.test TXT qr", 1)) + framed(query_with_id("n1.auth.test TXT", 2)));
  check_answer(client.receive_message(), 2);
}

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
}

TEST_CASE("an answered query starts the idle time anew", "[dnsd][net]") {
  Serving serving(TcpLimits{10, 400ms});
  ClientSocket client = serving.client();
  for (unsigned id = 0; id < 4; ++id) {
    std::this_thread::sleep_for(150ms);
    client.send(framed(query_with_id("n1.auth.test TXT", id)));
    check_answer(client.receive_message(), id);
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
}

TEST_CASE("at the limit the connection that was idle longest makes room", "[dnsd][net]") {
  Serving serving(TcpLimits{3, 10'000ms});
  ClientSocket first = serving.client(), second = serving.client(), third = serving.client();
  for (ClientSocket* client : {&first, &second, &third, &first}) {
    client->send(framed(query_with_id("n1.auth.test TXT", 1)));
    check_answer(client->receive_message(), 1);
  }
  ClientSocket fourth = serving.client();
  fourth.send(framed(query_with_id("n1.auth.test TXT", 4)));
  check_answer(fourth.receive_message(), 4);
  CHECK(second.is_ended());
  for (ClientSocket* client : {&first, &third}) {
    client->send(framed(query_with_id("n1.auth.test TXT", 5)));
    check_answer(client->receive_message(), 5);
  }
  CHECK(serving.connections() == 3);
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
  third.send(framed(query_with_id("n1.auth.test TXT", 4)));
  check_answer(third.receive_message(), 4);
}

TEST_CASE("stopping closes idle connections and takes no new ones", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  client.send(framed(query_with_id("n1.auth.test TXT", 1)));
  check_answer(client.receive_message(), 1);
  serving.on_loop([&] { serving.server.stop(); });
  CHECK(client.is_ended());
  base::Descriptor late(::socket(AF_INET, SOCK_STREAM, 0));
  CHECK(connect(late.get(), serving.address.data(), serving.address.size()) != 0);
}

TEST_CASE("TCP queries are seen with their transport while somebody listens", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  SeenRing& ring = serving.server.seen();
  auto ask = [&](unsigned id) {
    client.send(framed(query_with_id("N1.auth.test TXT", id)));
    check_answer(client.receive_message(), id);
  };
  ask(1);
  serving.on_loop([&] { ring.listen(); });
  ask(2);
  SeenEvent event;
  REQUIRE(ring.pop(event));
  CHECK(event.transport == Transport::Tcp);
  CHECK(event.wire() == tests::wire_name("n1.auth.test"));
  CHECK(event.values == 1);
  CHECK(event.client.address_text() == "127.0.0.1");
  CHECK_FALSE(ring.pop(event));
}
