#include "acme/renew/due.hpp"
#include "acme/renew/suggestion.hpp"
#include "tests/support/catch.hpp"

namespace countersign::acme {
namespace {

using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Decision::Kind;

constexpr hours kDay{24};
const WallTime kIssued{std::chrono::sys_days(std::chrono::year(2026) / 11 / 1)};
const std::string kCa = "https://ca.example/dir";

// A certificate for `lifetime`, issued at kIssued for a.example and *.a.example.
Prospect issued(milliseconds lifetime = kDay * 90) {
  Prospect prospect;
  prospect.cert_name = "a.example";
  prospect.names = {"a.example", "*.a.example"};
  prospect.cas = {kCa};
  prospect.holds = {std::nullopt};
  CertificateRecord record;
  record.names = prospect.names;
  record.directory_url = kCa;
  record.key_type = "p256";
  record.archive = "20261101T000000.000Z-00000000";
  prospect.record = record;
  prospect.live = Prospect::Live{kIssued, kIssued + lifetime, "aki.serial"};
  return prospect;
}

RenewalState suggestion(WallTime start, WallTime end, WallTime renew_at) {
  return {"aki.serial", start, end, renew_at, renew_at, ""};
}

Decision at(const Prospect& prospect, WallTime now) {
  return decide(prospect, Trigger::Schedule, now, now);
}

TEST_CASE("without the CA's suggestion a certificate is due at a third of its lifetime", "[acme]") {
  Prospect prospect = issued();
  Decision before = at(prospect, kIssued + kDay * 60 - seconds(1));
  CHECK(before.kind == Kind::NotDue);
  CHECK(before.at == kIssued + kDay * 60);
  CHECK(before.reason == "a third of its lifetime is left then");
  CHECK(!before.suggested_by_ca);
  Decision then = at(prospect, kIssued + kDay * 60);
  CHECK(then.kind == Kind::Due);
  CHECK(then.reason == "less than a third of its lifetime is left: it expires at 2027-01-30T00:00:00Z");
  CHECK(at(prospect, kIssued + kDay * 90).reason == "it expired at 2027-01-30T00:00:00Z");
}

TEST_CASE("a certificate of less than ten days is due at half of its lifetime", "[acme]") {
  Prospect prospect = issued(hours(160));
  CHECK(at(prospect, kIssued + hours(79)).kind == Kind::NotDue);
  CHECK(at(prospect, kIssued + hours(79)).reason == "half of its lifetime is left then");
  CHECK(at(prospect, kIssued + hours(80)).kind == Kind::Due);
}

TEST_CASE("the time drawn from the CA's window counts, not the lifetime", "[acme]") {
  Prospect prospect = issued();
  WallTime start = kIssued + kDay * 40, drawn = kIssued + kDay * 41, end = kIssued + kDay * 42;
  prospect.record->renewal = suggestion(start, end, drawn);
  Decision early = at(prospect, drawn - seconds(1));
  CHECK(early.kind == Kind::NotDue);
  CHECK(early.at == drawn);
  CHECK(early.suggested_by_ca);
  CHECK(early.reason == "the CA suggests 2026-12-11T00:00:00Z to 2026-12-13T00:00:00Z");
  Decision then = at(prospect, drawn);
  CHECK(then.kind == Kind::Due);
  CHECK(then.suggested_by_ca);
  CHECK(at(prospect, end + kDay).reason == "the CA suggested 2026-12-11T00:00:00Z to 2026-12-13T00:00:00Z for it");

  // A window of the past: at once.
  prospect.record->renewal = suggestion(kIssued - kDay * 2, kIssued - kDay, kIssued - kDay);
  CHECK(at(prospect, kIssued).kind == Kind::Due);
  // One for another certificate says nothing about this one.
  prospect.record->renewal->certificate_id = "aki.other";
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
  CHECK(at(prospect, kIssued).at == kIssued + kDay * 60);
}

TEST_CASE("who looks too rarely for the window renews while it is open (RFC 9773 §4.2)", "[acme]") {
  Prospect prospect = issued();
  WallTime start = kIssued + kDay * 40, end = start + hours(12), drawn = end - hours(1);
  prospect.record->renewal = suggestion(start, end, drawn);
  CHECK(decide(prospect, Trigger::Schedule, start - seconds(1), start + hours(13)).kind == Kind::NotDue);
  CHECK(decide(prospect, Trigger::Schedule, start + seconds(1), start + hours(13)).kind == Kind::Due);
  CHECK(decide(prospect, Trigger::Schedule, start + seconds(1), start + hours(11)).kind == Kind::NotDue);
}

TEST_CASE("a CA that suggests a time behind the end does not make the certificate expire", "[acme]") {
  Prospect prospect = issued(kDay * 100);
  WallTime late = kIssued + kDay * 200;
  prospect.record->renewal = suggestion(late, late + kDay, late);
  CHECK(at(prospect, kIssued + kDay * 95 - seconds(1)).kind == Kind::NotDue);
  CHECK(at(prospect, kIssued + kDay * 95).kind == Kind::Due);
}

TEST_CASE("what there is no certificate for is due when it is configured, or was begun", "[acme]") {
  Prospect prospect = issued();
  prospect.record.reset();
  prospect.live.reset();
  prospect.in_configuration = true;
  CHECK(at(prospect, kIssued).kind == Kind::Due);
  CHECK(at(prospect, kIssued).reason == "it has no certificate yet");

  Prospect begun = issued();
  begun.record->archive.clear();
  begun.live.reset();
  CHECK(at(begun, kIssued).kind == Kind::Nothing);
  begun.record->pending = PendingOrder{};
  CHECK(at(begun, kIssued).reason == "an earlier run left its order unfinished");
  begun.in_configuration = true;
  CHECK(at(begun, kIssued).reason == "it has no certificate yet");
}

TEST_CASE("files that are damaged are due at once, and so is a key that got into other hands", "[acme]") {
  Prospect prospect = issued();
  prospect.live.reset();
  CHECK(at(prospect, kIssued).kind == Kind::Due);
  CHECK(at(prospect, kIssued).reason == "the files of live/a.example are missing, or not what was issued");
  prospect = issued();
  prospect.record->key_compromised = true;
  CHECK(at(prospect, kIssued).kind == Kind::Due);
  prospect = issued();
  prospect.for_another_request = true;
  CHECK(at(prospect, kIssued).reason == "its signing request has another key now");
}

TEST_CASE("a changed [[certificate]] is due at once, and says what changed", "[acme]") {
  Prospect prospect = issued();
  prospect.in_configuration = true;
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
  prospect.names = {"*.a.example", "a.example"};
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);

