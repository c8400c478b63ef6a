#include "dnsd/net/moment.hpp"

#include <ctime>

namespace countersign::dnsd {

Moment read_moment() {
  timespec elapsed{};
  timespec wall{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &elapsed);
  clock_gettime(CLOCK_REALTIME_COARSE, &wall);
  return {.elapsed_us = static_cast<std::uint64_t>(elapsed.tv_sec) * 1'000'000 +
                        static_cast<std::uint64_t>(elapsed.tv_nsec) / 1000,
          .unix_seconds = static_cast<std::uint32_t>(wall.tv_sec)};
}

}  // namespace countersign::dnsd
