#include "zones/publisher.hpp"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <thread>

#include "tests/unit/zones/server.hpp"
#include "zones/store.hpp"

using namespace countersign;
using namespace std::chrono_literals;
using base::ErrorCode;
using base::Name;
using tests::Server;
using tests::test_config;
using tests::Values;
using zones::TxtChange;

TEST_CASE("an update is visible and listed when it is acknowledged, and gone when its removal is", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  auto values = server.add("www.example.com.auth.test", "one");
  REQUIRE(values);
  REQUIRE(values->size() == 1);
  REQUIRE(values->at(0).expires == clock.wall() + 1h);
  REQUIRE(server.served("www.example.com.auth.test") == 1);
  REQUIRE(server.served("example.com.auth.test") == 0);
  REQUIRE(server.add("www.example.com.auth.test", "two")->size() == 2);
  REQUIRE(server.list().size() == 2);
  REQUIRE(server.remove("www.example.com.auth.test", "one")->size() == 1);
  REQUIRE(server.remove("www.example.com.auth.test", "never")->size() == 1);
  REQUIRE(server.remove_all("www.example.com.auth.test")->empty());
  REQUIRE(server.served("www.example.com.auth.test") == -1);
  REQUIRE(server.served("com.auth.test") == -1);
  REQUIRE(server.list().empty());
}

TEST_CASE("each commit that changes the zone makes one serial more, others none", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  std::uint32_t serial = 0;
  {
    Server server(folder, clock);
    serial = server.snapshot().zones.at(0).serial;
    REQUIRE(server.add("a.auth.test", "v"));
    REQUIRE(server.snapshot().zones.at(0).serial == serial + 1);
    REQUIRE(server.add("a.auth.test", "v"));  // refreshed: nothing that a reader could see
    REQUIRE(server.remove("b.auth.test", "v"));
    REQUIRE(server.snapshot().zones.at(0).serial == serial + 1);
    REQUIRE(server.snapshot().zones.at(0).values == 1);
    REQUIRE(server.snapshot().zones.at(0).names == 1);
  }
  Server server(folder, clock);
  REQUIRE(server.snapshot().zones.at(0).serial == serial + 1);
  REQUIRE(server.served("a.auth.test") == 1);
  zones::ReadScope scope(server.reader);
  REQUIRE(server.table.find(Name::parse("auth.test")->wire())->zone().soa.load()->serial == serial + 1);
}

TEST_CASE("updates that cannot be served are refused with their reason and change nothing", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.add("www.example.com", "v").error().code == ErrorCode::NotFound);
  REQUIRE(server.add("alias.auth.test", "v").error().code == ErrorCode::Invalid);
  REQUIRE(server.add("cut.auth.test", "v").error().code == ErrorCode::Invalid);
  REQUIRE(server.add("below.cut.auth.test", "v").error().code == ErrorCode::Invalid);
  for (const char* value : {"1", "2", "3"}) REQUIRE(server.add("full.auth.test", value));
  REQUIRE(server.add("full.auth.test", "4").error().code == ErrorCode::Full);
  REQUIRE(server.add("full.auth.test", "3"));  // the same again is no more
  REQUIRE(server.add("large.auth.test", std::string(600, 'x')));
  REQUIRE(server.add("large.auth.test", std::string(600, 'y')).error().code == ErrorCode::Full);
  REQUIRE(server.served("large.auth.test") == 1);
  REQUIRE(server.add("longer.auth.test", std::string(1024, 'x')));
  conf::Config small = test_config();
  small.dns.max_udp_payload = 512;
  tests::TemporaryFolder another;
  Server tight(another, clock, small);
  REQUIRE(tight.add("long.auth.test", std::string(1024, 'x')).error().code == ErrorCode::Invalid);
  REQUIRE(server.served("full.auth.test") == 3);
}

TEST_CASE("values stand beside static records of their name, under one TTL", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.served("fixed.auth.test") == 1);
  REQUIRE(server.add("fixed.auth.test", "moving"));
  REQUIRE(server.served("fixed.auth.test") == 2);
  REQUIRE(server.snapshot().values == 1);
  REQUIRE(server.remove_all("fixed.auth.test"));
  REQUIRE(server.served("fixed.auth.test") == 1);
  for (int round = 0; round < 3; ++round) {
    REQUIRE(server.add("fixed.auth.test", "standing"));
    REQUIRE(server.remove_all("fixed.auth.test"));
  }
  REQUIRE(server.snapshot().values == 0);
  REQUIRE(server.snapshot().zones.at(0).names == 0);
  REQUIRE(server.add("auth.test", "at the apex"));
  REQUIRE(server.served("auth.test") == 1);
  REQUIRE(server.remove_all("auth.test"));
  REQUIRE(server.served("auth.test") == 0);
}