  prospect.names = {"a.example", "*.a.example", "b.example"};
  CHECK(at(prospect, kIssued).reason == "names were added to its [[certificate]]: b.example");
  prospect.names = {"a.example"};
  CHECK(at(prospect, kIssued).reason == "names were removed from its [[certificate]]: *.a.example");
  prospect.names = {"a.example", "b.example"};
  CHECK(at(prospect, kIssued).reason ==
        "its [[certificate]] has other names now: b.example added, *.a.example removed");
  prospect.names = {"a.example", "*.a.example"};
  for (char c = 'b'; c < 'i'; ++c) prospect.names.push_back(std::string(1, c) + ".example");
  CHECK(at(prospect, kIssued).reason ==
        "names were added to its [[certificate]]: b.example c.example d.example e.example f.example and 2 more");

  prospect = issued();
  prospect.in_configuration = true;
  prospect.cas = {"https://other.example/dir", kCa};
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);  // it came from a fallback CA
  prospect.cas = {"https://other.example/dir"};
  CHECK(at(prospect, kIssued).reason ==
        "it is from https://ca.example/dir, and is wanted from https://other.example/dir");

  prospect = issued();
  prospect.in_configuration = true;
  prospect.options.key_type = conf::KeyType::Rsa2048;
  CHECK(at(prospect, kIssued).reason == "its key is of the type p256, and is wanted as rsa2048");
  prospect.options.csr = "/a.csr";
  CHECK(at(prospect, kIssued).reason == "its key is of the type p256, and is wanted as csr");
  prospect.record->key_type = "csr";
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);

  prospect = issued();
  prospect.in_configuration = true;
  prospect.options.profile = "shortlived";
  CHECK(at(prospect, kIssued).reason == "it was issued with the profile \"\", and is wanted with \"shortlived\"");
  prospect.issued_profile = "shortlived";
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
}

TEST_CASE("names that were dropped are not added anew at each look", "[acme]") {
  Prospect prospect = issued();
  prospect.in_configuration = true;
  prospect.record->names = {"a.example"};
  prospect.record->dropped = {"*.a.example"};
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
}

TEST_CASE("what has no [[certificate]] stays as it was issued, whatever [acme] says now", "[acme]") {
  Prospect prospect = issued();
  prospect.cas = {"https://other.example/dir"};
  prospect.options.key_type = conf::KeyType::Rsa4096;
  prospect.options.profile = "classic";
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
}

TEST_CASE("past failures hold back what is due, and only when no CA is left", "[acme]") {
  Prospect prospect = issued();
  WallTime now = kIssued + kDay * 70;
  FailureMemory::Hold hold{now + hours(3), "*.a.example", "no TXT record", 2, false};
  prospect.holds = {hold};
  Decision held = at(prospect, now);
  CHECK(held.kind == Kind::HeldBack);
  CHECK(held.at == now + hours(3));
  CHECK(held.reason ==
        "less than a third of its lifetime is left: it expires at 2027-01-30T00:00:00Z, but *.a.example "
        "failed 2 times (no TXT record)");
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
  FailureMemory::Hold sooner = hold;
  sooner.until = now + hours(1);
  prospect.holds = {hold, sooner};
  CHECK(at(prospect, now).at == now + hours(1));
  prospect.holds = {hold, std::nullopt};
  CHECK(at(prospect, now).kind == Kind::Due);
  // An order that is there already is gone on with.
  prospect.holds = {hold};
  prospect.record->pending = PendingOrder{};
  CHECK(at(prospect, now).kind == Kind::Due);
}

TEST_CASE("--force asks for nothing else", "[acme]") {
  Prospect prospect = issued();
  prospect.holds = {FailureMemory::Hold{kIssued + hours(3), "a.example", "x", 1, true}};
  Decision forced = decide(prospect, Trigger::Force, kIssued, kIssued);
  CHECK(forced.kind == Kind::Due);
  CHECK(forced.reason == "asked for with --force");
}

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
}

}  // namespace
}  // namespace countersign::acme
