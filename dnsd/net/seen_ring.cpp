#include "dnsd/net/seen_ring.hpp"

#include <algorithm>
#include <cstring>

namespace countersign::dnsd {

SeenRing::SeenRing() : events_(kCapacity) {}

void SeenRing::push(const sockaddr* client, socklen_t client_length, Transport transport, const Seen& seen) {
  std::uint64_t next = pushed_.load(std::memory_order_relaxed);
  // Acquire pairs with pop()'s release: the reader is done with the slot that is written over.
  if (next - popped_.load(std::memory_order_acquire) == kCapacity) {
    lost_.add();
    return;
  }
  SeenEvent& event = events_[next % kCapacity];
  event.client = base::SocketAddress::from(client, client_length);
  event.transport = transport;
  event.type = seen.type;
  event.rcode = seen.rcode;
  event.values = seen.values;
  std::size_t length = std::min(seen.name.size(), event.name.size());
  std::memcpy(event.name.data(), seen.name.data(), length);
  event.name_length = static_cast<std::uint8_t>(length);
  pushed_.store(next + 1, std::memory_order_release);  // pairs with pop()'s acquire
}

void SeenRing::listen() {
  popped_.store(pushed_.load(std::memory_order_acquire), std::memory_order_release);
  wanted_.store(true, std::memory_order_relaxed);
}

bool SeenRing::pop(SeenEvent& event) {
  std::uint64_t next = popped_.load(std::memory_order_relaxed);
  if (next == pushed_.load(std::memory_order_acquire)) return false;
  event = events_[next % kCapacity];
  popped_.store(next + 1, std::memory_order_release);
  return true;
}

}  // namespace countersign::dnsd
