// An HTTP/1.1 server on loopback that answers as a test says, also as no good server would.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/descriptor.hpp"

namespace countersign::tests {

struct MockRequest {
  std::string method;
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  [[nodiscard]] std::string header(const std::string& name) const;
};

struct MockReply {
  enum class Fault { None, CloseWithoutAnswer, CutBodyShort, NeverAnswer };
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Fault fault = Fault::None;
};

// Thread: the handler is called from the connections' threads, one call at a time.
class MockHttpServer {
 public:
  using Handler = std::function<MockReply(const MockRequest&)>;
  explicit MockHttpServer(Handler handler);
  ~MockHttpServer();

  [[nodiscard]] std::string url(const std::string& path) const;
  [[nodiscard]] std::vector<MockRequest> requests() const;
  [[nodiscard]] std::size_t count(const std::string& path) const;

 private:
  void accept_connections();
  void serve(int fd);

  Handler handler_;
  base::Descriptor listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<MockRequest> requests_;
  std::vector<int> connections_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace countersign::tests
