#include "zones/zone_records.hpp"

#include <algorithm>
#include <array>
#include <random>

#include "tests/support/catch.hpp"
#include "zones/record_type.hpp"

using namespace countersign;
using base::Name;
using zones::NodeFlag;

namespace {

std::vector<zones::StaticZone> build(const std::vector<std::string>& records) {
  conf::Config config;
  conf::Zone zone;
  zone.name = *Name::parse("z.test");
  zone.nameservers = {*Name::parse("ns1.z.test")};
  zone.hostmaster = *Name::parse("hostmaster.z.test");
  for (const std::string& record : records) zone.records.push_back({record, {}});
  config.zones = {zone};
  std::vector<conf::Problem> problems;
  auto built = zones::build_static_zones(config, problems);
  REQUIRE(problems.empty());
  return built;
}

struct Records {
  zones::Epochs epochs;
  zones::NameTable table{epochs};
  zones::ZoneRecords records;

  explicit Records(const std::vector<std::string>& lines) : records(build(lines), {.ttl = 5}, table) {
    records.publish_static();
  }
  [[nodiscard]] const zones::Node* find(const std::string& name) const { return table.find(Name::parse(name)->wire()); }
  // All octets that answer and accompany, RRset by RRset.
  [[nodiscard]] std::vector<std::string> content(const std::string& name) const {
    const zones::Node* node = find(name);
    if (node == nullptr) return {"absent"};
    std::vector<std::string> all;
    for (const zones::RrsetAnswer& rrset : node->rrsets()) {
      all.push_back(std::to_string(rrset.type) + " " + std::to_string(rrset.count) + " " +
                    std::to_string(rrset.additional_count));
      all.emplace_back(base::as_text(node->answer(rrset)));
      all.emplace_back(base::as_text(node->additional(rrset)));
    }
    return all;
  }
  // "ttl:text" of each TXT record.
  [[nodiscard]] std::vector<std::string> texts(const std::string& name) const {
    const zones::Node* node = find(name);
    const zones::RrsetAnswer* txt = node == nullptr ? nullptr : node->find(zones::record_type::kTxt);
    std::vector<std::string> all;
    if (txt == nullptr) return all;
    base::Bytes answer = node->answer(*txt);
    while (!answer.empty()) {
      std::size_t length = base::load_u16(answer.data() + 10);
      all.push_back(std::to_string(base::load_u32(answer.data() + 6)) + ":" +
                    std::string(base::as_text(answer.subspan(13, length - 1))));
      answer = answer.subspan(12 + length);
    }
    REQUIRE(all.size() == txt->count);
    return all;
  }
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("values beside static TXT records take the lower TTL, and leave the records as they were", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "mixed 60 MX 10 ns1", "mixed 60 TXT standing", "mixed 60 A 192.0.2.7"});
  auto before = t.content("mixed.z.test");
  REQUIRE(before.size() == 9);
  REQUIRE(before[0] == "15 1 1");  // the mail host's address goes with it
  Name name = *Name::parse("mixed.z.test");
  t.records.publish(name, {"one", "two"});
  REQUIRE(t.texts("mixed.z.test") == Texts{"5:standing", "5:one", "5:two"});
  auto joined = t.content("mixed.z.test");
  REQUIRE(std::equal(before.begin(), before.begin() + 3, joined.begin()));
  REQUIRE(std::equal(before.begin() + 6, before.end(), joined.begin() + 6));
  REQUIRE(t.records.count(0).values == 2);
  t.records.publish(name, {"two"});
  REQUIRE(t.texts("mixed.z.test") == Texts{"5:standing", "5:two"});
  REQUIRE(t.records.count(0).values == 1);
  REQUIRE(t.records.count(0).names == 1);
  t.records.publish(name, {});
  REQUIRE(t.content("mixed.z.test") == before);
  REQUIRE(t.records.count(0).values == 0);
  REQUIRE(t.records.count(0).names == 0);
}

TEST_CASE("a static TTL below that of values is theirs too", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "fixed 2 TXT standing"});
  t.records.publish(*Name::parse("fixed.z.test"), {"v"});
  REQUIRE(t.texts("fixed.z.test") == Texts{"2:standing", "2:v"});
}

TEST_CASE("a value that stands as a static record too is served once and counted as that", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "fixed 60 TXT standing", "fixed 60 TXT other"});
  Name name = *Name::parse("fixed.z.test");
  t.records.publish(name, {"other", "more"});
  REQUIRE(t.texts("fixed.z.test") == Texts{"5:standing", "5:other", "5:more"});
  REQUIRE(t.records.count(0).values == 1);
  t.records.publish(name, {"other"});
  REQUIRE(t.texts("fixed.z.test") == Texts{"5:standing", "5:other"});
  REQUIRE(t.records.count(0).values == 0);
  t.records.publish(name, {});
  REQUIRE(t.texts("fixed.z.test") == Texts{"60:standing", "60:other"});
}

TEST_CASE("values beside other static records come first, and texts that are none are passed over", "[zones]") {
  Records t({"ns1 A 192.0.2.1"});
  auto before = t.content("ns1.z.test");
  t.records.publish(*Name::parse("ns1.z.test"),
                    {"v", "", "line\nbreak", std::string(1025, 'x'), std::string(300, 'y')});
  const zones::Node* node = t.find("ns1.z.test");
  REQUIRE(node->rrsets().front().type == zones::record_type::kTxt);
  REQUIRE(node->rrsets().front().count == 2);
  REQUIRE(node->rrsets().front().length == 12 + 2 + 12 + 302);  // the long one in two strings
  REQUIRE(t.records.count(0).values == 2);
  t.records.publish(*Name::parse("ns1.z.test"), {});
  REQUIRE(t.content("ns1.z.test") == before);
}

