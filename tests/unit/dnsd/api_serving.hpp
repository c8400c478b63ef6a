// An ApiServer on a loop of its own, for the tests of it.
#pragma once

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "dnsd/api/api_server.hpp"
#include "tests/unit/dnsd/client_socket.hpp"

namespace countersign::tests {

// What the server says before the fields of an answer's own.
[[nodiscard]] inline std::string head_of(std::string_view status) {
  return fmt::format("HTTP/1.1 {}\r\nServer: countersignd\r\nVary: Origin\r\nCache-Control: no-store\r\n", status);
}
[[nodiscard]] inline std::string plain_answer(std::string_view body, std::string_view more = "") {
  std::string type = body.empty() ? "" : "Content-Type: application/json\r\n";
  return fmt::format("{}{}Content-Length: {}\r\n{}\r\n{}", head_of("200 OK"), type, body.size(), more, body);
}
// And the connection ends.
[[nodiscard]] inline std::string error_answer(std::string_view status, std::string_view word) {
  std::string body = fmt::format(R"({{"error": "{}"}})", word);
  return fmt::format(
      "{}Access-Control-Allow-Origin: *\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: "
      "close\r\n\r\n{}",
      head_of(status), body.size(), body);
}

// Answers "METHOD TARGET BODY"; "/empty" with nothing, "/field/NAME" with that field of the request, "/large" with
// eight megabytes, "/peer" with the client's address, "/wait" after release().
class EchoApi {
 public:
  explicit EchoApi(dnsd::asio::io_context& context) : gate_(context) { gate_.expires_at(gate_.expiry().max()); }

  // Not a capturing lambda that is a coroutine: its frame would outlive what it captures.
  [[nodiscard]] dnsd::asio::awaitable<dnsd::HttpResponse> answer(dnsd::HttpRequest request) {
    if (request.target == "/wait") {
      ++waiting;
      auto waited = co_await gate_.async_wait(dnsd::kAsTuple);
      static_cast<void>(waited);
      --waiting;
    }
    if (request.target == "/empty") co_return dnsd::HttpResponse();
    if (request.target == "/large") co_return dnsd::HttpResponse(200, std::string(kLarge, 'x'));
    if (request.target == "/peer") co_return dnsd::HttpResponse(200, request.peer.address_text());
    if (request.target == "/nothing") co_return dnsd::HttpResponse(204);
    if (request.target == "/odd") {
      dnsd::HttpResponse odd(405, "{}");
      odd.fields = {{"Allow", "GET"}, {"Location", "/a\r\nSet-Cookie: stolen"}};
      odd.close = true;
      co_return odd;
    }
    constexpr std::string_view kField = "/field/";
    if (request.target.starts_with(kField))
      co_return dnsd::HttpResponse(200, std::string(request.field(request.target.substr(kField.size()))));
    co_return dnsd::HttpResponse(200, request.method + " " + request.target + " " + request.body);
  }
  void release() { gate_.cancel(); }

  static constexpr std::size_t kLarge = std::size_t{8} << 20U;
  int waiting = 0;

 private:
  dnsd::asio::steady_timer gate_;
};

struct ApiServing {
  dnsd::asio::io_context context{1};
  dnsd::asio::executor_work_guard<dnsd::asio::io_context::executor_type> guard{context.get_executor()};
  EchoApi echo{context};
  dnsd::ApiServer server;
  base::SocketAddress address;
  std::thread thread;

  explicit ApiServing(const conf::Api& api = {}, dnsd::ApiDeadlines deadlines = {})
      : server(context, [this](dnsd::HttpRequest request) { return echo.answer(std::move(request)); }, deadlines) {
    auto bound = dnsd::bind_api_listeners({*base::SocketAddress::parse("127.0.0.1:0")});
    if (!bound) FAIL(bound.error().message);
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    REQUIRE(getsockname(bound->at(0).get(), reinterpret_cast<sockaddr*>(&storage), &length) == 0);
    address = base::SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), length);
    if (auto used = server.use(api); !used) FAIL(used.error().message);
    if (auto serving = server.serve(std::move(*bound)); !serving) FAIL(serving.error().message);
    thread = std::thread([this] { context.run(); });
  }
  // Also says that nothing keeps a loop running whose server has stopped.
  ~ApiServing() {
    if (!thread.joinable()) return;
    on_loop([this] {
      server.stop();
      echo.release();
    });
    guard.reset();
    thread.join();
  }
  // What a second signal does to the daemon.
  void abandon() {
    context.stop();
    thread.join();
  }
  ApiServing(const ApiServing&) = delete;
  ApiServing& operator=(const ApiServing&) = delete;

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
  [[nodiscard]] dnsd::ApiCounters counters() {
    return on_loop([this] { return server.counters(); });
  }
  // However long the loop takes to get there.
  template <class Condition>
  void until(Condition condition) {
    while (!on_loop(condition)) std::this_thread::yield();
  }
  [[nodiscard]] base::Result<void> use(const conf::Api& api) {
    return on_loop([this, &api] { return server.use(api); });
  }
};

// The client sends `request` and gets exactly `answer`.
inline void exchange(ClientSocket& client, std::string_view request, std::string_view answer) {
  client.send(request);
  CHECK(client.receive_exactly(answer.size()) == answer);
}

// The same, and then the end.
inline void last_exchange(ClientSocket client, std::string_view request, std::string_view answer) {
  client.send(request);
  std::string got;
  while (auto part = client.receive()) {
    if (part->empty()) break;
    got += *part;
  }
  CHECK(got == answer);
}

}  // namespace countersign::tests
