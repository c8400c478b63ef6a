// Answered challenge queries on their way from the thread that answered them to the control thread. Lossy: when nobody
// takes them, new ones are dropped, so that a query never waits for a listener.
// Thread: wanted() and push() by the answering thread; listen(), pop() and lost() by the control thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/counters.hpp"
#include "base/name.hpp"
#include "base/socket_address.hpp"
#include "dnsd/answer/responder.hpp"

namespace countersign::dnsd {

struct SeenEvent {
  base::SocketAddress client;
  Transport transport = Transport::Udp;
  std::uint8_t name_length = 0;
  std::uint16_t type = 0;
  std::uint16_t rcode = 0;
  std::uint16_t values = 0;
  std::array<char, base::kMaxNameLength> name{};

  [[nodiscard]] std::string_view wire() const { return {name.data(), name_length}; }
};

class SeenRing {
 public:
  // Ten milliseconds of 100,000 queries a second; the control thread comes by every two.
  static constexpr std::size_t kCapacity = 1024;

  SeenRing();

  // Relaxed: nothing is read through it, and a query more or less at the edge does not matter.
  [[nodiscard]] bool wanted() const { return wanted_.load(std::memory_order_relaxed); }
  void push(const sockaddr* client, socklen_t client_length, Transport transport, const Seen& seen);

  // What an earlier listener left behind is thrown away.
  void listen();
  void mute() { wanted_.store(false, std::memory_order_relaxed); }
  // False when there is none.
  [[nodiscard]] bool pop(SeenEvent& event);
  [[nodiscard]] std::uint64_t lost() const { return lost_.read(); }

 private:
  std::vector<SeenEvent> events_;
  std::atomic<bool> wanted_{false};
  // Each on a cache line of its own: one thread writes it, the other only looks.
  alignas(64) std::atomic<std::uint64_t> pushed_{0};
  base::Counter lost_;
  alignas(64) std::atomic<std::uint64_t> popped_{0};
};

}  // namespace countersign::dnsd
