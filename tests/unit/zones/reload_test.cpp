// Publisher::reload(): what SIGHUP does to the names.
#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "tests/unit/zones/server.hpp"

using namespace countersign;
using namespace std::chrono_literals;
using base::ErrorCode;
using base::Name;
using tests::Server;
using tests::test_config;
using tests::ttl_of;
using tests::Values;
using tests::zone_in;
using tests::zone_of;

namespace {

// The apex of the zone that answers for `name`, and its SOA's serial; "" when the name does not exist.
std::string home_of(Server& server, const std::string& name) {
  zones::ReadScope scope(server.reader);
  const zones::Node* node = server.table.find(Name::parse(name)->wire());
  if (node == nullptr) return "";
  return node->zone().apex.text() + " " + std::to_string(node->zone().soa.load()->serial);
}

}  // namespace

TEST_CASE("a reload serves changed records with the next serial, and values as before", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  Server server(folder, clock, config);
  REQUIRE(server.add("a.auth.test", "v"));
  auto before = server.snapshot();
  config.zones[0].records[3].text = "other 60 TXT moved";
  REQUIRE(server.reload(config));
  auto after = server.snapshot();
  REQUIRE(after.zones.at(0).serial == before.zones.at(0).serial + 1);
  REQUIRE(after.commits == before.commits + 1);
  REQUIRE(after.zones.at(0).values == 1);
  REQUIRE(after.zones.at(0).names == 1);
  REQUIRE(after.values == 1);
  REQUIRE(server.served("fixed.auth.test") == -1);
  REQUIRE(server.served("other.auth.test") == 1);
  REQUIRE(server.served("a.auth.test") == 1);
  REQUIRE(home_of(server, "a.auth.test") == "auth.test " + std::to_string(after.zones[0].serial));
  REQUIRE(server.add("other.auth.test", "dynamic"));
  REQUIRE(server.served("other.auth.test") == 2);
  REQUIRE(server.remove_all("a.auth.test"));
  REQUIRE(server.snapshot().values == 1);
}

TEST_CASE("a reload without a change makes no serial and no commit", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  Server server(folder, clock);
  REQUIRE(server.add("a.auth.test", "v"));
  auto before = server.snapshot();
  REQUIRE(server.reload(server.config));
  auto after = server.snapshot();
  REQUIRE(after.zones.at(0).serial == before.zones.at(0).serial);
  REQUIRE(after.commits == before.commits);
  REQUIRE(server.served("a.auth.test") == 1);
}

TEST_CASE("a zone that a reload removes is served no longer, and its values come back with it", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config one = test_config();
  conf::Config both = one;
  both.zones.push_back(zone_of("two.test", {}));
  Server server(folder, clock, both);
  REQUIRE(server.add("kept.two.test", "v", 100s));
  REQUIRE(server.add("short.two.test", "v", 10s));
  REQUIRE(server.add("a.auth.test", "v"));
  std::uint32_t serial = zone_in(server, "two.test").serial;
  REQUIRE(server.reload(one));
  REQUIRE(server.served("kept.two.test") == -1);
  REQUIRE(server.served("two.test") == -1);
  REQUIRE(server.snapshot().zones.size() == 1);
  REQUIRE(server.snapshot().values == 1);
  REQUIRE(server.list().size() == 1);
  Values refused = server.add("x.two.test", "v");
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().code == ErrorCode::NotFound);
  clock.advance(10s);
  REQUIRE(server.reload(both));
  REQUIRE(server.served("kept.two.test") == 1);
  REQUIRE(server.served("short.two.test") == -1);
  REQUIRE(zone_in(server, "two.test").values == 1);
  REQUIRE(zone_in(server, "two.test").serial == serial + 1);  // "short" has gone meanwhile
  clock.advance(90s);
  server.snapshot();
  REQUIRE(server.served("kept.two.test") == -1);
  REQUIRE(zone_in(server, "two.test").names == 0);
}

