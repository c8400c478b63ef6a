#include "acme/renew/suggestion.hpp"

#include <algorithm>

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr milliseconds kLongTerm = hours(6);  // RFC 9773 §4.3.3
constexpr milliseconds kFirstWait = minutes(1);
// No answer asks for a longer wait than a day (RenewalInfo::ask_again): then the clock was set back since.
constexpr milliseconds kLongestWait = hours(25);

}  // namespace

bool is_time_to_ask(const std::optional<RenewalState>& state, const std::string& certificate_id, WallTime now) {
  if (certificate_id.empty()) return false;
  if (!state || state->certificate_id != certificate_id) return true;
  return now >= state->ask_at || state->ask_at - now > kLongestWait;
}

RenewalState taken_up(const std::optional<RenewalState>& before, const std::string& certificate_id,
                      const RenewalInfo& info, WallTime now, std::uint64_t random) {
  RenewalState state;
  state.certificate_id = certificate_id;
  // Whole seconds, as CERT.json has them: what was kept must equal what comes again.
  state.start = std::chrono::floor<std::chrono::seconds>(info.start);
  state.end = std::chrono::floor<std::chrono::seconds>(info.end);
  bool same = before && before->certificate_id == certificate_id && before->start == state.start &&
              before->end == state.end && before->renew_at >= state.start && before->renew_at <= state.end;
  auto width = static_cast<std::uint64_t>((state.end - state.start).count());
  state.renew_at = same ? before->renew_at : state.start + milliseconds(random % (width + 1));
  state.ask_at = now + info.ask_again;
  state.explanation_url = info.explanation_url;
  return state;
}

RenewalState put_off(const std::optional<RenewalState>& before, const std::string& certificate_id, WallTime ask_at) {
  RenewalState state;
  if (before && before->certificate_id == certificate_id) state = *before;
  state.certificate_id = certificate_id;
  state.ask_at = ask_at;
  return state;
}

bool is_long_term(ErrorCode error) {
  return error == ErrorCode::NotFound || error == ErrorCode::Refused || error == ErrorCode::Protocol;
}

milliseconds wait_after(ErrorCode error, unsigned failures) {
  bool temporary = error == ErrorCode::Unavailable || error == ErrorCode::Timeout;
  if (!temporary) return kLongTerm;
  unsigned doublings = std::min(failures == 0 ? 0U : failures - 1, 9U);
  return std::min<milliseconds>(kFirstWait * (1U << doublings), kLongTerm);
}

}  // namespace countersign::acme
