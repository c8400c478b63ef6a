// A thread that answers UDP queries on its own socket of every listen address.
// Thread: start(), stop() and join() by the owner; counters and seen() as they say.
#pragma once

#include <poll.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/descriptor.hpp"
#include "base/result.hpp"
#include "dnsd/net/deferred_inbox.hpp"
#include "dnsd/net/udp_batch.hpp"

namespace countersign::dnsd {

class UdpWorker {
 public:
  // `reader` is this worker's alone. `number` only names the thread.
  UdpWorker(unsigned number, std::vector<base::Descriptor> sockets, const Responder& responder,
            zones::Epochs::Reader& reader);
  ~UdpWorker();
  UdpWorker(const UdpWorker&) = delete;
  UdpWorker& operator=(const UdpWorker&) = delete;

  // Before start(): where deferred messages go; without it they are dropped. `inbox` lives as long as the worker runs.
  void defer_to(DeferredInbox& inbox);
  // Error: Io, when the system gives no thread or event descriptor.
  [[nodiscard]] base::Result<void> start();
  // Answers what has arrived and ends; join() waits for that.
  void stop();
  void join();

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const UdpCounters& udp_counters() const { return udp_counters_; }
  [[nodiscard]] SeenRing& seen() { return seen_; }

 private:
  void run();
  [[nodiscard]] bool serve_all();
  void sleep();

  unsigned number_;
  std::vector<base::Descriptor> sockets_;
  const Responder& responder_;
  zones::Epochs::Reader& reader_;
  base::Descriptor wake_;
  std::vector<pollfd> waiting_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  UdpBatch batch_;
  DeferredRing deferred_;
  DeferredInbox* inbox_ = nullptr;
  SeenRing seen_;
  alignas(64) Counters counters_;
  UdpCounters udp_counters_;
};

// As many as this process may use cores.
[[nodiscard]] unsigned default_worker_count();

}  // namespace countersign::dnsd
