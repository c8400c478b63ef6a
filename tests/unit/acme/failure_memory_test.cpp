#include "acme/state/failure_memory.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace countersign::acme {
namespace {

using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using tests::TemporaryFolder;

const std::string kCa = "https://ca.example/dir";
const WallTime kNow{std::chrono::sys_days(std::chrono::year(2026) / 11 / 22) + hours(10)};

void fail_once(FailureMemory& memory, WallTime now, std::optional<WallTime> said_by_ca = {}) {
  auto noted = memory.failed(kCa, {"a.example"}, "no TXT record", now, said_by_ca);
  INFO((noted ? "" : noted.error().message));
  REQUIRE(noted);
}

TEST_CASE("nothing stands against a name that never failed", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  CHECK(!memory.hold(kCa, {"a.example"}, kNow));
  CHECK(memory.succeeded(kCa, {"a.example"}));
  CHECK(memory.failed(kCa, {}, "", kNow, std::nullopt));
  CHECK(!std::filesystem::exists(folder.path / "acme"));
}

TEST_CASE("the wait grows from a minute to a day, with up to a tenth more", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  unsigned failures = 0;
  for (milliseconds wait : {milliseconds(minutes(1)), milliseconds(minutes(10)), milliseconds(minutes(100)),
                            milliseconds(hours(24)), milliseconds(hours(24))}) {
    fail_once(memory, kNow);
    auto hold = memory.hold(kCa, {"b.example", "a.example"}, kNow);
    REQUIRE(hold);
    CHECK(hold->until >= kNow + wait);
    CHECK(hold->until <= kNow + wait + wait / 10 + seconds(1));
    CHECK(hold->name == "a.example");
    CHECK(hold->reason == "no TXT record");
    CHECK(hold->failures == ++failures);
    CHECK(!hold->said_by_ca);
    CHECK(memory.hold(kCa, {"a.example"}, kNow + wait - seconds(1)));
    CHECK(!memory.hold(kCa, {"a.example"}, hold->until));
  }
}

TEST_CASE("a failure is one name's at one CA, and a success forgets it", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  fail_once(memory, kNow);
  CHECK(!memory.hold("https://other.example/dir", {"a.example"}, kNow));
  CHECK(!memory.hold(kCa, {"b.example", "*.a.example"}, kNow));
  REQUIRE(memory.succeeded("https://other.example/dir", {"a.example"}));
  CHECK(memory.hold(kCa, {"a.example"}, kNow));
  REQUIRE(memory.failed(kCa, {"b.example"}, "x", kNow, std::nullopt));
  REQUIRE(memory.succeeded(kCa, {"a.example"}));
  CHECK(!memory.hold(kCa, {"a.example"}, kNow));
  CHECK(memory.hold(kCa, {"b.example"}, kNow));
}

TEST_CASE("of several names the one that has to wait longest is named", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  fail_once(memory, kNow);
  fail_once(memory, kNow);
  REQUIRE(memory.failed(kCa, {"b.example"}, "x", kNow, std::nullopt));
  auto hold = memory.hold(kCa, {"b.example", "a.example"}, kNow);
  REQUIRE(hold);
  CHECK(hold->name == "a.example");
}

TEST_CASE("the CA's own time counts when it is the later one, up to a month", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  fail_once(memory, kNow, kNow + seconds(5));
  CHECK(!memory.hold(kCa, {"a.example"}, kNow)->said_by_ca);
  fail_once(memory, kNow, kNow + hours(30));
  auto hold = memory.hold(kCa, {"a.example"}, kNow);
  CHECK(hold->said_by_ca);
  CHECK(hold->until == kNow + hours(30));
  fail_once(memory, kNow, kNow + hours(24 * 365 * 20));
  CHECK(memory.hold(kCa, {"a.example"}, kNow)->until <= kNow + hours(24 * 32));
}

TEST_CASE("what the CA said counts for itself beside a longer wait of our own", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  using HoldKind = FailureMemory::HoldKind;
  for (int i = 0; i < 4; ++i) REQUIRE(memory.failed(kCa, {"b.example"}, "ours", kNow, std::nullopt));
  CHECK(!memory.hold(kCa, {"a.example", "b.example"}, kNow, HoldKind::SaidByCa));
  for (int i = 0; i < 4; ++i) fail_once(memory, kNow, kNow + hours(1));
  // Our own wait is a day by now, for both.
  CHECK(memory.hold(kCa, {"a.example", "b.example"}, kNow)->until >= kNow + hours(24));
  auto by_ca = memory.hold(kCa, {"a.example", "b.example"}, kNow, HoldKind::SaidByCa);
  REQUIRE(by_ca);
  CHECK(by_ca->name == "a.example");
  CHECK(by_ca->until == kNow + hours(1));
  CHECK(by_ca->said_by_ca);
  CHECK(!memory.hold(kCa, {"b.example"}, kNow, HoldKind::SaidByCa));
  CHECK(!memory.hold(kCa, {"a.example"}, kNow + hours(1), HoldKind::SaidByCa));
  // A failure of another kind does not take it away, nor does it last for ever.
  fail_once(memory, kNow + minutes(1));
  CHECK(memory.hold(kCa, {"a.example"}, kNow + minutes(2), HoldKind::SaidByCa)->until == kNow + hours(1));
  fail_once(memory, kNow + hours(2));
  CHECK(base::read_file(folder.path / "acme/failures.json")->find("ca_until") == std::string::npos);
}

TEST_CASE("more failures than a file may hold cost the oldest, not all", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  std::string reason(480, 'r');
  auto names = [](int from, int count) {
    std::vector<std::string> out;
    for (int i = from; i < from + count; ++i) out.push_back(fmt::format("n{}.example", i));
    return out;
  };
  // About 700 octets each; a call costs as much as there are names, so they come in few.
  for (int i = 0; i < 8; ++i) REQUIRE(memory.failed(kCa, names(i * 2000, 2000), reason, kNow + seconds(i), {}));
  CHECK(std::filesystem::file_size(folder.path / "acme/failures.json") <= 8U << 20U);
  WallTime later = kNow + seconds(10);
  CHECK(memory.hold(kCa, {"n15999.example"}, later));
  CHECK(memory.hold(kCa, {"n14000.example"}, later));
  CHECK(!memory.hold(kCa, {"n0.example"}, later));
  fail_once(memory, later);
  CHECK(memory.hold(kCa, {"a.example"}, later));
  CHECK(memory.hold(kCa, {"n15999.example"}, later));
}

TEST_CASE("a clock that was set back holds nothing up", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  fail_once(memory, kNow);
  CHECK(!memory.hold(kCa, {"a.example"}, kNow - hours(24 * 365)));
  CHECK(memory.hold(kCa, {"a.example"}, kNow));
}

TEST_CASE("what nobody asked about for two months is forgotten at the next failure", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  fail_once(memory, kNow);
  REQUIRE(memory.failed(kCa, {"b.example"}, "x", kNow + hours(24 * 61), std::nullopt));
  auto text = base::read_file(folder.path / "acme/failures.json");
  REQUIRE(text);
  CHECK(text->find("\"a.example\"") == std::string::npos);
  CHECK(text->find("\"b.example\"") != std::string::npos);
}

TEST_CASE("the CA's words are kept on one line, without what moves a cursor", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path / "acme");
  REQUIRE(memory.failed(kCa, {"a.example"}, "no\n\x1b[2J \xff" + std::string(5000, 'x'), kNow, std::nullopt));
  auto hold = memory.hold(kCa, {"a.example"}, kNow);
  REQUIRE(hold);
  CHECK(hold->reason.starts_with("no ?[2J ?xxx"));
  CHECK(hold->reason.size() <= 503);  // with "..."
  struct stat found{};
  REQUIRE(::stat((folder.path / "acme/failures.json").c_str(), &found) == 0);
  CHECK((found.st_mode & 0777U) == 0600U);
}

