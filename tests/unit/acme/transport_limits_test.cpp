// What a transport must not do when much, odd or nothing comes back.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "acme/transport/http.hpp"
#include "base/descriptor.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_http_server.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using base::ErrorCode;
using tests::MockHttpServer;
using tests::MockReply;
using tests::MockRequest;

namespace {

// Says the same to all who connect, whatever they ask.
class Speaker {
 public:
  explicit Speaker(std::string words)
      : words_(std::move(words)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_.get(), generic, length) == 0);
    REQUIRE(::listen(listener_.get(), 16) == 0);
    REQUIRE(::getsockname(listener_.get(), generic, &length) == 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    thread_ = std::thread([this] { speak(); });
  }
  ~Speaker() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  void speak() {
    for (;;) {
      base::Descriptor peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) return;
      std::string request(4096, '\0');
      static_cast<void>(!::recv(peer.get(), request.data(), request.size(), 0));
      static_cast<void>(!::send(peer.get(), words_.data(), words_.size(), MSG_NOSIGNAL));
      ::shutdown(peer.get(), SHUT_WR);
      static_cast<void>(!::recv(peer.get(), request.data(), request.size(), 0));
    }
  }
  std::string words_;
  base::Descriptor listener_;
  std::string url_;
  std::thread thread_;
};

base::Error error_of(const std::string& words) {
  Speaker speaker(words);
  HttpClient client({});
  auto answer = client.perform(HttpRequest{HttpRequest::Method::Get, speaker.url(), {}, ""});
  REQUIRE_FALSE(answer);
  return answer.error();
}

}  // namespace

TEST_CASE("a request's time begins when it is sent, not while it waits for a connection", "[acme]") {
  MockHttpServer server([](const MockRequest& request) {
    std::this_thread::sleep_for(100ms);
    return MockReply{200, {}, request.path};
  });
  HttpOptions options;
  options.max_connections = 1;
  options.timeout = 600ms;
  HttpClient client(options);
  std::vector<HttpRequest> requests;
  for (int i = 0; i < 12; ++i)
    requests.push_back({HttpRequest::Method::Get, server.url("/" + std::to_string(i)), {}, ""});
  auto answers = client.perform(requests);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    INFO(i << ": " << (answers[i] ? "" : answers[i].error().message));
    REQUIRE(answers[i]);
    CHECK(answers[i]->body == "/" + std::to_string(i));
  }
}

TEST_CASE("requests of many threads at one server all get their turn", "[acme]") {
  MockHttpServer server([](const MockRequest& request) {
    std::this_thread::sleep_for(5ms);
    return MockReply{200, {}, request.path};
  });
  HttpOptions options;
  options.max_connections = 2;
  options.timeout = 150ms;
  HttpClient client(options);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 16; ++thread)
    threads.emplace_back([&, thread] {
      std::vector<HttpRequest> requests;
      for (int i = 0; i < 4; ++i)
        requests.push_back({HttpRequest::Method::Get, server.url(fmt::format("/{}-{}", thread, i)), {}, ""});
      // One that fails must free its place, too.
      requests.push_back({HttpRequest::Method::Get, "ftp://127.0.0.1/", {}, ""});
      auto answers = client.perform(requests);
      for (std::size_t i = 0; i < 4; ++i) good += answers[i] && answers[i]->body == fmt::format("/{}-{}", thread, i);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 64);
}

TEST_CASE("an answer that is no HTTP is called that", "[acme]") {
  auto error = error_of("220 mail.example.test ESMTP ready\r\n");
  INFO(error.message);
  CHECK(error.code == ErrorCode::Protocol);
  CHECK(error.message.find("is no HTTP") != std::string::npos);
}

TEST_CASE("a header line beyond all measure is the server's fault, and not a lack of memory", "[acme]") {
  for (const char* begin : {"HTTP/1.1 200 OK\r\nX-Long: ", "HTTP/1.1 200 "}) {
    auto error = error_of(begin + std::string(200'000, 'x') + "\r\nContent-Length: 0\r\n\r\n");
    INFO(error.message);
    CHECK(error.code == ErrorCode::Protocol);
    CHECK(error.message.find("header") != std::string::npos);
  }
}
