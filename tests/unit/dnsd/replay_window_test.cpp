#include "dnsd/update/replay_window.hpp"

#include "tests/support/catch.hpp"

using namespace countersign::dnsd;
using Verdict = ReplayWindow::Verdict;

namespace {

constexpr std::uint64_t kNow = 1'795'000'000;

void apply(ReplayWindow& window, std::string_view key, const std::string& mac, std::uint64_t time_signed) {
  window.note_begun(key, mac, time_signed, time_signed);
  window.note_ended(key, mac, 0);
}

}  // namespace

TEST_CASE("a signed update is new, then pending, then answered", "[dnsd][update]") {
  ReplayWindow window;
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  window.note_begun("k", "mac", kNow, kNow);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::Pending);
  window.note_ended("k", "mac", 0);
  for (int i = 0; i < 3; ++i) {
    auto found = window.look("k", "mac", kNow, kNow + 300);
    CHECK(found.verdict == Verdict::Answered);
    CHECK(found.rcode == 0);
  }
  CHECK(window.look("k", "another", kNow, kNow).verdict == Verdict::New);
  CHECK(window.look("another", "mac", kNow, kNow).verdict == Verdict::New);
}

TEST_CASE("an update that was refused stays refused", "[dnsd][update]") {
  ReplayWindow window;
  for (std::uint16_t rcode : std::initializer_list<std::uint16_t>{1, 3, 5, 6, 7, 8, 9, 10}) {
    std::string mac = "mac " + std::to_string(rcode);
    window.note_begun("k", mac, kNow, kNow);
    window.note_ended("k", mac, rcode);
    CHECK(window.look("k", mac, kNow, kNow).verdict == Verdict::Answered);
    CHECK(window.look("k", mac, kNow, kNow + 300).rcode == rcode);
    // The first end counts.
    window.note_ended("k", mac, 0);
    CHECK(window.look("k", mac, kNow, kNow).rcode == rcode);
  }
}

TEST_CASE("after SERVFAIL the same may be tried again for ten seconds from the first try", "[dnsd][update]") {
  ReplayWindow window;
  for (std::uint64_t later : {0U, 4U, 9U}) {
    CHECK(window.look("k", "mac", kNow - 200, kNow + later).verdict == Verdict::New);
    window.note_begun("k", "mac", kNow - 200, kNow + later);
    CHECK(window.look("k", "mac", kNow - 200, kNow + later).verdict == Verdict::Pending);
    window.note_ended("k", "mac", 2);
  }
  for (std::uint64_t now : {kNow + 10, kNow + 11, kNow + 90, kNow - 1}) {
    CHECK(window.look("k", "mac", kNow - 200, now).verdict == Verdict::Answered);
    CHECK(window.look("k", "mac", kNow - 200, now).rcode == 2);
  }
  // One that comes through at last stays so.
  window.note_begun("k", "mac", kNow - 200, kNow + 5);
  window.note_ended("k", "mac", 0);
  CHECK(window.look("k", "mac", kNow - 200, kNow + 5).verdict == Verdict::Answered);
  CHECK(window.look("k", "mac", kNow - 200, kNow + 5).rcode == 0);
}

TEST_CASE("what was given up is answered SERVFAIL until its real end, however late", "[dnsd][update]") {
  ReplayWindow window;
  for (std::uint16_t rcode : std::initializer_list<std::uint16_t>{0, 2, 7}) {
    std::string mac = "mac " + std::to_string(rcode);
    window.note_begun("k", mac, kNow, kNow);
    window.note_given_up("k", mac);
    for (std::uint64_t now : {kNow, kNow + 10, kNow + 300}) {
      CHECK(window.look("k", mac, kNow, now).verdict == Verdict::GivenUp);
      CHECK(window.look("k", mac, kNow, now).rcode == 2);
    }
    window.note_ended("k", mac, rcode);
    CHECK(window.look("k", mac, kNow, kNow + 11).verdict == Verdict::Answered);
    CHECK(window.look("k", mac, kNow, kNow + 11).rcode == rcode);
    window.note_given_up("k", mac);
    CHECK(window.look("k", mac, kNow, kNow + 11).verdict == Verdict::Answered);
  }
  window.note_given_up("k", "never seen");
  CHECK(window.look("k", "never seen", kNow, kNow).verdict == Verdict::New);
}

