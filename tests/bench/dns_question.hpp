// One question at a time over UDP, for the benchmarks that look at what is served: whether a value is there, and how
// long the answer took.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"

namespace countersign::bench {

// The wire form of a name that is known to be a good one.
inline std::string wire_name(std::string_view text) {
  std::string wire;
  while (!text.empty()) {
    std::string_view label = text.substr(0, text.find('.'));
    wire += static_cast<char>(label.size());
    wire += label;
    text.remove_prefix(std::min(text.size(), label.size() + 1));
  }
  wire += '\0';
  return wire;
}

class DnsQuestion {
 public:
  enum class Outcome { There, Missing, NoAnswer };

  explicit DnsQuestion(const base::SocketAddress& server)
      : socket_(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (socket_ && connect(socket_.get(), server.data(), server.size()) != 0) socket_.close();
  }

  // Whether the TXT record with this value is in the answer; `value` empty: whether there is an answer without error.
  [[nodiscard]] Outcome ask(std::string_view name, std::string_view value) {
    ++ident_;
    std::string query{static_cast<char>(ident_ >> 8U), static_cast<char>(ident_), 0, 0, 0, 1, 0, 0, 0, 0, 0, 1};
    query += wire_name(name);
    query += std::string_view("\0\x10\0\1", 4);
    query += std::string_view("\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);  // EDNS, 1232 octets
    if (send(socket_.get(), query.data(), query.size(), 0) < 0) return Outcome::NoAnswer;
    std::array<char, 4096> answer{};
    pollfd waiting{socket_.get(), POLLIN, 0};
    while (poll(&waiting, 1, 1000) > 0) {
      ssize_t got = recv(socket_.get(), answer.data(), answer.size(), MSG_DONTWAIT);
      if (got < 12 || answer[0] != query[0] || answer[1] != query[1]) continue;
      std::string_view message(answer.data(), static_cast<std::size_t>(got));
      if ((message[3] & 15) != 0) return Outcome::Missing;
      return value.empty() || message.find(value) != std::string_view::npos ? Outcome::There : Outcome::Missing;
    }
    return Outcome::NoAnswer;
  }

 private:
  base::Descriptor socket_;
  unsigned ident_ = 0;
};

}  // namespace countersign::bench