TEST_CASE("a broken file is like none, and the next failure makes it whole again", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path);
  fail_once(memory, kNow);
  std::string good = *base::read_file(folder.path / "failures.json");
  for (const std::string& broken :
       {std::string("{"), std::string(), std::string("[]"), std::string(R"({"failures":{}})"),
        std::string(R"({"failures":[{"directory":"https://ca.example/dir","name":"a.example","reason":"",)"
                    R"("failures":1,"failed":"yesterday","until":"2999-01-01T00:00:00Z"}]})"),
        good.substr(0, good.size() / 2)}) {
    INFO(broken);
    std::ofstream(folder.path / "failures.json") << broken;
    CHECK(!memory.hold(kCa, {"a.example"}, kNow));
    CHECK(memory.succeeded(kCa, {"a.example"}));
    fail_once(memory, kNow);
    REQUIRE(memory.hold(kCa, {"a.example"}, kNow));
    CHECK(memory.hold(kCa, {"a.example"}, kNow)->failures == 1);
  }
  std::filesystem::remove(folder.path / "failures.json");
  std::filesystem::create_directory(folder.path / "failures.json");
  CHECK(!memory.hold(kCa, {"a.example"}, kNow));
  CHECK(!memory.failed(kCa, {"a.example"}, "x", kNow, std::nullopt));
}