TEST_CASE("each value is pruned at its own deadline", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.add("a.auth.test", "short", 10s));
  REQUIRE(server.add("a.auth.test", "long", 60s));
  REQUIRE(server.add("a.auth.test", "for ever", 0s));
  clock.advance(9999ms);
  REQUIRE(server.list().size() == 3);
  clock.advance(1ms);
  REQUIRE(server.list().size() == 2);
  REQUIRE(server.served("a.auth.test") == 2);
  clock.advance(50s);
  REQUIRE(server.list().size() == 1);
  clock.advance(24h * 365);
  REQUIRE(server.list().size() == 1);
  REQUIRE(server.snapshot().prunes == 2);
}

TEST_CASE("the prune comes by itself, without anybody asking", "[zones]") {
  tests::TemporaryFolder folder;
  base::SystemClock clock;
  conf::Config config = test_config();
  std::vector<conf::Problem> problems;
  zones::Epochs epochs;
  zones::NameTable table(epochs);
  zones::Epochs::Reader& reader = epochs.add_reader();
  zones::Registry registry;
  auto publisher =
      zones::Publisher::open(folder.path, config, zones::build_static_zones(config, problems), table, registry, clock);
  REQUIRE(publisher);
  std::promise<void> done;
  (*publisher)
      ->submit({TxtChange::Kind::Add, *Name::parse("a.auth.test"), *zones::TxtValue::parse("v"), "", 50ms},
               [&](Values) { done.set_value(); });
  done.get_future().wait();
  auto gone = [&] {
    zones::ReadScope scope(reader);
    return table.find(Name::parse("a.auth.test")->wire()) == nullptr;
  };
  auto patience = std::chrono::steady_clock::now() + 20s;  // a bound, not a measure
  while (!gone() && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  REQUIRE(gone());
}

TEST_CASE("a jump of the clock prunes nothing, and lifetimes go on", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "v", 60s));
    clock.jump(24h * 365);
    REQUIRE(server.list().size() == 1);
    REQUIRE(server.list()[0].expires == clock.wall() + 60s);
    clock.advance(59s);
    REQUIRE(server.list().size() == 1);
    clock.jump(-24h * 730);
    REQUIRE(server.list()[0].expires == clock.wall() + 1s);
  }
  Server server(folder, clock);
  REQUIRE(server.list().size() == 1);
  clock.advance(1s);
  REQUIRE(server.list().empty());
}

TEST_CASE("a clock that was months behind and is put right stretches no lifetime", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "v", 60s));
  }
  clock.jump(-24h * 90);  // a start without a clock of its own
  Server server(folder, clock);
  REQUIRE(server.list().size() == 1);
  clock.jump(24h * 90);  // the time comes over the network
  REQUIRE(server.list().at(0).expires <= clock.wall() + 60s);
  clock.advance(60s);
  REQUIRE(server.list().empty());
}

TEST_CASE("a value that no zone serves any more can be removed, and does not come back with its zone", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "v", 0s));
    REQUIRE(server.add("b.auth.test", "v", 0s));
  }
  conf::Config other = test_config();
  other.zones[0].name = *Name::parse("other.test");
  {
    Server server(folder, clock, other);
    REQUIRE(server.list().empty());
    REQUIRE(server.remove("a.auth.test", "another")->empty());
    REQUIRE(server.remove("a.auth.test", "v"));
  }
  Server server(folder, clock);
  REQUIRE(server.served("a.auth.test") == -1);
  REQUIRE(server.served("b.auth.test") == 1);
}

TEST_CASE("values that expired while the server was down are not served again", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  {
    Server server(folder, clock);
    REQUIRE(server.add("a.auth.test", "v", 10s));
    REQUIRE(server.add("b.auth.test", "v", 100s));
  }
  clock.advance(10s);
  Server server(folder, clock);
  REQUIRE(server.served("a.auth.test") == -1);
  REQUIRE(server.served("b.auth.test") == 1);
}

TEST_CASE("what waits when the server stops is finished or refused, never lost in silence", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  std::atomic<int> good{0}, refused{0};
  {
    Server server(folder, clock);
    for (int i = 0; i < 500; ++i) {
      server.publisher->submit({TxtChange::Kind::Add, *Name::parse("n" + std::to_string(i) + ".auth.test"),
                                *zones::TxtValue::parse("v"), "control", std::nullopt},
                               [&](Values values) { ++(values ? good : refused); });
    }
  }
  REQUIRE(good + refused == 500);
  Server server(folder, clock);
  REQUIRE(server.snapshot().values == static_cast<std::uint64_t>(good.load()));
}

