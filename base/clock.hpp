// Time as a seam: the system's, or a test's own.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::base {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
// Counts also while the machine sleeps (CLOCK_BOOTTIME): a value's lifetime does not stop with the lid closed.
using ElapsedTime = std::chrono::milliseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime wall() const = 0;        // jumps when somebody sets it
  [[nodiscard]] virtual ElapsedTime elapsed() const = 0;  // never jumps; from an arbitrary start
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const override;
  [[nodiscard]] ElapsedTime elapsed() const override;
};

// RFC 3339, UTC, whole seconds: 2026-11-22T10:00:00Z.
[[nodiscard]] std::string format_rfc3339(WallTime time);
// Date-times of RFC 3339 with "Z" or an offset; fractions are dropped. Error: Invalid, also for what is outside of the
// years 0000 to 9999 in UTC.
[[nodiscard]] Result<WallTime> parse_rfc3339(std::string_view text);

}  // namespace countersign::base