TEST_CASE("flags of static names stay when values come and go", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "@ TXT apex", "*.wild TXT any", "wild A 192.0.2.2", "alias CNAME ns1",
             "cut NS ns.elsewhere.test."});
  for (const char* name : {"z.test", "wild.z.test", "*.wild.z.test"}) {
    t.records.publish(*Name::parse(name), {"v"});
    t.records.publish(*Name::parse(name), {});
  }
  REQUIRE(t.find("z.test")->has(NodeFlag::Apex));
  REQUIRE(t.find("wild.z.test")->has(NodeFlag::Wildcard));
  REQUIRE(t.find("alias.z.test")->has(NodeFlag::HasCname));
  REQUIRE(t.find("cut.z.test")->has(NodeFlag::Cut));
  REQUIRE_FALSE(t.records.place(*Name::parse("alias.z.test")));
  REQUIRE_FALSE(t.records.has_place(Name::parse("below.cut.z.test")->wire()));
  REQUIRE_FALSE(t.records.has_place(Name::parse("cut.z.test")->wire()));
  REQUIRE_FALSE(t.records.has_place(Name::parse("elsewhere.test")->wire()));
  REQUIRE(t.records.has_place(Name::parse("a.z.test")->wire()));
}

TEST_CASE("limits count static TXT records as they are configured", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "fixed 60 TXT " + std::string(200, 's')});
  Name name = *Name::parse("fixed.z.test");
  std::vector<std::string> values;
  for (char c = 'a'; c < 'e'; ++c) values.emplace_back(200, c);
  REQUIRE(t.records.check_limits(name, values));
  t.records.publish(name, values);
  REQUIRE(t.records.check_limits(name, values));
  values.emplace_back(120, 'f');
  REQUIRE_FALSE(t.records.check_limits(name, values));
}

TEST_CASE("counters and nodes agree with a model through random values", "[zones]") {
  std::array<std::string, 4> names{"plain.z.test", "fixed.z.test", "both.z.test", "a.b.z.test"};
  Records t({"ns1 A 192.0.2.1", "fixed 60 TXT s1", "fixed TXT s2", "both A 192.0.2.2", "both TXT s3"});
  std::array<Texts, 4> fixed{Texts{}, Texts{"s1", "s2"}, Texts{"s3"}, Texts{}};
  std::array<Texts, 4> served;
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::size_t which = random() % names.size();
    Texts values;
    for (const char* value : {"s1", "s2", "s3", "v1", "v2"})
      if (random() % 3 == 0) values.emplace_back(value);
    t.records.publish(*Name::parse(names[which]), values);
    t.records.reclaim();
    Texts expected;
    for (const std::string& text : fixed[which]) expected.push_back((values.empty() ? "60:" : "5:") + text);
    served[which].clear();
    for (const std::string& text : values)
      if (std::find(fixed[which].begin(), fixed[which].end(), text) == fixed[which].end())
        served[which].push_back(text);
    for (const std::string& text : served[which]) expected.push_back("5:" + text);
    if (which == 2 && values.empty()) expected = {"3600:s3"};
    REQUIRE(t.texts(names[which]) == expected);
    std::size_t total = 0;
    std::size_t owners = 0;
    for (const Texts& texts : served) {
      total += texts.size();
      owners += texts.empty() ? 0U : 1U;
    }
    REQUIRE(t.records.count(0).values == total);
    REQUIRE(t.records.count(0).names == owners);
  }
}

TEST_CASE("a host that two records name is added once", "[zones]") {
  Records t({"ns1 A 192.0.2.1", "m MX 10 ns1", "m MX 20 ns1", "m MX 30 elsewhere.test.", "s SRV 1 1 80 ns1",
             "s SRV 1 1 81 NS1"});
  REQUIRE(t.content("m.z.test").at(0) == "15 3 1");
  REQUIRE(t.content("s.z.test").at(0) == "33 2 1");
}

TEST_CASE("addresses of a host are added whole or not at all", "[zones]") {
  std::vector<std::string> lines{"ns1 A 192.0.2.1"};
  for (const char* host : {"h1", "h2", "h3"}) {
    lines.push_back("m MX 1 " + std::string(host));
    for (int i = 0; i < 400; ++i)
      lines.push_back(std::string(host) + " A 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
  }
  // Two hosts of 400 addresses fit the room, the third would be split.
  Records t(lines);
  REQUIRE(t.content("m.z.test").at(0) == "15 3 800");
}

TEST_CASE("limits blame the static records when these leave no room, and take what they say already", "[zones]") {
  std::vector<std::string> lines{"ns1 A 192.0.2.1"};
  for (char c = 'a'; c < 'f'; ++c) lines.push_back("fixed TXT " + std::string(200, c));
  Records t(lines);
  Name name = *Name::parse("fixed.z.test");
  auto refused = t.records.check_limits(name, {std::string(200, 'v')});
  REQUIRE(refused.error().code == base::ErrorCode::Full);
  REQUIRE(refused.error().message.find("static TXT records") != std::string::npos);
  REQUIRE(t.records.check_limits(name, {std::string(200, 'a')}));
  REQUIRE(t.records.check_limits(name, {std::string(200, 'a'), std::string(200, 'b')}));
  // Too long even without them.
  Records small({"ns1 A 192.0.2.1", "fixed TXT x"});
  refused = small.records.check_limits(
      *Name::parse(std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + ".z.test"),
      {std::string(1024, 'v')});
  REQUIRE(refused.error().message.find("too long") != std::string::npos);
}