// The child acknowledges values through a pipe until it is killed; all that was acknowledged must be there afterwards.
TEST_CASE("no acknowledged value is lost to kill -9", "[zones]") {
  tests::TemporaryFolder folder;
  for (int round = 0; round < 6; ++round) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    pid_t child = fork();
    if (child == 0) {
      tests::FakeClock clock;
      Server server(folder, clock);
      for (int i = 0;; ++i) {
        int number = round * 1'000'000 + i;
        server.publisher->submit({TxtChange::Kind::Add, *Name::parse("n" + std::to_string(number) + ".auth.test"),
                                  *zones::TxtValue::parse("v"), "control", std::nullopt},
                                 [&ends, number](Values values) {
                                   if (values) static_cast<void>(!write(ends[1], &number, sizeof number));
                                 });
        if (i % 8 == 0) server.snapshot();
      }
    }
    close(ends[1]);
    std::vector<int> acknowledged;
    int number = 0;
    while (acknowledged.size() < 20U + static_cast<unsigned>(round) * 17U &&
           read(ends[0], &number, sizeof number) == sizeof number)
      acknowledged.push_back(number);
    REQUIRE(kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    while (read(ends[0], &number, sizeof number) == sizeof number) acknowledged.push_back(number);
    close(ends[0]);
    REQUIRE(acknowledged.size() >= 20);
    tests::FakeClock clock;
    Server server(folder, clock);
    for (int each : acknowledged) REQUIRE(server.served("n" + std::to_string(each) + ".auth.test") == 1);
  }
}

TEST_CASE("a full disk refuses updates, keeps what was acknowledged, and is survived", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.add("a.auth.test", "before", 10s));
  // No file may grow: the write-ahead log is refused its next frame, as on a full disk.
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  rlimit none{0, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
  auto refused = server.add("b.auth.test", "during");
  auto snapshot = server.snapshot();
  clock.advance(10s);
  server.snapshot();
  int expired = server.served("a.auth.test");
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().code == ErrorCode::Unavailable);
  REQUIRE_FALSE(snapshot.store_ok);
  REQUIRE(server.served("b.auth.test") == -1);
  REQUIRE(expired == -1);  // past its deadline nobody is told of it, disk or no disk
  REQUIRE(server.add("b.auth.test", "after"));
  REQUIRE(server.snapshot().store_ok);
  REQUIRE(server.snapshot().values == 1);
  REQUIRE(server.list().size() == 1);
}

TEST_CASE("a store that can be written again is called so without any update", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  rlimit none{0, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
  auto refused = server.add("a.auth.test", "v");
  bool failing = !server.snapshot().store_ok;
  bool still_failing = !server.snapshot().store_ok;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  REQUIRE_FALSE(refused);
  REQUIRE(failing);
  REQUIRE(still_failing);
  REQUIRE(server.snapshot().store_ok);
  REQUIRE(server.snapshot().commits == 0);
  REQUIRE(server.served("a.auth.test") == -1);
}

namespace {

void execute(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &raw) == SQLITE_OK);
  REQUIRE(sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(raw);
}

}  // namespace

TEST_CASE("rows that somebody wrote by hand go at their deadline, whatever their name is", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  auto file = folder.path / "store.sqlite3";
  {
    Server server(folder, clock);
  }
  // Upper case, not a name, nothing, a text, a value that is no text; ours; and deadlines that are none.
  execute(
      file,
      "INSERT INTO txt VALUES (x'01410461757468047465737400', 'v', '', 1, 1, 0), (x'0561', 'v', '', 1, 1, 0),"
      "(x'', 'v', '', 1, 1, 0), ('a.auth.test', 'v', '', 1, 1, 0), (x'01610461757468047465737400', x'76', '', 1, 1, 0),"
      "(x'01620461757468047465737400', 'v', '', 1, 1, 0),"
      "(x'01630461757468047465737400', 'v', '', 1, 'soon', 0)");
  {
    Server server(folder, clock);
    auto patience = std::chrono::steady_clock::now() + 20s;  // a bound, not a measure
    while (server.snapshot().prunes < 6 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    auto settled = server.snapshot();
    REQUIRE(settled.prunes == 6);
    for (int i = 0; i < 100; ++i) server.snapshot();
    REQUIRE(server.snapshot().prunes == settled.prunes);
    REQUIRE(server.snapshot().commits == settled.commits);
    REQUIRE(server.served("a.auth.test") == -1);
  }
  auto store = zones::Store::open(file);
  REQUIRE(store);
  REQUIRE(store->expired(INT64_MIN, INT64_MAX, -1)->empty());
  REQUIRE_FALSE(store->next_deadline()->has_value());
}

TEST_CASE("a reload that cannot read the store does not call it unwritable", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  auto file = folder.path / "store.sqlite3";
  {
    Server server(folder, clock);
  }
  execute(file,
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO txt SELECT "
          "CAST(CAST(x'08' || CAST(printf('%08d', i) AS BLOB) AS BLOB) || x'0461757468047465737400' AS BLOB), "
          "hex(zeroblob(200)), '', 1, NULL, 0 FROM n");
  Server server(folder, clock);
  REQUIRE(server.reload(server.config));
  auto size = std::filesystem::file_size(file);
  {
    // Its cache holds but a part of it.
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(static_cast<std::streamoff>(size / 4));
    damage << std::string(size / 2, 'x');
  }
  auto failed = server.reload(server.config);
  REQUIRE_FALSE(failed);
  REQUIRE(server.snapshot().store_ok);
}
