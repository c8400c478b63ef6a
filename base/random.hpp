// Bytes from the kernel's generator.
#pragma once

#include <cstdint>

#include "base/wire.hpp"

namespace countersign::base {

// Fills `out`. Ends the process when the kernel has no generator: nothing safe can be done without one.
void fill_random(MutableBytes out);
[[nodiscard]] std::uint64_t random_u64();

}  // namespace countersign::base
