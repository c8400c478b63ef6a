// A window of DNS queries for n<i>.ZONE that are outstanding, and the check of each answer against what the name must
// own.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/name.hpp"
#include "base/wire.hpp"

namespace countersign::bench {

struct QuerySettings {
  std::uint64_t names = 1000;
  std::string zone = "auth.test";
  std::size_t window = 128;
  unsigned absent_percent = 0;
  bool random_case = false;
};

enum class Check { Full, Id };

struct Tally {
  std::uint64_t answered = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  std::chrono::nanoseconds elapsed{0};
};

class QueryWindow {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kMaxWindow = 4096;  // the low 12 bits of the id are the slot
  static constexpr std::size_t kMaxQuery = 300;

  QueryWindow(QuerySettings settings, const base::Name& zone)
      : settings_(std::move(settings)), zone_(zone), slots_(settings_.window) {}

  // Nothing outstanding, nothing counted.
  void start(Check check);
  [[nodiscard]] std::size_t size() const { return slots_.size(); }
  [[nodiscard]] std::size_t free() const { return free_.size(); }
  // A new query, outstanding from now on; free() must not be 0.
  [[nodiscard]] base::MutableBytes send(Clock::time_point now);
  // True when it was to a query that is outstanding: there is a free one more.
  bool receive(base::Bytes answer);
  // Those without an answer for too long are lost. Returns how many.
  std::size_t give_up_late();

  Tally tally;

 private:
  struct Slot {
    bool busy = false;
    bool exists = true;
    std::uint16_t generation = 0;
    std::uint64_t number = 0;
    std::size_t length = 0;  // of the query
    Clock::time_point sent{};
    std::array<std::byte, kMaxQuery> query{};
  };
  class Random {
   public:
    std::uint64_t next() {
      state_ ^= state_ << 13U;
      state_ ^= state_ >> 7U;
      state_ ^= state_ << 17U;
      return state_;
    }

   private:
    std::uint64_t state_ = 0x9e3779b97f4a7c15U;
  };

  void make_query(std::size_t index);
  [[nodiscard]] bool is_right(const Slot& slot, base::Bytes answer) const;

  QuerySettings settings_;
  base::Name zone_;
  Check check_ = Check::Full;
  Random random_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;
};

}  // namespace countersign::bench
