#include "dnsd/net/deferred.hpp"

#include <cerrno>

namespace countersign::dnsd {

bool send_datagram(const DatagramOrigin& origin, base::Bytes answer) {
  DatagramOrigin copy = origin;  // msghdr has no const
  iovec buffer{const_cast<std::byte*>(answer.data()), answer.size()};
  msghdr message{};
  message.msg_name = &copy.client;
  message.msg_namelen = copy.client_length;
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  if (copy.control_length != 0) message.msg_control = copy.control.data();
  message.msg_controllen = copy.control_length;
  ssize_t sent = -1;
  do {
    sent = sendmsg(copy.socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

DeferredDatagram* DeferredRing::reserve() {
  std::uint64_t next = pushed_.load(std::memory_order_relaxed);
  // Acquire pairs with release()'s store: the reader is done with the slot that is written over.
  if (next - popped_.load(std::memory_order_acquire) == kCapacity) {
    lost_.add();
    return nullptr;
  }
  if (slots_.empty()) slots_.resize(kCapacity);
  return &slots_[next % kCapacity];
}

void DeferredRing::commit() {
  // Pairs with front()'s acquire. Nobody else writes it.
  pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

const DeferredDatagram* DeferredRing::front() const {
  std::uint64_t next = popped_.load(std::memory_order_relaxed);
  if (next == pushed_.load(std::memory_order_acquire)) return nullptr;
  return &slots_[next % kCapacity];
}

void DeferredRing::release() {
  popped_.store(popped_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

}  // namespace countersign::dnsd