TEST_CASE("a nested zone takes the values below its apex from the outer zone, and gives them back", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config outer = test_config();
  conf::Config nested = outer;
  nested.zones.push_back(zone_of("sub.auth.test", {"www A 192.0.2.9"}));
  Server server(folder, clock, outer);
  REQUIRE(server.add("_acme-challenge.www.sub.auth.test", "v"));
  REQUIRE(server.add("a.auth.test", "v"));
  std::uint32_t serial = zone_in(server, "auth.test").serial;
  auto outside_after = [&](std::uint32_t reloads) { return "auth.test " + std::to_string(serial + reloads); };
  std::string outside = outside_after(0);
  REQUIRE(home_of(server, "_acme-challenge.www.sub.auth.test") == outside);
  REQUIRE(home_of(server, "sub.auth.test") == outside);  // an empty non-terminal

  REQUIRE(server.reload(nested));
  std::string inside = "sub.auth.test " + std::to_string(zone_in(server, "sub.auth.test").serial);
  for (const char* name : {"_acme-challenge.www.sub.auth.test", "www.sub.auth.test", "sub.auth.test"})
    REQUIRE(home_of(server, name) == inside);
  REQUIRE(home_of(server, "a.auth.test") == outside_after(1));
  REQUIRE(zone_in(server, "sub.auth.test").values == 1);
  REQUIRE(zone_in(server, "auth.test").values == 1);
  REQUIRE(server.add("_acme-challenge.www.sub.auth.test", "second"));
  REQUIRE(zone_in(server, "sub.auth.test").values == 2);
  REQUIRE(zone_in(server, "sub.auth.test").names == 1);

  REQUIRE(server.reload(outer));
  REQUIRE(home_of(server, "_acme-challenge.www.sub.auth.test") == outside_after(2));
  REQUIRE(server.served("_acme-challenge.www.sub.auth.test") == 2);
  REQUIRE(server.served("www.sub.auth.test") == 0);
  REQUIRE(zone_in(server, "auth.test").values == 3);
  REQUIRE(zone_in(server, "auth.test").names == 2);
  REQUIRE(server.remove_all("_acme-challenge.www.sub.auth.test"));
  REQUIRE(server.served("sub.auth.test") == -1);
}

TEST_CASE("a reload brings limits, TTL and lifetime of values; what is stored already stays", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  Server server(folder, clock, config);
  for (const char* value : {"one", "two", "three"}) REQUIRE(server.add("a.auth.test", value));
  REQUIRE(ttl_of(server, "a.auth.test") == 1);
  config.challenge.max_values = 2;
  config.challenge.ttl = 7s;
  config.challenge.lifetime = 60s;
  config.dns.max_udp_payload = 512;
  REQUIRE(server.reload(config));
  REQUIRE(ttl_of(server, "a.auth.test") == 7);
  REQUIRE(server.served("a.auth.test") == 3);
  REQUIRE(server.add("a.auth.test", "four").error().code == ErrorCode::Full);
  REQUIRE(server.remove("a.auth.test", "one"));
  REQUIRE(server.remove("a.auth.test", "two"));
  REQUIRE(server.add("a.auth.test", "four"));
  auto values = server.add("b.auth.test", "v");
  REQUIRE(values->at(0).expires == clock.wall() + 60s);
  REQUIRE(server.add("b.auth.test", std::string(600, 'x')).error().code == ErrorCode::Full);
  REQUIRE(server.add("c.auth.test", std::string(600, 'x')).error().code == ErrorCode::Invalid);
}

TEST_CASE("a value below a delegation or a CNAME that a reload brings is kept and not served", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config before = test_config();
  conf::Config after = before;
  after.zones[0].records.push_back({"gone NS ns.elsewhere.test.", {}});
  after.zones[0].records.push_back({"same CNAME elsewhere.test.", {}});
  Server server(folder, clock, before);
  REQUIRE(server.add("a.gone.auth.test", "v"));
  REQUIRE(server.add("same.auth.test", "v"));
  REQUIRE(server.reload(after));
  REQUIRE(server.served("a.gone.auth.test") == -1);
  REQUIRE(server.served("same.auth.test") == 0);
  REQUIRE(server.snapshot().values == 0);
  REQUIRE(server.reload(before));
  REQUIRE(server.served("a.gone.auth.test") == 1);
  REQUIRE(server.served("same.auth.test") == 1);
  REQUIRE(server.snapshot().values == 2);
}

