// The table of the system call filter: what the daemon may ask for, and what ends it.
#pragma once

#include <span>
#include <string_view>

namespace countersign::dnsd {

// Whatever their arguments are.
[[nodiscard]] std::span<const std::string_view> allowed_system_calls();
// A daemon that asks for one of these is not ours any more.
[[nodiscard]] std::span<const std::string_view> deadly_system_calls();

}  // namespace countersign::dnsd
