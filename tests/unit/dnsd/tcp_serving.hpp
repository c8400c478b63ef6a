// A TcpServer on a loop of its own, for the tests of it.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "dnsd/net/listeners.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "tests/unit/dnsd/client_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

namespace countersign::tests {

[[nodiscard]] inline Packet framed(const Packet& message) {
  return wire_u16(static_cast<std::uint16_t>(message.size())) + message;
}

struct Serving {
  LiveZone zone;
  dnsd::asio::io_context context{1};
  dnsd::asio::executor_work_guard<dnsd::asio::io_context::executor_type> guard{context.get_executor()};
  base::SocketAddress address;
  dnsd::TcpServer server;
  std::thread thread;

  explicit Serving(dnsd::TcpLimits limits = {}, const char* listen = "127.0.0.1:0")
      : server(context, zone.responder(), zone.tcp_reader(), limits) {
    zone.publish("n1.auth.test", "the value");
    auto bound = dnsd::bind_listeners({*base::SocketAddress::parse(listen)}, 1);
    if (!bound) FAIL(bound.error().message);
    address = bound->addresses[0];
    if (auto serving = server.serve(std::move(bound->tcp[0])); !serving) FAIL(serving.error().message);
    thread = std::thread([this] { context.run(); });
  }
  ~Serving() {
    on_loop([this] { server.stop(); });
    guard.reset();
    thread.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  [[nodiscard]] ClientSocket client(std::string_view source = {}) const {
    return ClientSocket(address, SOCK_STREAM, source);
  }
  template <class Function>
  std::invoke_result_t<Function> on_loop(Function function) {
    std::packaged_task<std::invoke_result_t<Function>()> task(std::move(function));
    auto result = task.get_future();
    dnsd::asio::post(context, [&task] { task(); });
    return result.get();
  }
  [[nodiscard]] std::size_t connections() {
    return on_loop([this] { return server.connections(); });
  }
  [[nodiscard]] const dnsd::TcpCounters& counters() const { return server.tcp_counters(); }
};

inline void check_answer(const Packet& packet, unsigned id) {
  auto message = decode(packet);
  REQUIRE(message);
  CHECK(message->id == id);
  REQUIRE(message->answer.size() == 1);
  CHECK(message->answer[0].find("the value") != std::string::npos);
}

// One query and its answer.
inline void ask(ClientSocket& client, unsigned id = 1) {
  client.send(framed(query_with_id("n1.auth.test TXT", id)));
  check_answer(client.receive_message(), id);
}

}  // namespace countersign::tests
