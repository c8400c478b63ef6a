// Durations as people write them in the configuration and on the command line.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::base {

// A whole number and a unit: 500ms 1s 10m 1h 2d; "0" needs none. At most 100 years. Error: Invalid.
[[nodiscard]] Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// The largest unit that leaves a whole number, as parse_duration reads it.
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

}  // namespace countersign::base
