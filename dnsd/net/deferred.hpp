// Messages that a worker does not answer itself: dynamic updates, and whatever is signed with TSIG. They go to the
// control thread by a ring of each worker; when it is full they are dropped, and clients ask again. Thread: reserve()
// and commit() by the answering thread; front(), release() and lost() by the control thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/counters.hpp"
#include "base/wire.hpp"

namespace countersign::dnsd {

// What sending the answer takes: little, because it is kept while a message waits for the store.
struct DatagramOrigin {
  static constexpr std::size_t kMaxControl = 64;  // a packet info of either family

  int socket = -1;        // the worker's, open as long as the worker lives
  sockaddr_in6 client{};  // large enough for both families
  socklen_t client_length = 0;
  std::uint16_t control_length = 0;
  alignas(8) std::array<std::byte, kMaxControl> control{};  // the packet info that the answer goes back with
};

// One that came over UDP.
struct DeferredDatagram {
  static constexpr std::size_t kMaxSize = 4096;  // of a query over UDP

  DatagramOrigin origin;
  std::uint16_t length = 0;
  std::array<std::byte, kMaxSize> octets;  // not cleared: only `length` of them count

  [[nodiscard]] base::Bytes message() const { return base::Bytes(octets).first(length); }
};

// Never waits: with the device's queue full it is lost, as on the network. False: the system did not take it.
bool send_datagram(const DatagramOrigin& origin, base::Bytes answer);

class DeferredRing {
 public:
  static constexpr std::size_t kCapacity = 256;

  // The next free slot, or null when the ring is full (counted). commit() makes it visible.
  [[nodiscard]] DeferredDatagram* reserve();
  void commit();
  // The oldest, or null; it stays until release().
  [[nodiscard]] const DeferredDatagram* front() const;
  void release();
  [[nodiscard]] std::uint64_t lost() const { return lost_.read(); }

 private:
  // A megabyte, made when the first message is deferred: a server without keys defers none.
  std::vector<DeferredDatagram> slots_;
  // Each on a cache line of its own: one thread writes it, the other only looks.
  alignas(64) std::atomic<std::uint64_t> pushed_{0};
  base::Counter lost_;
  alignas(64) std::atomic<std::uint64_t> popped_{0};
};

}  // namespace countersign::dnsd
