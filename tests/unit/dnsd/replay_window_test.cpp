#include "dnsd/update/replay_window.hpp"

#include "tests/support/catch.hpp"

using namespace countersign::dnsd;
using Verdict = ReplayWindow::Verdict;

namespace {

constexpr std::uint64_t kNow = 1'795'000'000;

void apply(ReplayWindow& window, std::string_view key, const std::string& mac, std::uint64_t time_signed) {
  window.note_begun(key, mac, time_signed);
  window.note_ended(key, mac, 0);
}

}  // namespace

TEST_CASE("a signed update is new, then pending, then applied", "[dnsd][update]") {
  ReplayWindow window;
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  window.note_begun("k", "mac", kNow);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::Pending);
  window.note_ended("k", "mac", 0);
  for (int i = 0; i < 3; ++i) {
    auto found = window.look("k", "mac", kNow, kNow + 300);
    CHECK(found.verdict == Verdict::Applied);
    CHECK(found.rcode == 0);
  }
  CHECK(window.look("k", "another", kNow, kNow).verdict == Verdict::New);
  CHECK(window.look("another", "mac", kNow, kNow).verdict == Verdict::New);
}

TEST_CASE("an update that was not applied may be tried again", "[dnsd][update]") {
  ReplayWindow window;
  for (std::uint16_t rcode : std::initializer_list<std::uint16_t>{2, 3, 5, 6, 7, 8}) {
    window.note_begun("k", "mac", kNow);
    window.note_ended("k", "mac", rcode);
    CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  }
  // Once applied it stays so, whatever a second try would have come to.
  apply(window, "k", "mac", kNow);
  window.note_begun("k", "mac", kNow);
  window.note_ended("k", "mac", 2);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::Applied);
}

TEST_CASE("what had to be forgotten for room is too old, and nothing newer is", "[dnsd][update]") {
  ReplayWindow window(100);
  for (std::uint64_t i = 0; i < 150; ++i) apply(window, "k", "mac " + std::to_string(i), kNow + i);
  for (std::uint64_t i = 0; i < 150; ++i)
    CHECK(window.look("k", "mac " + std::to_string(i), kNow + i, kNow + 150).verdict ==
          (i < 50 ? Verdict::TooOld : Verdict::Applied));
  // Never seen, but nobody can tell any more.
  CHECK(window.look("k", "new", kNow + 49, kNow + 150).verdict == Verdict::TooOld);
  CHECK(window.look("k", "new", kNow + 50, kNow + 150).verdict == Verdict::New);
}

TEST_CASE("they are forgotten in the order of their signing, not of their arrival", "[dnsd][update]") {
  ReplayWindow window(2);
  apply(window, "k", "late", kNow);
  apply(window, "k", "early", kNow - 200);
  apply(window, "k", "third", kNow + 1);
  CHECK(window.look("k", "early", kNow - 200, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "late", kNow, kNow).verdict == Verdict::Applied);
  CHECK(window.look("k", "third", kNow + 1, kNow).verdict == Verdict::Applied);
}

TEST_CASE("a key that is used much, or has a fast clock, takes nothing from another", "[dnsd][update]") {
  ReplayWindow window(100);
  apply(window, "quiet", "mac", kNow - 100);
  for (std::uint64_t i = 0; i < 1000; ++i) apply(window, "busy", "mac " + std::to_string(i), kNow + 60'000 + i);
  CHECK(window.look("quiet", "mac", kNow - 100, kNow).verdict == Verdict::Applied);
  CHECK(window.look("quiet", "new", kNow - 100, kNow).verdict == Verdict::New);
  CHECK(window.look("busy", "mac 0", kNow + 60'000, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("busy", "mac 999", kNow + 60'999, kNow).verdict == Verdict::Applied);
}

TEST_CASE("what no clock could be wrong enough for is forgotten, and does not come back with a clock set back",
          "[dnsd][update]") {
  ReplayWindow window;
  apply(window, "k", "mac", kNow);
  CHECK(window.look("k", "mac", kNow, kNow + 65'535).verdict == Verdict::Applied);
  CHECK(window.look("k", "mac", kNow, kNow + 65'536).verdict == Verdict::TooOld);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "later", kNow + 1, kNow).verdict == Verdict::New);
}

TEST_CASE("an end that nothing began, or that was forgotten meanwhile, is nothing", "[dnsd][update]") {
  ReplayWindow window(1);
  window.note_ended("k", "mac", 0);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  window.note_begun("k", "first", kNow);
  window.note_begun("k", "second", kNow + 1);
  window.note_ended("k", "first", 0);
  CHECK(window.look("k", "first", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "second", kNow + 1, kNow).verdict == Verdict::Pending);
}

TEST_CASE("a clock near the epoch makes nothing old", "[dnsd][update]") {
  ReplayWindow window;
  apply(window, "k", "mac", 5);
  CHECK(window.look("k", "mac", 5, 10).verdict == Verdict::Applied);
}