TEST_CASE("a query that began before a reload ends in the zones it began in", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config config = test_config();
  Server server(folder, clock, config);
  REQUIRE(server.add("a.auth.test", "v"));
  config.zones[0].name = *Name::parse("other.test");
  config.zones[0].records[3].text = "some.deeper.name.than.before TXT x";

  server.reader.online();
  zones::NameTable::View view = server.table.view();
  const zones::Node* node = view.find(Name::parse("a.auth.test")->wire());
  REQUIRE(node != nullptr);
  REQUIRE(server.reload(config));
  static std::atomic<int> freed{0};
  freed = 0;
  server.publisher->retire(&freed, [](void*) { ++freed; });
  server.snapshot();
  REQUIRE(view.find(Name::parse("fixed.auth.test")->wire()) != nullptr);
  REQUIRE(view.find(Name::parse("other.test")->wire()) == nullptr);
  REQUIRE(node->zone().apex == *Name::parse("auth.test"));
  REQUIRE(node->zone().soa.load()->serial != 0);
  REQUIRE(server.table.find(Name::parse("a.auth.test")->wire()) == nullptr);
  REQUIRE(server.table.find(Name::parse("some.deeper.name.than.before.other.test")->wire()) != nullptr);
  REQUIRE(freed == 0);
  server.reader.offline();
  // Freed without any further update.
  auto patience = std::chrono::steady_clock::now() + 20s;  // a bound, not a measure
  while (freed == 0 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  REQUIRE(freed == 1);
}

TEST_CASE("what is retired while the publisher stops is freed with the epochs", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  static std::atomic<int> freed{0};
  freed = 0;
  {
    Server server(folder, clock);
    for (int i = 0; i < 50; ++i) {
      server.publisher->retire(&freed, [](void*) { ++freed; });
      server.publisher->submit(
          {zones::TxtChange::Kind::Add, *Name::parse("a.auth.test"), *zones::TxtValue::parse("v"), "", 1h},
          [&server](const Values&) { server.publisher->retire(&freed, [](void*) { ++freed; }); });
    }
  }
  REQUIRE(freed == 100);
}

namespace {

// Looks names up that every generation has, as the answer path does: by a view, then the node's zone and its SOA.
void look_up_always(Server& server, zones::Epochs::Reader& reader, const std::atomic<bool>& stop,
                    std::atomic<std::uint64_t>& looks, std::atomic<std::uint64_t>& wrong) {
  std::vector<std::string> names;
  names.reserve(5);
  for (const char* name : {"auth.test", "ns1.auth.test", "standing.auth.test", "x.sub.auth.test", "n7.auth.test"})
    names.emplace_back(Name::parse(name)->wire());
  Name outer = *Name::parse("auth.test");
  Name inner = *Name::parse("sub.auth.test");
  std::string nested(inner.wire());
  std::string below(Name::parse("x.sub.auth.test")->wire());
  while (!stop.load(std::memory_order_relaxed)) {
    reader.online();
    for (const std::string& name : names) {
      const zones::Node* node = server.table.find(name);
      if (node == nullptr || node->name() != name || !(node->zone().apex == outer || node->zone().apex == inner) ||
          node->zone().soa.load(std::memory_order_acquire)->serial == 0)
        ++wrong;
    }
    // One generation: the name and the one above it are in the same zone.
    zones::NameTable::View view = server.table.view();
    const zones::Node* lower = view.find(below);
    const zones::Node* upper = view.find(nested);
    if (lower == nullptr || upper == nullptr || &lower->zone() != &upper->zone()) ++wrong;
    looks.fetch_add(1, std::memory_order_release);
  }
  reader.offline();
}

}  // namespace

TEST_CASE("readers that never stop find every name through 200 reloads beside updates", "[zones]") {
  tests::TemporaryFolder folder;
  tests::FakeClock clock;
  conf::Config outer = test_config();
  outer.zones[0].records.push_back({"standing TXT x", {}});
  conf::Config nested = outer;
  nested.zones.push_back(zone_of("sub.auth.test", {"www A 192.0.2.9"}));
  nested.zones[0].records.push_back({"extra TXT x", {}});
  Server server(folder, clock, outer, 2);
  REQUIRE(server.add("x.sub.auth.test", "v", 0s));
  REQUIRE(server.add("n7.auth.test", "v", 0s));
  std::atomic<bool> stop{false};
  std::array<std::atomic<std::uint64_t>, 2> looks{};
  std::atomic<std::uint64_t> wrong{0}, acknowledged{0}, refused{0};
  std::vector<std::thread> threads;
  threads.reserve(2);
  for (std::size_t i = 0; i < looks.size(); ++i)
    threads.emplace_back([&, i] { look_up_always(server, *server.more_readers[i], stop, looks[i], wrong); });
  std::uint64_t submitted = 0;
  for (int round = 0; round < 200; ++round) {
    std::array<std::uint64_t, 2> before{looks[0].load(), looks[1].load()};
    for (int i = 0; i < 5; ++i, ++submitted) {
      auto kind = round % 3 == 0 ? zones::TxtChange::Kind::Remove : zones::TxtChange::Kind::Add;
      std::string name = (i % 2 == 0 ? "m" : "m.sub") + std::string(".auth.test");
      server.publisher->submit({kind, *Name::parse(name), *zones::TxtValue::parse("v" + std::to_string(i % 3)), "", 0s},
                               [&](const Values& values) { ++(values ? acknowledged : refused); });
    }
    REQUIRE(server.reload(round % 2 == 0 ? nested : outer));
    // Each has looked in each round: no round goes by unseen.
    for (std::size_t i = 0; i < looks.size(); ++i)
      while (looks[i].load() == before[i]) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
  REQUIRE(refused == 0);
  REQUIRE(acknowledged == submitted);
  // The counters of the last generation are those of a fresh start.
  auto snapshot = server.snapshot();
  auto listed = server.list();
  REQUIRE(snapshot.values == listed.size());
  std::set<std::string> names;
  for (const zones::PublishedValue& value : listed) names.insert(value.name.text());
  REQUIRE(snapshot.zones.size() == 1);
  REQUIRE(snapshot.zones[0].names == names.size());
  for (const std::string& name : names) REQUIRE(server.served(name) >= 1);
}
