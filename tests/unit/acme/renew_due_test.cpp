#include "acme/renew/due.hpp"
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
  record.archive = "20261031T000000.000Z-00000000";  // long enough before kIssued to be due again
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
  // Asked, and nothing was suggested.
  prospect.record->renewal = RenewalState{"aki.serial", {}, {}, {}, kIssued + hours(6), ""};
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
  CHECK(at(prospect, kIssued).at == kIssued + kDay * 60);
  CHECK(!at(prospect, kIssued).suggested_by_ca);
  prospect.record->renewal = suggestion(kIssued - kDay * 2, kIssued - kDay, kIssued - kDay);
  // One for another certificate says nothing about this one.
  prospect.record->renewal->certificate_id = "aki.other";
  CHECK(at(prospect, kIssued).kind == Kind::NotDue);
  CHECK(at(prospect, kIssued).at == kIssued + kDay * 60);
}

TEST_CASE("what was drawn to come before the next look is renewed now (RFC 9773 §4.2)", "[acme]") {
  Prospect prospect = issued();
  WallTime start = kIssued + kDay * 40, drawn = start + minutes(20), end = start + hours(1);
  prospect.record->renewal = suggestion(start, end, drawn);
  auto looked = [&](WallTime now) { return decide(prospect, Trigger::Schedule, now, now + hours(13)); };
  // At the one look the window has not begun, at the next one it is over.
  CHECK(looked(start - hours(6)).kind == Kind::Due);
  CHECK(looked(start - hours(6)).suggested_by_ca);
  CHECK(looked(drawn - hours(13)).kind == Kind::NotDue);
  CHECK(looked(drawn - hours(13) + seconds(1)).kind == Kind::Due);
  // Who stays waits for the very time.
  CHECK(at(prospect, drawn - seconds(1)).kind == Kind::NotDue);
  // A long window: by what was drawn, not by its end.
  prospect.record->renewal = suggestion(start, start + kDay * 3, start + kDay * 2);
  CHECK(looked(start + kDay).kind == Kind::NotDue);
  CHECK(looked(start + kDay * 2 - hours(12)).kind == Kind::Due);
}

TEST_CASE("a short-lived certificate does not expire between two looks, and a long-lived one is not early", "[acme]") {
  auto looked = [](const Prospect& prospect, WallTime now) {
    return decide(prospect, Trigger::Schedule, now, now + hours(13));
  };
  // Due at 12 h. At the next look a quarter of the lifetime must be left: half of what is left at 12 h.
  Prospect day = issued(kDay);
  CHECK(looked(day, kIssued + hours(5)).kind == Kind::NotDue);
  CHECK(looked(day, kIssued + hours(5) + seconds(1)).kind == Kind::Due);
  CHECK(looked(day, kIssued + hours(6)).reason ==
        "the next look could be too late: it expires at 2026-11-02T00:00:00Z");
  CHECK(at(day, kIssued + hours(11)).kind == Kind::NotDue);
  for (auto lifetime : {kDay * 6, kDay * 47, kDay * 90, kDay * 398}) {
    Prospect prospect = issued(lifetime);
    WallTime then = at(prospect, kIssued).at;
    CHECK(looked(prospect, then - seconds(1)).kind == Kind::NotDue);
    CHECK(looked(prospect, then).kind == Kind::Due);
  }
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
  prospect.revoked = RevocationMark{RevocationReason::KeyCompromise, "2026-11-22T10:00:00Z"};
  CHECK(at(prospect, kIssued).kind == Kind::Due);
  CHECK(at(prospect, kIssued).reason == "it was revoked at 2026-11-22T10:00:00Z");
  prospect.revoked->reason = RevocationReason::CessationOfOperation;
  CHECK(at(prospect, kIssued).kind == Kind::Nothing);
  prospect.in_configuration = true;
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
  // The CA's own word holds for that CA alone, what our own caution says holds for the name.
  hold.said_by_ca = sooner.said_by_ca = true;
  prospect.holds = {hold, sooner};
  CHECK(at(prospect, now).at == now + hours(1));
  prospect.holds = {hold, std::nullopt};
  CHECK(at(prospect, now).kind == Kind::Due);
  hold.said_by_ca = false;
  prospect.holds = {hold, std::nullopt};
  CHECK(at(prospect, now).kind == Kind::HeldBack);
  prospect.holds = {std::nullopt, hold};
  CHECK(at(prospect, now).kind == Kind::Due);
  // An order that is there already is gone on with.
  prospect.holds = {hold};
  prospect.record->pending = PendingOrder{};
  CHECK(at(prospect, now).kind == Kind::Due);
}

