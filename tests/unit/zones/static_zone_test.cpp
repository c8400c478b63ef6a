#include "zones/static_zone.hpp"

#include <fstream>
#include <set>

#include "base/wire.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "zones/master_file.hpp"
#include "zones/record_type.hpp"

using namespace countersign;
using base::Name;

namespace {

conf::Zone zone_of(const std::string& apex, std::vector<std::string> records) {
  conf::Zone zone;
  zone.name = *Name::parse(apex);
  zone.nameservers = {*Name::parse("ns1." + apex)};
  zone.hostmaster = *Name::parse("hostmaster.example.net");
  zone.at = {10, 1};
  std::uint32_t line = 20;
  for (std::string& record : records) zone.records.push_back({std::move(record), {line++, 5}});
  return zone;
}

struct Built {
  std::vector<zones::StaticZone> zones;
  std::vector<conf::Problem> problems;
};

Built build(std::vector<conf::Zone> zones) {
  conf::Config config;
  config.zones = std::move(zones);
  Built built;
  built.zones = zones::build_static_zones(config, built.problems);
  return built;
}

}  // namespace

TEST_CASE("records are read relative to their zone", "[zones]") {
  Built built = build(
      {zone_of("auth.example.net", {"ns1 A 203.0.113.5", "ns1 AAAA 2001:db8::5", "@ CAA 0 issue \"letsencrypt.org\"",
                                    "other.auth.example.net. 60 IN TXT \"a b\" c", "x TYPE65280 \\# 3 010203"})});
  REQUIRE(built.problems.empty());
  const auto& records = built.zones.at(0).records;
  REQUIRE(records.size() == 4);
  auto ns1 = records.find(Name::parse("ns1.auth.example.net")->wire());
  REQUIRE(ns1.size() == 2);
  REQUIRE(ns1[0].rdatas == std::vector<std::string>{std::string("\xcb\x00\x71\x05", 4)});
  REQUIRE(ns1[0].ttl == 3600);
  auto other = records.find(Name::parse("other.auth.example.net")->wire());
  REQUIRE(other[0].ttl == 60);
  REQUIRE(other[0].rdatas == std::vector<std::string>{"\3a b\1c"});
  REQUIRE(records.find(Name::parse("x.auth.example.net")->wire()).at(0).type == 65280);
  REQUIRE(records.find(Name::parse("auth.example.net")->wire()).size() == 2);  // NS, CAA
}

TEST_CASE("each bad record is a problem at its own place", "[zones]") {
  Built built = build({zone_of("z.test", {"ns1 A 203.0.113.5", "ns1 A 203.0.113.999", "www.other.test. A 192.0.2.1", "",
                                          "a CNAME b", "a TXT x", "d DNAME e", "h CH TXT x", "@ SOA a b 1 2 3 4 5",
                                          "two A 192.0.2.1\nthree A 192.0.2.2", "q NONSENSE x"})});
  std::set<std::uint32_t> lines;
  for (const conf::Problem& problem : built.problems) {
    INFO(problem.key << ": " << problem.text);
    REQUIRE(problem.key.starts_with("zone[1]."));
    REQUIRE_FALSE(problem.text.empty());
    lines.insert(problem.at.line);
  }
  REQUIRE(lines == std::set<std::uint32_t>{10, 21, 22, 23, 26, 27, 28, 29, 30});
}

TEST_CASE("a name server inside the zone needs an address there", "[zones]") {
  Built built = build({zone_of("z.test", {})});
  REQUIRE(built.problems.size() == 1);
  REQUIRE(built.problems[0].key == "zone[1].nameservers");
  REQUIRE(built.problems[0].text.find("ns1.z.test. A") != std::string::npos);
}

TEST_CASE("an RRset has one TTL, the lowest, and no duplicates", "[zones]") {
  Built built = build({zone_of("z.test", {"ns1 300 A 192.0.2.1", "ns1 60 A 192.0.2.2", "ns1 900 A 192.0.2.1"})});
  auto ns1 = built.zones[0].records.find(Name::parse("ns1.z.test")->wire());
  REQUIRE(ns1[0].ttl == 60);
  REQUIRE(ns1[0].rdatas.size() == 2);
}

