// TCP connections over which a window of queries is spread, each with its share pipelined.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"
#include "tests/bench/query_window.hpp"

namespace countersign::bench {

class TcpClients {
 public:
  explicit TcpClients(std::size_t connections) : count_(connections), input_(kInput) {}

  // The connections to a server stay for its next slice. Nothing answered: there is no connection to it.
  void run(const base::SocketAddress& server, std::chrono::milliseconds duration, QueryWindow& window);

 private:
  static constexpr std::size_t kInput = 65536;

  struct Connection {
    base::Descriptor socket;
    std::vector<std::byte> input;   // a part of an answer
    std::vector<std::byte> output;  // what the kernel did not take yet
  };
  using Connections = std::vector<Connection>;

  [[nodiscard]] bool open(const base::SocketAddress& server, Connections& connections) const;
  static void ask(Connection& connection, std::size_t count, QueryWindow& window);
  static void flush(Connection& connection);
  [[nodiscard]] std::size_t read(Connection& connection, QueryWindow& window);

  std::size_t count_;
  std::vector<std::byte> input_;
  std::map<std::string, Connections> servers_;
};

}  // namespace countersign::bench