TEST_CASE("numbers that cannot be in the file hold nobody up for ever", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path);
  std::ofstream(folder.path / "failures.json")
      << R"({"failures":[{"directory":"https://ca.example/dir","name":"a.example","reason":"","failures":-7,)"
      << R"("failed":"2026-11-22T09:00:00Z","until":"2026-11-22T11:00:00Z"}]})";
  CHECK(memory.hold(kCa, {"a.example"}, kNow)->failures == 1);
  fail_once(memory, kNow);
  CHECK(memory.hold(kCa, {"a.example"}, kNow)->failures == 2);
}

// Exit status of a child that runs `work`.
template <class Work>
pid_t in_child(Work work) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(work() ? 0 : 1);
  return child;
}

bool succeeded(pid_t child) {
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE("processes that note failures at once lose none", "[acme]") {
  TemporaryFolder folder;
  auto work = [&](const std::string& name) {
    FailureMemory memory(folder.path / "acme");
    for (int i = 0; i < 25; ++i)
      if (!memory.failed(kCa, {name, "shared.example"}, "x", kNow, std::nullopt)) return false;
    return true;
  };
  pid_t first = in_child([&] { return work("a.example"); });
  pid_t second = in_child([&] { return work("b.example"); });
  CHECK(succeeded(first));
  CHECK(succeeded(second));
  FailureMemory memory(folder.path / "acme");
  CHECK(memory.hold(kCa, {"a.example"}, kNow)->failures == 25);
  CHECK(memory.hold(kCa, {"b.example"}, kNow)->failures == 25);
  CHECK(memory.hold(kCa, {"shared.example"}, kNow)->failures == 50);
}

TEST_CASE("a full disk is said, and what was known stays", "[acme]") {
  TemporaryFolder folder;
  FailureMemory memory(folder.path);
  fail_once(memory, kNow);
  pid_t child = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{100, 100};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    auto noted = memory.failed(kCa, {"a.example"}, std::string(400, 'x'), kNow, std::nullopt);
    return !noted && noted.error().code == base::ErrorCode::Full;
  });
  CHECK(succeeded(child));
  CHECK(memory.hold(kCa, {"a.example"}, kNow)->failures == 1);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    files += entry.path().filename().string().starts_with(".") ? 1U : 0U;
  CHECK(files == 0);
}

}  // namespace
}  // namespace countersign::acme
