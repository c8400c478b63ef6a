#include "base/clock.hpp"

#include <time.h>

#include <algorithm>

namespace countersign::base {
namespace {

constexpr WallTime kFirst{std::chrono::sys_days(std::chrono::year(0) / 1 / 1)};
constexpr WallTime kEnd{std::chrono::sys_days(std::chrono::year(10'000) / 1 / 1)};

std::chrono::milliseconds read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return std::chrono::milliseconds(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

// `count` digits at `position` as a number, -1 when they are not digits.
int digits(std::string_view text, std::size_t position, std::size_t count) {
  if (text.size() < position + count) return -1;
  int value = 0;
  for (char c : text.substr(position, count)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

// "Z", "z", "+HH:MM", "-HH:MM" as minutes east of UTC.
Result<int> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  int hours = digits(text, 1, 2);
  int minutes = digits(text, 4, 2);
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' || hours < 0 || hours > 23 ||
      minutes < 0 || minutes > 59)
    return fail(ErrorCode::Invalid, "\"{}\" is not an offset from UTC", text);
  int total = hours * 60 + minutes;
  return text[0] == '-' ? -total : total;
}

}  // namespace

WallTime SystemClock::wall() const {
  return WallTime(read_clock(CLOCK_REALTIME));
}

ElapsedTime SystemClock::elapsed() const {
  return read_clock(CLOCK_BOOTTIME);
}

std::string format_rfc3339(WallTime time) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  auto day = std::chrono::floor<std::chrono::days>(seconds);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss clock(seconds - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  auto wrong = [&] { return fail(ErrorCode::Invalid, "\"{}\" is not an RFC 3339 date and time", text); };
  int year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  int hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
      text[16] != ':' || year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60)
    return wrong();
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return wrong();
  std::size_t position = 19;
  if (text[position] == '.') {
    ++position;
    while (position < text.size() && text[position] >= '0' && text[position] <= '9') ++position;
  }
  auto offset = parse_offset(text.substr(position));
  if (!offset) return wrong();
  WallTime time = WallTime(std::chrono::sys_days(date)) + std::chrono::hours(hour) +
                  std::chrono::minutes(minute - *offset) + std::chrono::seconds(second);
  // An offset may lead out of the years that four digits can say: such a time could not be written (RFC 3339 §5.6).
  if (time < kFirst || time >= kEnd) return wrong();
  return time;
}

}  // namespace countersign::base
