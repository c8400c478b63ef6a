// A name server inside the test: its handler decides, datagram by datagram, what goes back.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "acme/check/message.hpp"
#include "base/descriptor.hpp"
#include "base/socket_address.hpp"

namespace countersign::test {

enum class Via { Udp, Tcp };

struct Asked {
  std::string message;  // as it came
  std::string name;     // lower case, without the final dot
  std::uint16_t type = 0;
  bool recursion = false;
  bool edns = false;
  Via via = Via::Udp;
};

// A reply in words. Records: "www.example.test A 192.0.2.1"; TXT data without quotes is one string.
struct Says {
  unsigned rcode = 0;
  bool aa = false;
  bool ra = true;
  bool tc = false;
  std::vector<std::string> answer = {};
  std::vector<std::string> authority = {};
  std::vector<std::string> additional = {};
  std::optional<std::pair<std::uint16_t, std::string>> ede = {};
};

[[nodiscard]] std::string reply_to(const Asked& asked, const Says& says);

class FakeNameServer {
 public:
  // The messages to send back, in order; none = silence.
  using Handler = std::function<std::vector<std::string>(const Asked&)>;

  explicit FakeNameServer(Handler handler, const std::string& address = "127.0.0.1");
  ~FakeNameServer();
  FakeNameServer(const FakeNameServer&) = delete;
  FakeNameServer& operator=(const FakeNameServer&) = delete;

  [[nodiscard]] const base::SocketAddress& address() const { return address_; }
  // What was asked so far. Only after the questions were answered: the thread is still running.
  [[nodiscard]] std::vector<Asked> log() const;

 private:
  void run();
  void serve_datagram();
  void serve_connection();
  std::vector<std::string> handle(std::string message, Via via);

  Handler handler_;
  base::Descriptor udp_, tcp_, stop_read_, stop_write_;
  base::SocketAddress address_;
  mutable std::mutex mutex_;
  std::vector<Asked> log_;
  std::thread thread_;
};

// A port of 127.0.0.1 where nobody listens, for UDP and TCP.
[[nodiscard]] base::SocketAddress closed_port();

// A resolver's view of the DNS as a table: {"name TYPE", reply}. What is not in it is NXDOMAIN from example.test.
[[nodiscard]] FakeNameServer::Handler table(std::map<std::string, Says> entries);

}  // namespace countersign::test