TEST_CASE("what is due again right after it was issued waits for a day, whatever the cause", "[acme]") {
  auto lately = [](milliseconds lifetime) {
    Prospect prospect = issued(lifetime);
    prospect.record->archive = "20261101T000000.000Z-00000000";  // at kIssued
    prospect.record->not_before = base::format_rfc3339(kIssued);
    prospect.record->not_after = base::format_rfc3339(kIssued + lifetime);
    return prospect;
  };
  // A hook moves its files away.
  Prospect moved = lately(kDay * 90);
  moved.live.reset();
  Decision held = at(moved, kIssued + minutes(3));
  CHECK(held.kind == Kind::HeldBack);
  CHECK(
      held.reason ==
      "it was issued 3 minutes ago and is due again: the files of live/a.example are missing, or not what was issued");
  CHECK(held.at == kIssued + kDay);
  CHECK(!held.can_wait);
  CHECK(at(moved, kIssued + kDay - seconds(1)).kind == Kind::HeldBack);
  CHECK(at(moved, kIssued + kDay).kind == Kind::Due);
  // The clock was set back since.
  CHECK(at(moved, kIssued - hours(1)).kind == Kind::Due);

  // A CA hands back the same certificate, or one that is half over.
  Prospect same = lately(kDay * 90);
  same.live->not_before -= kDay * 70;
  same.live->not_after -= kDay * 70;
  CHECK(at(same, kIssued + minutes(1)).kind == Kind::HeldBack);
  CHECK(at(same, kIssued + minutes(1)).can_wait);
  CHECK(at(same, kIssued + kDay).kind == Kind::Due);
  same.live->not_after = kIssued + kDay * 2;
  CHECK(!at(same, kIssued + minutes(1)).can_wait);  // less than a tenth is left

  // The CA's window is of the past for a new one, too.
  Prospect suggested = lately(kDay * 90);
  suggested.record->renewal = suggestion(kIssued - kDay * 2, kIssued - kDay, kIssued - kDay);
  CHECK(at(suggested, kIssued + hours(23)).kind == Kind::HeldBack);
  CHECK(at(suggested, kIssued + kDay).kind == Kind::Due);

  // A quarter of a short lifetime, by the record where the files are away; what expired is no exception.
  Prospect brief = lately(hours(8));
  brief.live.reset();
  CHECK(at(brief, kIssued + hours(2) - seconds(1)).at == kIssued + hours(2));
  CHECK(at(brief, kIssued + hours(2)).kind == Kind::Due);
  Prospect dead = lately(hours(8));
  dead.live->not_after = kIssued - hours(1);
  dead.live->not_before = kIssued - hours(9);
  CHECK(at(dead, kIssued + hours(1)).kind == Kind::HeldBack);
  CHECK(!at(dead, kIssued + hours(1)).can_wait);
  CHECK(at(dead, kIssued + hours(2)).kind == Kind::Due);
}

TEST_CASE("what a person wants does not wait because it was issued lately", "[acme]") {
  Prospect prospect = issued();
  prospect.record->archive = "20261101T000000.000Z-00000000";
  WallTime now = kIssued + minutes(1);
  CHECK(decide(prospect, Trigger::Force, now, now).kind == Kind::Due);
  prospect.in_configuration = true;
  prospect.names = {"a.example"};
  CHECK(at(prospect, now).kind == Kind::Due);
  prospect.names = prospect.record->names;
  prospect.options.key_type = conf::KeyType::P384;
  CHECK(at(prospect, now).kind == Kind::Due);
  prospect.options.key_type = conf::KeyType::P256;
  prospect.for_another_request = true;
  CHECK(at(prospect, now).kind == Kind::Due);
  prospect.for_another_request = false;
  prospect.revoked = RevocationMark{RevocationReason::KeyCompromise, "2026-11-01T00:00:30Z"};
  CHECK(at(prospect, now).kind == Kind::Due);
}

TEST_CASE("--force asks for nothing else", "[acme]") {
  Prospect prospect = issued();
  prospect.holds = {FailureMemory::Hold{kIssued + hours(3), "a.example", "x", 1, true}};
  Decision forced = decide(prospect, Trigger::Force, kIssued, kIssued);
  CHECK(forced.kind == Kind::Due);
  CHECK(forced.reason == "asked for with --force");
}

}  // namespace
}  // namespace countersign::acme