TEST_CASE("a nested zone's names are its own", "[zones]") {
  Built built = build({zone_of("z.test", {"ns1 A 192.0.2.1", "sub NS ns1.sub", "ns1.sub A 192.0.2.9"}),
                       zone_of("sub.z.test", {"ns1 A 192.0.2.2"})});
  REQUIRE(built.problems.empty());
  REQUIRE(built.zones[0].records.find(Name::parse("ns1.sub.z.test")->wire()).empty());
  REQUIRE(built.zones[1].records.find(Name::parse("ns1.sub.z.test")->wire()).size() == 1);
}

TEST_CASE("the digest changes with the records and only with them", "[zones]") {
  auto digest = [](std::vector<std::string> records) {
    return build({zone_of("z.test", std::move(records))}).zones[0].digest();
  };
  REQUIRE(digest({"ns1 A 192.0.2.1"}) == digest({"NS1 A 192.0.2.1"}));
  REQUIRE(digest({"ns1 A 192.0.2.1"}) != digest({"ns1 A 192.0.2.2"}));
  REQUIRE(digest({"ns1 A 192.0.2.1"}) != digest({"ns1 60 A 192.0.2.1"}));
}

TEST_CASE("a master file is read with its directives, and bad lines are named", "[zones]") {
  tests::TemporaryFolder folder;
  auto path = folder.path / "zone";
  std::ofstream(path) << "$TTL 120\n@ IN SOA ns1 h 1 2 3 4 5\n\nns1 A 192.0.2.1\nlong TXT ( \"a\"\n  \"b\" )\n"
                         "bad A nowhere\nwww 30 A 192.0.2.3\nout.side. A 192.0.2.4\n";
  conf::Zone zone = zone_of("z.test", {});
  zone.file = path.string();
  Built built = build({zone});
  REQUIRE(built.problems.size() == 2);
  REQUIRE(built.problems[0].text.find("line 7") != std::string::npos);
  REQUIRE(built.problems[1].text.find("line 9") != std::string::npos);
  const auto& records = built.zones[0].records;
  REQUIRE(records.find(Name::parse("ns1.z.test")->wire()).at(0).ttl == 120);
  REQUIRE(records.find(Name::parse("www.z.test")->wire()).at(0).ttl == 30);
  REQUIRE(records.find(Name::parse("long.z.test")->wire()).at(0).rdatas.at(0) == "\1a\1b");

  zone.file = (folder.path / "none").string();
  REQUIRE(build({zone}).problems[0].text.find("no such file") != std::string::npos);
  zone.file = "/dev/zero";
  REQUIRE(build({zone}).problems[0].text.find("name a master file") != std::string::npos);
  zone.file = folder.path.string();
  REQUIRE_FALSE(build({zone}).problems.empty());
}

TEST_CASE("a name in a record that the zone's own name makes too long is refused", "[zones]") {
  std::string label(63, 'x');
  std::string long_name = label + "." + label + "." + label + ".";
  std::string too_long = long_name + std::string(50, 'y');  // 244 octets, and 18 of the zone
  std::string fits = long_name + std::string(44, 'y');      // 255 in all
  for (std::string record : {"c CNAME ", "c NS ", "c MX 1 ", "c SRV 1 2 3 ", "c PTR ", "c HTTPS 1 "}) {
    INFO(record);
    Built built = build({zone_of("auth.example.net", {"ns1 A 192.0.2.1", record + too_long})});
    REQUIRE(built.problems.size() == 1);
    REQUIRE(built.problems[0].text.find("longer than 255 octets") != std::string::npos);
    REQUIRE(built.zones[0].records.find(Name::parse("c.auth.example.net")->wire()).empty());
    for (const conf::Problem& problem :
         build({zone_of("auth.example.net", {"ns1 A 192.0.2.1", record + fits})}).problems)
      REQUIRE(problem.text.find("has no address") != std::string::npos);  // of the name server
  }
  tests::TemporaryFolder folder;
  conf::Zone zone = zone_of("auth.example.net", {"ns1 A 192.0.2.1"});
  zone.file = (folder.path / "zone").string();
  std::ofstream(zone.file) << "fine A 192.0.2.1\nc CNAME " << too_long << "\n";
  Built built = build({zone});
  REQUIRE(built.problems.size() == 1);
  REQUIRE(built.problems[0].text.find("line 2") != std::string::npos);
}

