#include "dnsd/watchdog.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/log.hpp"
#include "dnsd/notify.hpp"

namespace countersign::dnsd {
namespace {

std::optional<std::int64_t> take_number(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr) return std::nullopt;
  std::string_view text = value;
  std::int64_t number = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) number = -1;
  unsetenv(variable);
  return number;
}

}  // namespace

std::optional<std::chrono::microseconds> take_watchdog_period() {
  auto period = take_number("WATCHDOG_USEC"), owner = take_number("WATCHDOG_PID");
  if (!period || (owner && *owner != getpid())) return std::nullopt;
  if (*period < 2) {
    base::log::warn("WATCHDOG_USEC is no number of microseconds; going on without a watchdog");
    return std::nullopt;
  }
  return std::chrono::microseconds(*period / 2);
}

bool WorkerPulse::beats() {
  std::uint64_t queries = worker_->counters().queries_udp.read();
  bool moved = queries != queries_;
  queries_ = queries;
  return moved || !reader_->is_online();
}

void Watchdog::start() {
  bool alive = true;
  for (WorkerPulse& worker : workers_) alive = worker.beats() && alive;
  if (alive)
    notify_service_manager("WATCHDOG=1");
  else
    base::log::error("a UDP worker hangs; the watchdog is not told that all is well");
  timer_.expires_after(period_);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) start();
  });
}

}  // namespace countersign::dnsd