TEST_CASE("what was signed at a key's mark or before it is too old, for that key alone", "[dnsd][update]") {
  ReplayWindow window;
  window.set_mark("k", kNow);
  window.set_mark("k", kNow - 50);  // the highest counts
  for (std::uint64_t time : {kNow - 300, kNow - 1, kNow}) {
    CHECK(window.look("k", "mac", time, kNow).verdict == Verdict::TooOld);
    CHECK(window.look("another", "mac", time, kNow).verdict == Verdict::New);
  }
  CHECK(window.look("k", "mac", kNow + 1, kNow).verdict == Verdict::New);
  // What came afterwards is known one by one.
  apply(window, "k", "ahead", kNow + 200);
  CHECK(window.look("k", "ahead", kNow + 200, kNow).verdict == Verdict::Answered);
  CHECK(window.look("k", "behind", kNow + 1, kNow).verdict == Verdict::New);
}

TEST_CASE("a mark that lies further ahead than any client's clock is ignored, and for good once somebody came",
          "[dnsd][update]") {
  ReplayWindow window;
  window.set_mark("k", kNow + 300);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "mac", kNow, kNow - 1).verdict == Verdict::New);
  // The clock was wrong at the start alone: nobody's message was good then.
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::TooOld);
  apply(window, "k", "first", kNow - 1);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  CHECK(window.look("k", "first", kNow - 1, kNow).verdict == Verdict::Answered);
}

TEST_CASE("a clock that is set back for hours stops nobody, and lets nothing be repeated that is remembered",
          "[dnsd][update]") {
  ReplayWindow window(100);
  constexpr std::uint64_t kBefore = kNow + 7200;
  for (std::uint64_t i = 0; i < 150; ++i) apply(window, "k", "before " + std::to_string(i), kBefore + i);
  CHECK(window.look("k", "new", kBefore + 1, kBefore + 150).verdict == Verdict::TooOld);
  CHECK(window.look("k", "new", kNow, kNow).verdict == Verdict::New);
  apply(window, "k", "after", kNow);
  CHECK(window.look("k", "after", kNow, kNow).verdict == Verdict::Answered);
  CHECK(window.look("k", "before 149", kBefore + 149, kNow).verdict == Verdict::Answered);
}

TEST_CASE("what had to be forgotten for room is too old, and nothing newer is", "[dnsd][update]") {
  ReplayWindow window(100);
  for (std::uint64_t i = 0; i < 150; ++i) apply(window, "k", "mac " + std::to_string(i), kNow + i);
  for (std::uint64_t i = 0; i < 150; ++i)
    CHECK(window.look("k", "mac " + std::to_string(i), kNow + i, kNow + 150).verdict ==
          (i < 50 ? Verdict::TooOld : Verdict::Answered));
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
  CHECK(window.look("k", "late", kNow, kNow).verdict == Verdict::Answered);
  CHECK(window.look("k", "third", kNow + 1, kNow).verdict == Verdict::Answered);
}

TEST_CASE("a key that is used much, or has a fast clock, takes nothing from another", "[dnsd][update]") {
  ReplayWindow window(100);
  apply(window, "quiet", "mac", kNow - 100);
  for (std::uint64_t i = 0; i < 1000; ++i) apply(window, "busy", "mac " + std::to_string(i), kNow + i / 5);
  CHECK(window.look("quiet", "mac", kNow - 100, kNow).verdict == Verdict::Answered);
  CHECK(window.look("quiet", "new", kNow - 100, kNow).verdict == Verdict::New);
  CHECK(window.look("busy", "mac 0", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("busy", "mac 999", kNow + 199, kNow).verdict == Verdict::Answered);
}

TEST_CASE(
    "what is older than any check of the time is forgotten in the end, and does not come back when the clock is set "
    "back",
    "[dnsd][update]") {
  ReplayWindow window;
  apply(window, "k", "mac", kNow);
  CHECK(window.look("k", "mac", kNow, kNow + 65'535).verdict == Verdict::Answered);
  CHECK(window.look("k", "mac", kNow, kNow + 65'536).verdict == Verdict::TooOld);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "later", kNow + 1, kNow).verdict == Verdict::New);
}

TEST_CASE("an end that nothing began, or that was forgotten meanwhile, is nothing", "[dnsd][update]") {
  ReplayWindow window(1);
  window.note_ended("k", "mac", 0);
  CHECK(window.look("k", "mac", kNow, kNow).verdict == Verdict::New);
  window.note_begun("k", "first", kNow, kNow);
  window.note_begun("k", "second", kNow + 1, kNow);
  window.note_ended("k", "first", 0);
  CHECK(window.look("k", "first", kNow, kNow).verdict == Verdict::TooOld);
  CHECK(window.look("k", "second", kNow + 1, kNow).verdict == Verdict::Pending);
}

TEST_CASE("a clock near the epoch makes nothing old", "[dnsd][update]") {
  ReplayWindow window;
  apply(window, "k", "mac", 5);
  CHECK(window.look("k", "mac", 5, 10).verdict == Verdict::Answered);
}
