// Up to 32 datagrams at once: received, answered in place and sent back with one system call each.
// Thread: owned by one UDP worker.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/counters.hpp"
#include "dnsd/answer/responder.hpp"
#include "dnsd/net/deferred.hpp"
#include "dnsd/net/seen_ring.hpp"

namespace countersign::dnsd {

// What the network did to a worker, besides the queries themselves.
struct UdpCounters {
  base::Counter cut;             // longer than a slot: answered by its header alone
  base::Counter receive_errors;  // recvmmsg failed
  base::Counter send_errors;     // an answer that the kernel did not take
};

class UdpBatch {
 public:
  // From 32 on, the system calls are about 0.1 a query, and larger batches gain nothing measurable but latency.
  static constexpr std::size_t kSlots = 32;
  // No client has a reason for a longer query over UDP: RFC 6891 §6.2.5 suggests 4096 as the largest payload.
  static constexpr std::size_t kSlotSize = 4096;

  UdpBatch();
  UdpBatch(const UdpBatch&) = delete;
  UdpBatch& operator=(const UdpBatch&) = delete;

  // Datagrams taken from `fd` without waiting; 0 = there are none now.
  [[nodiscard]] std::size_t receive(int fd, UdpCounters& counters);
  // All that were received. `ring` may be null: nobody listens.
  void answer(const Responder& responder, Counters& counters, SeenRing* ring);
  // An answer of no octets is not sent. What the responder deferred goes into `deferred`; returns how many of them.
  [[nodiscard]] std::size_t send(int fd, UdpCounters& counters, DeferredRing& deferred);

 private:
  // Slots exactly a page apart would all fall into the same few sets of the first-level cache.
  static constexpr std::size_t kStride = kSlotSize + 192;
  static constexpr std::size_t kControlSize = 128;  // a packet info of each family, and a little more

  struct alignas(cmsghdr) Control {
    std::array<std::byte, kControlSize> octets;
  };

  [[nodiscard]] bool defer(int fd, std::size_t slot, DeferredRing& deferred) const;
  [[nodiscard]] std::size_t send_run(int fd, std::size_t begin, std::size_t end, UdpCounters& counters);

  std::size_t used_ = 0;
  std::array<mmsghdr, kSlots> messages_{};
  std::array<iovec, kSlots> buffers_{};
  std::array<sockaddr_in6, kSlots> clients_{};  // large enough for both families
  std::array<Control, kSlots> controls_{};
  std::array<Query, kSlots> queries_{};
  std::vector<std::byte> packets_;
};

}  // namespace countersign::dnsd
