// An ACME server that answers as a test says: for what no good CA does.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "tests/support/mock_http_server.hpp"

namespace countersign::tests {

// A CA whose directory and newNonce are right; everything else answers as the test says.
class MockCa {
 public:
  MockCa() : server_([this](const MockRequest& request) { return answer(request); }) {
    replies["/dir"] = [this](const MockRequest&) { return json(200, directory()); };
    replies["/nonce"] = [](const MockRequest&) { return MockReply{200, {}, ""}; };
  }

  [[nodiscard]] std::string directory() const {
    return fmt::format(
        R"({{"newNonce":"{0}/nonce","newAccount":"{0}/account","newOrder":"{0}/order","x":"random"{1}}})", url(""),
        directory_extras);
  }
  [[nodiscard]] std::string url(const std::string& path) const { return server_.url(path); }
  [[nodiscard]] const MockHttpServer& server() const { return server_; }

  static MockReply json(int status, std::string body) {
    return {
        status, {{"Content-Type", status < 400 ? "application/json" : "application/problem+json"}}, std::move(body)};
  }
  static MockReply problem(int status, const std::string& type, const std::string& detail) {
    return json(status, fmt::format(R"({{"type":"urn:ietf:params:acme:error:{}","detail":"{}"}})", type, detail));
  }
  void reply(const std::string& path, MockReply reply) {
    // Between two requests; the lock tells the thread sanitizer so.
    std::lock_guard lock(replying_);
    replies[path] = [reply = std::move(reply)](const MockRequest&) { return reply; };
  }
  [[nodiscard]] std::string order_body(const std::string& status, const std::string& more = "") const {
    return fmt::format(
        R"({{"status":"{0}","identifiers":[{{"type":"dns","value":"a.test"}}],"authorizations":["{1}/authz"],)"
        R"("finalize":"{1}/finalize"{2}}})",
        status, url(""), more);
  }

  std::string directory_extras;  // further members of the directory: ,"keyChange":"..."
  std::map<std::string, std::function<MockReply(const MockRequest&)>> replies;

 private:
  MockReply answer(const MockRequest& request) {
    {
      std::lock_guard lock(replying_);
    }
    MockReply reply = composed(request);
    {
      std::lock_guard lock(replying_);
    }
    return reply;
  }
  // Without the lock: a reply may set another one.
  MockReply composed(const MockRequest& request) {
    auto found = replies.find(request.path);
    MockReply reply = found == replies.end() ? MockReply{404, {}, "?"} : found->second(request);
    bool given = false;
    for (const auto& [name, value] : reply.headers) given = given || name == "Replay-Nonce";
    if (!given) reply.headers.emplace_back("Replay-Nonce", "nonce" + std::to_string(++nonces_));
    return reply;
  }

  int nonces_ = 0;
  std::mutex replying_;
  MockHttpServer server_;
};

}  // namespace countersign::tests
