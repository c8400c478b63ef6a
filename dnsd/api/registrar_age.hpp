// Against which time it is judged how long a registration was not used: one that a clock set wrong cannot hurry.
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace countersign::dnsd {

class AgeClock {
 public:
  // Nothing is old before the daemon has run for so long without its clock being set.
  static constexpr std::chrono::hours kSteadyFor{24};

  // `newest`: the last time that the registry knows of (milliseconds since 1970; 0 = none). It is what is on disk of
  // how far time really went: a machine that starts with a wrong clock has nothing else. `clock` is kept.
  AgeClock(const base::Clock& clock, std::int64_t newest);

  // Milliseconds since 1970: the wall clock's time, but no later than `newest` and the time since then that this has
  // existed. Time in which the daemon did not run, or a jump of the clock, makes nobody older. Absent while nothing may
  // be judged.
  [[nodiscard]] std::optional<std::int64_t> now();
  // Between the last two calls of now().
  [[nodiscard]] bool was_set() const { return was_set_; }

 private:
  [[nodiscard]] std::chrono::milliseconds offset() const;

  const base::Clock& clock_;
  std::int64_t bound_;  // at elapsed 0
  base::ElapsedTime steady_since_;
  std::chrono::milliseconds offset_;  // wall clock less the one that never jumps
  bool was_set_ = false;
};

}  // namespace countersign::dnsd
