#include "dnsd/api/registrar_age.hpp"

#include <algorithm>
#include <utility>

namespace countersign::dnsd {
namespace {

// Of the wall clock between two looks; corrections by NTP stay far below.
constexpr std::chrono::hours kClockJump{1};

}  // namespace

AgeClock::AgeClock(const base::Clock& clock, std::int64_t newest)
    : clock_(clock), steady_since_(clock.elapsed()), offset_(offset()) {
  if (newest <= 0) newest = clock.wall().time_since_epoch().count();
  bound_ = newest - steady_since_.count();
}

std::chrono::milliseconds AgeClock::offset() const {
  return clock_.wall().time_since_epoch() - clock_.elapsed();
}

std::optional<std::int64_t> AgeClock::now() {
  base::ElapsedTime elapsed = clock_.elapsed();
  std::chrono::milliseconds before = std::exchange(offset_, offset());
  was_set_ = std::chrono::abs(offset_ - before) > kClockJump;
  if (was_set_) steady_since_ = elapsed;
  if (elapsed - steady_since_ < kSteadyFor) return std::nullopt;
  return std::min(clock_.wall().time_since_epoch().count(), bound_ + elapsed.count());
}

}  // namespace countersign::dnsd
