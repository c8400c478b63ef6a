#include "base/duration.hpp"

#include <array>
#include <charconv>
#include <cstdint>

namespace countersign::base {
namespace {

struct Unit {
  std::string_view suffix;
  std::int64_t milliseconds;
};
constexpr std::array<Unit, 5> kUnits{{{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
// Keeps every sum with a point in time far away from the integers' end.
constexpr std::int64_t kLongest = std::int64_t{36'525} * 86'400'000;

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  std::int64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc{} && count == 0 && suffix.empty()) return std::chrono::milliseconds(0);
  if (error == std::errc{} && count >= 0) {
    for (const Unit& unit : kUnits) {
      if (suffix != unit.suffix) continue;
      if (count > kLongest / unit.milliseconds)
        return fail(ErrorCode::Invalid, "\"{}\" is longer than 100 years", text);
      return std::chrono::milliseconds(count * unit.milliseconds);
    }
  }
  return fail(ErrorCode::Invalid, "\"{}\" is not a duration; write a whole number and ms, s, m, h or d, as in \"10s\"",
              text);
}

std::string format_duration(std::chrono::milliseconds duration) {
  for (const Unit& unit : kUnits) {
    if (duration.count() != 0 && duration.count() % unit.milliseconds == 0)
      return fmt::format("{}{}", duration.count() / unit.milliseconds, unit.suffix);
  }
  return "0";
}

}  // namespace countersign::base
