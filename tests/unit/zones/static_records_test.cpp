#include "zones/static_records.hpp"

#include <map>
#include <random>

#include "tests/support/catch.hpp"

using namespace countersign::zones;
using countersign::base::Name;

namespace {

std::string wire(const std::string& name) {
  return std::string(Name::parse(name)->wire());
}

StaticRecords finish(StaticRecordsBuilder& builder) {
  return builder.finish(32'768, [](const RecordView&, std::uint32_t) { FAIL("nothing is too long"); });
}

// "owner type ttl rdata" of all records, in their order.
std::vector<std::string> lines(const StaticRecords& records) {
  std::vector<std::string> all;
  records.each([&](std::span<const RecordView> of_owner) {
    for (const RecordView& record : of_owner) {
      REQUIRE(record.owner == of_owner.front().owner);
      all.push_back(Name::from_wire(countersign::base::as_bytes(record.owner))->text() + " " +
                    std::to_string(record.type) + " " + std::to_string(record.ttl) + " " + std::string(record.rdata));
    }
  });
  return all;
}

}  // namespace

TEST_CASE("records come back by owner, RRsets together and in the order of their first records", "[zones]") {
  StaticRecordsBuilder builder;
  std::string www = wire("www.test");
  std::string apex = wire("test");
  builder.add({www, 16, 300, "one"}, 0);
  builder.add({apex, 2, 60, "ns"}, 1);
  builder.add({www, 1, 50, "addr"}, 2);
  builder.add({www, 16, 20, "two"}, 3);
  builder.add({www, 16, 400, "one"}, 4);  // a duplicate, but for its TTL
  StaticRecords records = finish(builder);
  REQUIRE(records.size() == 2);
  REQUIRE(lines(records) ==
          std::vector<std::string>{"www.test 16 20 one", "www.test 16 20 two", "www.test 1 50 addr", "test 2 60 ns"});
  auto found = records.find(www);
  REQUIRE(found.size() == 2);
  REQUIRE(found[0].rdatas == std::vector<std::string>{"one", "two"});
  REQUIRE(records.find(wire("none.test")).empty());
  REQUIRE(StaticRecords().find(www).empty());
  REQUIRE(StaticRecords().size() == 0);
  // A copy outlives what it was copied from, and the builder begins anew.
  StaticRecords copy = records;
  records = finish(builder);
  REQUIRE(records.size() == 0);
  REQUIRE(lines(copy).size() == 4);
}

TEST_CASE("an RRset that grows too long is complained of once, at the record that was too much", "[zones]") {
  StaticRecordsBuilder builder;
  std::string owner = wire("a.test");
  for (std::uint32_t i = 0; i < 10; ++i) builder.add({owner, 16, 1, std::string(88, static_cast<char>('a' + i))}, i);
  builder.add({owner, 1, 1, "addr"}, 10);
  std::vector<std::uint32_t> sources;
  StaticRecords records =
      builder.finish(500, [&](const RecordView&, std::uint32_t source) { sources.push_back(source); });
  REQUIRE(sources == std::vector<std::uint32_t>{5});
  auto found = records.find(owner);
  REQUIRE(found.at(0).rdatas.size() == 5);
  REQUIRE(found.at(1).rdatas.size() == 1);
}

TEST_CASE("many records in random order agree with a map", "[zones]") {
  std::map<std::string, std::vector<std::string>> model;
  StaticRecordsBuilder builder;
  std::mt19937 random(20261122);
  for (int i = 0; i < 20'000; ++i) {
    // Names that share their first octets, and names of all lengths.
    std::string owner =
        wire("common-prefix-" + std::to_string(random() % 5000) + std::string(random() % 30, 'x') + ".test");
    std::string rdata = std::to_string(i) + std::string(random() % 200, 'r');
    model[owner].push_back(rdata);
    builder.add({owner, 16, 7, rdata}, 0);
  }
  std::string large(32'000, 'l');
  model[wire("large.test")].push_back(large);
  builder.add({wire("large.test"), 16, 7, large}, 0);
  StaticRecords records = finish(builder);
  REQUIRE(records.size() == model.size());
  auto expected = model.begin();
  records.each([&](std::span<const RecordView> of_owner) {
    REQUIRE(expected != model.end());
    REQUIRE(of_owner.front().owner == expected->first);
    REQUIRE(of_owner.size() == expected->second.size());
    for (std::size_t i = 0; i < of_owner.size(); ++i) REQUIRE(of_owner[i].rdata == expected->second[i]);
    ++expected;
  });
  for (const auto& [owner, rdatas] : model) REQUIRE(records.find(owner).at(0).rdatas == rdatas);
}
