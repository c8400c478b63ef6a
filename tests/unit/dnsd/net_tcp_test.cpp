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
using tests::Packet;
using tests::query_with_id;
using tests::Serving;

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
  CHECK(serving.counters().accepted.read() == 1);
  CHECK(serving.counters().refused_short.read() == 1);
}

TEST_CASE("octets that are no DNS end the connection, however many there are", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  client.send(framed(query_with_id("n1.auth.test TXT", 1)) + std::string(200'000, '\0'));
  check_answer(client.receive_message(), 1);
  CHECK(client.is_ended());
  CHECK(serving.counters().refused_short.read() == 1);
}

TEST_CASE("the longest message is answered, octets that follow too", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  Packet longest = query_with_id("n1.auth.test TXT", 1);
  longest.resize(65535, '\0');
  client.send(framed(longest) + framed(query_with_id("n1.auth.test TXT", 2)));
  CHECK(tests::id_of(client.receive_message()) == 1);
  check_answer(client.receive_message(), 2);
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

TEST_CASE("a client that has finished sending gets answers that it takes its time for", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  std::string all;
  constexpr unsigned kCount = 60'000;  // far more than all buffers hold, so that the server has to wait for us
  for (unsigned id = 0; id < kCount; ++id) all += framed(query_with_id("n1.auth.test TXT edns", id));
  std::thread sender([&] {
    std::string_view left = all;
    while (!left.empty()) {
      ssize_t sent = ::send(client.fd(), left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      left.remove_prefix(static_cast<std::size_t>(sent));
    }
    client.finish_sending();
  });
  // Until nothing moves any more: it answers no more queries than it gets rid of answers for.
  const base::Counter& queries = serving.server.counters().queries_tcp;
  for (std::uint64_t before = 1; before != queries.read();) {
    before = queries.read();
    std::this_thread::sleep_for(50ms);
  }
  CHECK(queries.read() < kCount);
  bool in_order = true;
  for (unsigned id = 0; id < kCount && in_order; ++id) in_order = tests::id_of(client.receive_message()) == id;
  CHECK(in_order);
  CHECK(client.receive_message().empty());
  sender.join();
  CHECK(queries.read() == kCount);
}

TEST_CASE("responses sent to the server are dropped, and the connection goes on", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  client.send(framed(query_with_id("n1.auth.test TXT qr", 1)) + framed(query_with_id("n1.auth.test TXT", 2)));
  check_answer(client.receive_message(), 2);
}

TEST_CASE("the loop's other work gets its turn while clients send all they can", "[dnsd][net]") {
  Serving serving;
  std::string many;
  for (unsigned id = 0; id < 1'000; ++id) many += framed(query_with_id("n1.auth.test TXT", id));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&serving, &many, &stop, client = serving.client()] {
      std::string answers(1 << 20, '\0');
      for (std::string_view left = many; !stop; left = left.empty() ? many : left) {
        ssize_t sent = ::send(client.fd(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
        while (recv(client.fd(), answers.data(), answers.size(), MSG_DONTWAIT) > 0) {
        }
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    auto asked = std::chrono::steady_clock::now();
    static_cast<void>(serving.connections());
    CHECK(std::chrono::steady_clock::now() - asked < 1s);
    std::this_thread::sleep_for(2ms);
  }
  CHECK(serving.connections() == 3);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(serving.server.counters().queries_tcp.read() > 10'000);
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

TEST_CASE("stopping answers what has arrived", "[dnsd][net]") {
  Serving serving;
  ClientSocket client = serving.client();
  ask(client);
  std::string all;
  constexpr unsigned kCount = 2'000;  // several reads
  for (unsigned id = 0; id < kCount; ++id) all += framed(query_with_id("n1.auth.test TXT", id));
  // From the server's own thread, so that it has read nothing of it.
  serving.on_loop([&] {
    client.send(all);
    serving.server.stop();
  });
  bool in_order = true;
  for (unsigned id = 0; id < kCount && in_order; ++id) {
    Packet answer = client.receive_message();
    in_order = answer.size() > 2 && tests::id_of(answer) == id;
  }
  CHECK(in_order);
  CHECK(client.receive_message().empty());
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
