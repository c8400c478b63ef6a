// The time that deadlines are kept in: wall-clock time as it was understood at the start, carried on by a clock that
// never jumps. So a jump of the wall clock prunes nothing by itself; drift() tells how far it has moved away.
// Thread: one.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.hpp"

namespace countersign::zones {

class LifetimeClock {
 public:
  explicit LifetimeClock(const base::Clock& clock)
      : clock_(clock), start_wall_(clock.wall()), start_elapsed_(clock.elapsed()) {}

  [[nodiscard]] base::WallTime now() const { return start_wall_ + (clock_.elapsed() - start_elapsed_); }
  [[nodiscard]] std::chrono::milliseconds drift() const { return clock_.wall() - now(); }
  // After all deadlines have been moved by `drift`.
  void follow(std::chrono::milliseconds drift) { start_wall_ += drift; }

 private:
  const base::Clock& clock_;
  base::WallTime start_wall_;
  base::ElapsedTime start_elapsed_;
};

[[nodiscard]] inline std::int64_t to_milliseconds(base::WallTime time) {
  return time.time_since_epoch().count();
}
[[nodiscard]] inline base::WallTime from_milliseconds(std::int64_t milliseconds) {
  return base::WallTime(std::chrono::milliseconds(milliseconds));
}

}  // namespace countersign::zones
