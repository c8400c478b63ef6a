#include "acme/renew/suggestion.hpp"
#include "tests/support/catch.hpp"

namespace countersign::acme {
namespace {

using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr hours kDay{24};
const WallTime kIssued{std::chrono::sys_days(std::chrono::year(2026) / 11 / 1)};

RenewalInfo window(WallTime start, WallTime end, milliseconds ask_again = hours(6)) {
  return {start, end, "https://ca.example/why", ask_again};
}

TEST_CASE("the time is drawn from the whole window, and again only when it changes", "[acme]") {
  WallTime start = kIssued + kDay, end = start + hours(2);
  WallTime earliest = end, latest = start;
  for (std::uint64_t random = 0; random < 20'000'000; random += 99'991) {
    RenewalState state = taken_up(std::nullopt, "id", window(start, end), kIssued, random);
    earliest = std::min(earliest, state.renew_at);
    latest = std::max(latest, state.renew_at);
  }
  CHECK(earliest >= start);
  CHECK(latest <= end);
  CHECK(earliest < start + minutes(2));
  CHECK(latest > end - minutes(2));

  RenewalState first = taken_up(std::nullopt, "id", window(start, end), kIssued, 1'000'000);
  CHECK(first.ask_at == kIssued + hours(6));
  CHECK(first.explanation_url == "https://ca.example/why");
  RenewalState again = taken_up(first, "id", window(start, end, minutes(1)), kIssued + kDay, 2'000'000);
  CHECK(again.renew_at == first.renew_at);
  CHECK(again.ask_at == kIssued + kDay + minutes(1));
  CHECK(taken_up(first, "id", window(start, end + seconds(1)), kIssued, 2'000'000).renew_at != first.renew_at);
  CHECK(taken_up(first, "other", window(start, end), kIssued, 2'000'000).renew_at != first.renew_at);
  // Parts of a second are not kept: they must not look like a change.
  RenewalState parts = taken_up(first, "id", window(start + milliseconds(7), end + milliseconds(7)), kIssued, 5);
  CHECK(parts.renew_at == first.renew_at);
  // A time outside of its window was not drawn from it.
  first.renew_at = end + hours(1);
  CHECK(taken_up(first, "id", window(start, end), kIssued, 0).renew_at == start);
}

TEST_CASE("the CA is asked when it wants that, and after the clock was set back", "[acme]") {
  RenewalState state = taken_up(std::nullopt, "id", window(kIssued, kIssued + kDay), kIssued, 0);
  CHECK(is_time_to_ask(std::nullopt, "id", kIssued));
  CHECK(!is_time_to_ask(std::nullopt, "", kIssued));
  CHECK(!is_time_to_ask(state, "id", kIssued + hours(6) - seconds(1)));
  CHECK(is_time_to_ask(state, "id", kIssued + hours(6)));
  CHECK(is_time_to_ask(state, "other", kIssued));
  CHECK(is_time_to_ask(state, "id", kIssued - kDay * 365));
}

TEST_CASE("what may pass is asked again soon, and what will not every six hours (RFC 9773 §4.3.3)", "[acme]") {
  using base::ErrorCode;
  CHECK(wait_after(ErrorCode::Unavailable, 1) == minutes(1));
  CHECK(wait_after(ErrorCode::Timeout, 2) == minutes(2));
  CHECK(wait_after(ErrorCode::Unavailable, 5) == minutes(16));
  for (unsigned failures : {9U, 10U, 11U, 1000U, 4'000'000'000U})
    CHECK(wait_after(ErrorCode::Unavailable, failures) <= hours(6));
  CHECK(wait_after(ErrorCode::Unavailable, 100) == hours(6));
  for (ErrorCode code : {ErrorCode::NotFound, ErrorCode::Protocol, ErrorCode::Refused})
    CHECK(wait_after(code, 1) == hours(6));
  for (ErrorCode code : {ErrorCode::NotFound, ErrorCode::Protocol, ErrorCode::Refused}) CHECK(is_long_term(code));
  // What is wrong here, or may pass, says nothing about the CA.
  for (ErrorCode code :
       {ErrorCode::Unavailable, ErrorCode::Timeout, ErrorCode::Interrupted, ErrorCode::Io, ErrorCode::Usage})
    CHECK(!is_long_term(code));
}

TEST_CASE("a question without an answer is put off, and is kept", "[acme]") {
  WallTime later = kIssued + hours(6);
  RenewalState none = put_off(std::nullopt, "aki.serial", later);
  CHECK(!none.has_window());
  CHECK(!is_time_to_ask(none, "aki.serial", later - seconds(1)));
  CHECK(is_time_to_ask(none, "aki.serial", later));
  CertificateRecord record;
  record.renewal = none;
  auto read = parse_record(record_document(record), "x");
  REQUIRE(read);
  REQUIRE(read->renewal);
  CHECK(!read->renewal->has_window());
  CHECK(read->renewal->ask_at == later);
  CHECK(!is_time_to_ask(read->renewal, "aki.serial", later - seconds(1)));

  // A window that was known stays; that of another certificate does not.
  RenewalState known = taken_up(std::nullopt, "aki.serial", window(kIssued, kIssued + kDay), kIssued, 7);
  RenewalState kept = put_off(known, "aki.serial", later + hours(1));
  CHECK(kept.renew_at == known.renew_at);
  CHECK(kept.end == known.end);
  CHECK(kept.ask_at == later + hours(1));
  CHECK(!put_off(known, "aki.other", later).has_window());
  // The first window that comes then is drawn from.
  CHECK(taken_up(none, "aki.serial", window(kIssued, kIssued + kDay), kIssued, 7).renew_at ==
        kIssued + milliseconds(7));
}

}  // namespace
}  // namespace countersign::acme
