// Time that moves only when a test says so.
#pragma once

#include <atomic>

#include "base/clock.hpp"

namespace countersign::tests {

class FakeClock final : public base::Clock {
 public:
  [[nodiscard]] base::WallTime wall() const override { return base::WallTime(std::chrono::milliseconds(wall_.load())); }
  [[nodiscard]] base::ElapsedTime elapsed() const override { return base::ElapsedTime(elapsed_.load()); }

  // Time passes.
  void advance(std::chrono::milliseconds by) {
    elapsed_ += by.count();
    wall_ += by.count();
  }
  // Somebody sets the clock.
  void jump(std::chrono::milliseconds by) { wall_ += by.count(); }

 private:
  std::atomic<std::int64_t> wall_{1'795'000'000'000};  // in November 2026
  std::atomic<std::int64_t> elapsed_{1'000'000};
};

}  // namespace countersign::tests
