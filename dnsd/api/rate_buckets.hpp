// Token buckets by key (an address, a registration), bounded in memory: those that are full again are forgotten, and
// when there is no room the fullest go first, so that a stranger with many addresses cannot make it grow.
// Thread: the control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"

namespace countersign::dnsd {

class RateBuckets {
 public:
  struct Limit {
    double per_second = 0;  // tokens; 0 = no limit
    double burst = 1;       // tokens of a full bucket; 0 = no limit
  };
  explicit RateBuckets(std::size_t capacity) : capacity_(capacity) {}

  // Takes one token: absent when there was one, else how long until there is one again.
  [[nodiscard]] std::optional<std::chrono::milliseconds> take(std::string_view key, Limit limit, base::ElapsedTime now);
  // The token comes back: what it was taken for has turned out not to count.
  void give_back(std::string_view key, Limit limit, base::ElapsedTime now);
  // As take(), without taking it.
  [[nodiscard]] std::optional<std::chrono::milliseconds> look(std::string_view key, Limit limit,
                                                              base::ElapsedTime now) const;
  [[nodiscard]] std::size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens = 0;
    base::ElapsedTime at{0};
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  void make_room(Limit limit, base::ElapsedTime now);

  std::size_t capacity_;
  std::unordered_map<std::string, Bucket, TextHash, std::equal_to<>> buckets_;
};

}  // namespace countersign::dnsd
