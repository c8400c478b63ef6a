#include <deque>
#include <set>

#include "tests/unit/dnsd/tcp_serving.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ask;
using tests::ClientSocket;
using tests::framed;
using tests::id_of;
using tests::Packet;
using tests::query_with_id;
using tests::update_message;

namespace {

using Send = std::function<void(std::string)>;

std::string echo(const Packet& message) {
  std::string answer = message;
  answer[2] = static_cast<char>(static_cast<unsigned char>(answer[2]) | 0x80U);
  return answer;
}

// Not only a half-close.
void reset_at_close(const ClientSocket& client) {
  linger now{1, 0};
  setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

// Keeps what is deferred until it is told to answer.
struct Holding {
  struct Held {
    std::string message;
    Send send;
  };
  std::deque<Held> held;  // the loop's
  std::string from;       // the loop's
  tests::Serving serving;

  explicit Holding(TcpLimits limits = {}) : serving(limits) {
    serving.zone.use({.defers_signed = true});
    serving.on_loop([this] {
      serving.server.set_deferred_handler([this](base::Bytes message, const base::SocketAddress& client, Send send) {
        from = client.address_text();
        held.push_back({std::string(base::as_text(message)), std::move(send)});
      });
    });
  }
  [[nodiscard]] std::size_t count() {
    return serving.on_loop([this] { return held.size(); });
  }
  void wait_for(std::size_t count) {
    for (int i = 0; i < 1000 && this->count() < count; ++i) std::this_thread::sleep_for(5ms);
    REQUIRE(this->count() == count);
  }
  void wait_for_connections(std::size_t count) {
    for (int i = 0; i < 1000 && serving.connections() != count; ++i) std::this_thread::sleep_for(5ms);
    REQUIRE(serving.connections() == count);
  }
  // The newest first: order is free (RFC 7766 §7).
  void answer_all() {
    serving.on_loop([this] {
      while (!held.empty()) {
        held.back().send(echo(held.back().message));
        held.pop_back();
      }
    });
  }
};

}  // namespace

TEST_CASE("answers of 64 messages come later over one connection, in another order", "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  std::string all;
  for (unsigned id = 0; id < 64; ++id) all += framed(update_message(id, "a.auth.test", "v"));
  client.send(all);
  holding.wait_for(64);
  // Others go on meanwhile, over this connection, too.
  ask(client, 1000);
  CHECK(holding.serving.on_loop([&] { return holding.from; }) == "127.0.0.1");
  holding.answer_all();
  for (unsigned id = 64; id-- > 0;) CHECK(client.receive_message() == echo(update_message(id, "a.auth.test", "v")));
  ask(client, 1001);
  CHECK(holding.serving.server.counters().queries_tcp.read() == 66);
}

TEST_CASE("beyond 64 messages at once a client hears that we are busy, and after an answer it is served again",
          "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  std::string all;
  for (unsigned id = 0; id < 66; ++id) all += framed(update_message(id, "a.auth.test", "v"));
  client.send(all);
  for (unsigned id = 64; id < 66; ++id) {
    Packet busy = client.receive_message();
    REQUIRE(busy.size() == 12);
    CHECK(id_of(busy) == id);
    CHECK(static_cast<unsigned char>(busy[2]) == 0xa8);  // QR, opcode UPDATE
    CHECK(tests::rcode_of(busy) == 2);
  }
  CHECK(holding.count() == 64);
  holding.answer_all();
  for (unsigned i = 0; i < 64; ++i) CHECK(client.receive_message().size() > 12);
  client.send(framed(update_message(99, "a.auth.test", "v")));
  holding.wait_for(1);
  holding.answer_all();
  CHECK(id_of(client.receive_message()) == 99);
}

TEST_CASE("an answer that is there at once keeps its place among the others", "[dnsd][net]") {
  tests::Serving serving;
  serving.zone.use({.defers_signed = true});
  serving.on_loop([&] {
    serving.server.set_deferred_handler([](base::Bytes message, const base::SocketAddress&, const Send& send) {
      send(echo(Packet(base::as_text(message))));
      send("a second one is not sent");
    });
  });
  ClientSocket client = serving.client();
  std::string all;
  for (unsigned id = 0; id < 300; ++id)
    all += framed(id % 3 == 0 ? query_with_id("n1.auth.test TXT", id) : update_message(id, "a.auth.test", "v"));
  client.send(all);
  for (unsigned id = 0; id < 300; ++id) {
    Packet answer = client.receive_message();
    REQUIRE(answer.size() > 12);
    CHECK(id_of(answer) == id);
  }
}

TEST_CASE("a message without an answer, or without anybody to answer it, leaves the connection as it was",
          "[dnsd][net]") {
  tests::Serving serving;
  serving.zone.use({.defers_signed = true});
  ClientSocket client = serving.client();
  client.send(framed(update_message(1, "a.auth.test", "v")));
  ask(client, 2);
  std::vector<Send> later;
  serving.on_loop([&] {
    serving.server.set_deferred_handler([&later](base::Bytes message, const base::SocketAddress&, Send send) {
      if (message.size() % 2 == 0) return send({});
      later.push_back(std::move(send));
    });
  });
  client.send(framed(update_message(3, "a.auth.test", "v")));
  client.send(framed(update_message(4, "a.auth.test", "vv")));
  ask(client, 5);
  serving.on_loop([&] {
    for (Send& send : later) send({});
  });
  CHECK(later.size() == 1);
  ask(client, 6);
}

TEST_CASE("a client that half-closed gets the answers that come later, and then the end", "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  client.send(framed(update_message(1, "a.auth.test", "v")) + framed(update_message(2, "b.auth.test", "v")));
  client.finish_sending();
  holding.wait_for(2);
  CHECK(holding.serving.connections() == 1);
  holding.answer_all();
  CHECK(id_of(client.receive_message()) == 2);
  CHECK(id_of(client.receive_message()) == 1);
  CHECK(client.is_ended());
  holding.wait_for_connections(0);
}

TEST_CASE("what follows as no DNS ends the connection after the answers that come later", "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  client.send(framed(update_message(1, "a.auth.test", "v")) + std::string("\0\3abc", 5));
  holding.wait_for(1);
  holding.answer_all();
  CHECK(id_of(client.receive_message()) == 1);
  CHECK(client.is_ended());
  CHECK(holding.serving.counters().refused_short.read() == 1);
}

TEST_CASE("an answer to a connection that is gone goes nowhere", "[dnsd][net]") {
  Holding holding;
  {
    ClientSocket client = holding.serving.client();
    client.send(framed(update_message(1, "a.auth.test", "v")));
    holding.wait_for(1);
    reset_at_close(client);
  }
  holding.wait_for_connections(0);
  // Its place in memory may be another's by now.
  ClientSocket other = holding.serving.client();
  ask(other, 2);
  holding.answer_all();
  ask(other, 3);
}

TEST_CASE("a reset after a half-close ends the session, whatever is still to come for it", "[dnsd][net]") {
  Holding holding;
  {
    ClientSocket client = holding.serving.client();
    client.send(framed(update_message(1, "a.auth.test", "v")));
    client.finish_sending();
    holding.wait_for(1);
    reset_at_close(client);
  }
  holding.wait_for_connections(0);
  holding.answer_all();
}

TEST_CASE("a connection is not idle while an answer is still to come, and is afterwards", "[dnsd][net]") {
  Holding holding(TcpLimits{10, 100ms});
  ClientSocket client = holding.serving.client();
  client.send(framed(update_message(1, "a.auth.test", "v")));
  holding.wait_for(1);
  std::this_thread::sleep_for(500ms);
  CHECK(holding.serving.connections() == 1);
  holding.answer_all();
  CHECK(id_of(client.receive_message()) == 1);
  CHECK(client.is_ended());
  CHECK(holding.serving.counters().closed_idle.read() == 1);
}

TEST_CASE("stopping waits for the answers that come later", "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  ClientSocket idle = holding.serving.client();
  ask(idle);
  client.send(framed(update_message(1, "a.auth.test", "v")));
  holding.wait_for(1);
  holding.serving.on_loop([&] { holding.serving.server.stop(); });
  CHECK(idle.is_ended());
  CHECK(holding.serving.connections() == 1);
  holding.answer_all();
  CHECK(id_of(client.receive_message()) == 1);
  CHECK(client.is_ended());
  CHECK(holding.serving.connections() == 0);
}

TEST_CASE("late answers to a client that does not read wait until it does", "[dnsd][net]") {
  Holding holding;
  ClientSocket client = holding.serving.client();
  std::string all;
  for (unsigned id = 0; id < 64; ++id) all += framed(update_message(id, "a.auth.test", "v"));
  client.send(all);
  holding.wait_for(64);
  constexpr std::size_t kLarge = 65'000;  // 4 MB together: more than the kernel takes
  holding.serving.on_loop([&] {
    for (Holding::Held& held : holding.held) held.send(echo(held.message) + std::string(kLarge, 'x'));
  });
  for (unsigned id = 0; id < 64; ++id) {
    Packet answer = client.receive_message();
    REQUIRE(answer.size() > kLarge);
    CHECK(id_of(answer) == id);
    CHECK(answer.ends_with(std::string(kLarge, 'x')));
  }
  holding.serving.on_loop([&] { holding.held.clear(); });
  ask(client, 70);
}

TEST_CASE("an answer may be sent while another message is being deferred, and after the server's end", "[dnsd][net]") {
  Send kept;
  {
    tests::Serving serving;
    serving.zone.use({.defers_signed = true});
    serving.on_loop([&] {
      serving.server.set_deferred_handler([&kept](base::Bytes message, const base::SocketAddress&, Send send) {
        // The answer to the one before.
        if (kept) kept(echo(update_message(id_of(Packet(base::as_text(message))) - 1, "a.auth.test", "v")));
        kept = std::move(send);
      });
    });
    ClientSocket first = serving.client();
    ClientSocket second = serving.client();
    first.send(framed(update_message(1, "a.auth.test", "v")));
    for (int i = 0; i < 1000 && !serving.on_loop([&] { return kept != nullptr; }); ++i)
      std::this_thread::sleep_for(5ms);
    second.send(framed(update_message(2, "a.auth.test", "v")) + framed(update_message(3, "a.auth.test", "v")));
    CHECK(id_of(first.receive_message()) == 1);
    CHECK(id_of(second.receive_message()) == 2);
    reset_at_close(second);
  }
  REQUIRE(kept);
  kept("too late");
}
