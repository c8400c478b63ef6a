// Blocking client sockets for tests; nothing in them waits longer than five seconds.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"
#include "tests/support/catch.hpp"

namespace countersign::tests {

class ClientSocket {
 public:
  // From `source` ("127.0.0.2:0"), where it matters.
  ClientSocket(const base::SocketAddress& server, int kind, std::string_view source = {})
      : fd_(::socket(server.family(), kind | SOCK_CLOEXEC, 0)) {
    if (!source.empty()) {
      auto own = base::SocketAddress::parse(source);
      REQUIRE(own);
      REQUIRE(bind(fd_.get(), own->data(), own->size()) == 0);
    }
    timeval patience{5, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    REQUIRE(connect(fd_.get(), server.data(), server.size()) == 0);
  }

  void send(std::string_view octets) {
    while (!octets.empty()) {
      ssize_t sent = ::send(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
      REQUIRE(sent > 0);
      octets.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // What the next read gives: a datagram, or some octets of a stream; "" at its end. Nothing: an error or five seconds.
  std::optional<std::string> receive(std::size_t most = 65535) {
    std::string buffer(most, '\0');
    ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return std::nullopt;
    buffer.resize(static_cast<std::size_t>(got));
    return buffer;
  }
  // Exactly so many octets of a stream, fewer at its end.
  std::string receive_exactly(std::size_t count) {
    std::string all;
    while (all.size() < count) {
      auto part = receive(count - all.size());
      if (!part || part->empty()) break;
      all += *part;
    }
    return all;
  }
  // A DNS message of a stream; "" when it ended.
  std::string receive_message() {
    std::string prefix = receive_exactly(2);
    if (prefix.size() < 2) return {};
    return receive_exactly(base::load_u16(base::as_bytes(prefix).data()));
  }
  // True when the server has closed, whatever it sent before.
  bool is_ended() {
    for (;;) {
      auto part = receive();
      if (!part) return errno == ECONNRESET;
      if (part->empty()) return true;
    }
  }
  void finish_sending() { shutdown(fd_.get(), SHUT_WR); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  base::Descriptor fd_;
};

}  // namespace countersign::tests
