// systemd's watchdog (WatchdogSec=): told regularly that we live, as long as the control thread runs and every UDP
// worker sleeps or gets on with its queries. The store thread is not watched: while its disk hangs, every query is
// still answered from memory, and a restart would end that without mending the disk. Who has to know is told by the
// metrics (countersign_store_stalled). Thread: the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "dnsd/net/asio.hpp"
#include "dnsd/net/udp_worker.hpp"
#include "zones/epoch.hpp"

namespace countersign::dnsd {

// Half of $WATCHDOG_USEC, when that is meant for us ($WATCHDOG_PID); both variables are unset. Empty: nobody asked.
[[nodiscard]] std::optional<std::chrono::microseconds> take_watchdog_period();

// Whether a worker got on since it was looked at last.
class WorkerPulse {
 public:
  WorkerPulse(const UdpWorker& worker, const zones::Epochs::Reader& reader) : worker_(&worker), reader_(&reader) {}
  // Online means in the middle of a batch. That may be another one than last time: then the queries have grown. A
  // worker that is told "nothing there" or an error goes offline, so an online one without queries hangs.
  [[nodiscard]] bool beats();

 private:
  const UdpWorker* worker_;
  const zones::Epochs::Reader* reader_;
  std::uint64_t queries_ = UINT64_MAX;
};

class Watchdog {
 public:
  Watchdog(asio::io_context& context, std::chrono::microseconds period, std::vector<WorkerPulse> workers)
      : timer_(context), period_(period), workers_(std::move(workers)) {}
  void start();

 private:
  asio::steady_timer timer_;
  std::chrono::microseconds period_;
  std::vector<WorkerPulse> workers_;
};

}  // namespace countersign::dnsd
