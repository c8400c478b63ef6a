// How long things took: all of them are kept, so that percentiles are exact. And the values that loads are made of.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace countersign::bench {

// xorshift: fast, and good enough to make values that differ.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed | 1U) {}
  std::uint64_t next() {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_;
  }

 private:
  std::uint64_t state_;
};

class Latencies {
 public:
  void add(std::chrono::nanoseconds taken) { taken_.push_back(static_cast<std::uint64_t>(taken.count())); }
  [[nodiscard]] std::size_t count() const { return taken_.size(); }
  // Nanoseconds; 0 when there are none. Sorts.
  [[nodiscard]] std::uint64_t percentile(double part) {
    if (taken_.empty()) return 0;
    std::sort(taken_.begin(), taken_.end());
    auto index = static_cast<std::size_t>(part * static_cast<double>(taken_.size() - 1) + 0.5);
    return taken_[index];
  }

 private:
  std::vector<std::uint64_t> taken_;
};

}  // namespace countersign::bench
