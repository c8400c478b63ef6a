// A counter with one writer and any number of readers.
// Thread: add() by its owner only; read() by anyone.
#pragma once

#include <atomic>
#include <cstdint>

namespace countersign::base {

class Counter {
 public:
  // A load and a store, both plain mov: fetch_add would be a locked instruction, and nobody else writes. Always inline:
  // GCC makes a call of it in large functions, which costs more than it does.
  [[gnu::always_inline]] void add(std::uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace countersign::base
