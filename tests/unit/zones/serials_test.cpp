// When a zone's serial grows besides its updates: with its static part, its TTL, its neighbours.
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/zones/server.hpp"

using namespace countersign;
using namespace std::chrono_literals;
using base::ErrorCode;
using tests::Server;
using tests::test_config;
using tests::ttl_of;
using tests::zone_in;
using tests::zone_of;

TEST_CASE("serials grow at a reload for changed zones only, and are the same after a restart", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  config.zones.push_back(zone_of("two.test", {"www A 192.0.2.2"}));
  std::uint32_t one = 0;
  std::uint32_t two = 0;
  {
    Server server(folder, clock, config);
    one = zone_in(server, "auth.test").serial;
    two = zone_in(server, "two.test").serial;
    config.zones[1].records[0].text = "www A 192.0.2.3";
    REQUIRE(server.reload(config));
    REQUIRE(zone_in(server, "auth.test").serial == one);
    REQUIRE(zone_in(server, "two.test").serial == two + 1);
  }
  Server server(folder, clock, config);
  REQUIRE(zone_in(server, "auth.test").serial == one);
  REQUIRE(zone_in(server, "two.test").serial == two + 1);
}

TEST_CASE("a zone that returns has another serial: its values may have gone meanwhile", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config one = test_config();
  conf::Config both = one;
  both.zones.push_back(zone_of("two.test", {}));
  std::uint32_t serial = 0;
  {
    Server server(folder, clock, both);
    REQUIRE(server.add("removed.two.test", "v", 0s));
    serial = zone_in(server, "two.test").serial;
    auto before = server.snapshot();
    REQUIRE(server.reload(one));
    REQUIRE(server.snapshot().commits == before.commits + 1);
    REQUIRE(server.remove_all("removed.two.test"));
    REQUIRE(server.reload(one));  // forgotten already: nothing to write
    REQUIRE(server.snapshot().commits == before.commits + 2);
    REQUIRE(server.reload(both));
    REQUIRE(zone_in(server, "two.test").serial == serial + 1);
    REQUIRE(server.reload(both));
    REQUIRE(zone_in(server, "two.test").serial == serial + 1);
  }
  // A start forgets as a reload does.
  {
    Server server(folder, clock, one);
  }
  Server server(folder, clock, both);
  REQUIRE(zone_in(server, "two.test").serial == serial + 2);
}

TEST_CASE("a zone's serial grows when the TTL of its values or the zones below it change", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  Server server(folder, clock, config);
  REQUIRE(server.add("a.sub.auth.test", "v"));
  std::uint32_t serial = zone_in(server, "auth.test").serial;
  config.challenge.ttl = 9s;
  REQUIRE(server.reload(config));
  REQUIRE(zone_in(server, "auth.test").serial == serial + 1);
  conf::Config nested = config;
  nested.zones.push_back(zone_of("sub.auth.test", {}));
  REQUIRE(server.reload(nested));
  REQUIRE(zone_in(server, "auth.test").serial == serial + 2);
  std::swap(nested.zones[0], nested.zones[1]);
  REQUIRE(server.reload(nested));
  REQUIRE(zone_in(server, "auth.test").serial == serial + 2);
  REQUIRE(server.reload(config));
  REQUIRE(zone_in(server, "auth.test").serial == serial + 3);
}

TEST_CASE("a reload whose serials cannot be stored changes nothing", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  Server server(folder, clock, config);
  REQUIRE(server.add("a.auth.test", "v"));
  auto before = server.snapshot();
  conf::Config next = config;
  next.zones[0].records.push_back({"late TXT x", {}});
  next.zones.push_back(zone_of("two.test", {}));
  next.challenge.ttl = 9s;
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  rlimit none{0, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
  auto refused = server.reload(next);
  auto during = server.snapshot();
  // Nothing to store: limits alone can be changed without the disk.
  conf::Config limits = config;
  limits.challenge.max_values = 1;
  auto without_disk = server.reload(limits);
  auto still = server.snapshot();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().code == ErrorCode::Unavailable);
  REQUIRE_FALSE(during.store_ok);
  REQUIRE(during.zones.size() == 1);
  REQUIRE(during.zones[0].serial == before.zones[0].serial);
  REQUIRE(during.values == 1);
  REQUIRE(without_disk);
  REQUIRE_FALSE(still.store_ok);
  REQUIRE(ttl_of(server, "a.auth.test") == 1);
  REQUIRE(server.add("a.auth.test", "second").error().code == ErrorCode::Full);
  REQUIRE(server.served("late.auth.test") == -1);
  REQUIRE(server.served("two.test") == -1);
  REQUIRE(server.reload(next));
  REQUIRE(server.served("late.auth.test") == 1);
  REQUIRE(server.snapshot().store_ok);
  REQUIRE(server.snapshot().zones[0].serial == before.zones[0].serial + 1);
  REQUIRE(ttl_of(server, "a.auth.test") == 9);
}
