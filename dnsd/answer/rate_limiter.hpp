// Response rate limiting: how many equal answers a client network gets over UDP in a second, so that forged sources
// cannot make a weapon of us. A table of fixed size; nothing is allocated for an address that anybody can forge.
// Thread: any. Workers share the table without locks: of two that judge the same network's answer at once one may go
// uncounted, which lets through a little more under a flood and costs nothing otherwise.
#pragma once

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "zones/name_hash.hpp"

namespace countersign::dnsd {

class RateLimiter {
 public:
  enum class Verdict : std::uint8_t {
    Pass,
    Slip,  // send it cut short, so that a client that is real comes back over TCP or with a cookie
    Drop,
  };
  struct Limit {
    std::uint32_t responses_per_second = 0;  // above 0
    std::uint32_t slip = 0;
  };

  explicit RateLimiter(zones::HashSeed seed);

  // `answer` stands for what is told: a name, a zone (of names that do not exist), an error. `now` in microseconds of a
  // clock that never goes back.
  [[nodiscard]] Verdict judge(const sockaddr& client, std::uint64_t answer, Limit limit, std::uint64_t now);

 private:
  // 2^16 networks and answers at once in 1 MB. More of them than that are no flood of any single one.
  static constexpr std::size_t kSets = 1U << 14U;
  static constexpr std::size_t kWays = 4;

  struct Bucket {
    std::atomic<std::uint32_t> tag{0};
    std::atomic<std::uint32_t> limited{0};
    // The moment up to which the network has used up its share (GCRA's theoretical arrival time).
    std::atomic<std::uint64_t> used_until{0};
  };
  struct alignas(64) Set {
    std::array<Bucket, kWays> ways;
  };

  [[nodiscard]] Bucket& find(std::uint64_t hash);

  zones::HashSeed seed_;
  std::unique_ptr<std::array<Set, kSets>> sets_;
};

}  // namespace countersign::dnsd