TEST_CASE("a record of a known type without its fields is refused, one of an unknown type may be empty", "[zones]") {
  for (std::string record :
       {"c CNAME \\# 0", "c NS \\# 0", "c MX \\# 0", "c MX \\# 2 0001", "c TXT \\# 0", "c A \\# 0"}) {
    INFO(record);
    REQUIRE(build({zone_of("z.test", {"ns1 A 192.0.2.1", record})}).problems.size() == 1);
  }
  Built built = build({zone_of("z.test", {"ns1 A 192.0.2.1", "x TYPE65280 \\# 0", "x NULL \\# 0", "x APL"})});
  for (const conf::Problem& problem : built.problems) FAIL(problem.text);
  REQUIRE(built.zones[0].records.find(Name::parse("x.z.test")->wire()).size() == 3);
}

TEST_CASE("of the problems of one master file twenty are said, and how many more there are", "[zones]") {
  tests::TemporaryFolder folder;
  conf::Zone zone = zone_of("z.test", {"ns1 A 192.0.2.1"});
  zone.file = (folder.path / "zone").string();
  {
    std::ofstream file(zone.file);
    for (int i = 0; i < 5000; ++i) file << "n" << i << ".outside. A 192.0.2.1\n";
    for (int i = 0; i < 100; ++i) file << "c" << i << " CNAME a\nc" << i << " TXT x\n";
  }
  Built built = build({zone});
  REQUIRE(built.problems.size() == 21);
  REQUIRE(built.problems[19].text.find("line 20:") != std::string::npos);
  REQUIRE(built.problems[20].text == "\"" + zone.file + "\": and 5080 more");
}

TEST_CASE("the digest changes with the value TTL and with the zones directly below", "[zones]") {
  auto digest = [](const std::vector<std::string>& apexes, std::chrono::seconds ttl = std::chrono::seconds(1)) {
    conf::Config config;
    for (const std::string& apex : apexes) config.zones.push_back(zone_of(apex, {"ns1 A 192.0.2.1"}));
    config.challenge.ttl = ttl;
    std::vector<conf::Problem> problems;
    auto built = zones::build_static_zones(config, problems);
    REQUIRE(problems.empty());
    return built[0].digest();
  };
  std::string alone = digest({"z.test"});
  std::string above = digest({"z.test", "a.z.test", "b.z.test"});
  REQUIRE(digest({"z.test"}, std::chrono::seconds(2)) != alone);
  REQUIRE(above != alone);
  REQUIRE(digest({"z.test", "b.z.test", "a.z.test"}) == above);                // in whatever order
  REQUIRE(digest({"z.test", "a.z.test", "b.z.test", "c.b.z.test"}) == above);  // b's, not z's
  REQUIRE(digest({"z.test", "other.test", "xz.test"}) == alone);
}

TEST_CASE("records below one of thousands of nested zones are that zone's", "[zones]") {
  std::vector<conf::Zone> zones{zone_of("z.test", {"ns1 A 192.0.2.1", "deep.er.n7 A 192.0.2.1", "n7x A 192.0.2.1"})};
  for (int i = 0; i < 3000; ++i) zones.push_back(zone_of("n" + std::to_string(i) + ".z.test", {"ns1 A 192.0.2.1"}));
  Built built = build(std::move(zones));
  REQUIRE(built.problems.empty());
  REQUIRE(built.zones[0].nested.size() == 3000);
  REQUIRE(built.zones[0].records.find(Name::parse("deep.er.n7.z.test")->wire()).empty());
  REQUIRE(built.zones[0].records.find(Name::parse("n7x.z.test")->wire()).size() == 1);
}

TEST_CASE("data that a record of its type cannot hold is refused, of unknown types taken as it is", "[zones]") {
  Name origin = *Name::parse("auth.test");
  // It was answered, and ldns could not read the answer.
  for (const char* wrong :
       {"a TYPE65 400 \\# 4 0a000001", "a TYPE65 4 0 \\# 4 0a000001", "a HTTPS \\# 3 000103", "a MX \\# 2 000a"}) {
    INFO(wrong);
    REQUIRE_FALSE(zones::parse_record(wrong, origin, 60));
  }
  for (const char* right : {"a TYPE65400 \\# 4 0a000001", "a TYPE65400 \\# 0", "a HTTPS 1 . alpn=h2",
                            "a CAA 0 issue \"ca.test\"", "a SRV 1 2 3 b", "a TYPE1 \\# 4 0a000001"}) {
    INFO(right);
    REQUIRE(zones::parse_record(right, origin, 60));
  }
}
