#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "base/name.hpp"
#include "tests/support/catch.hpp"
#include "zones/name_hash.hpp"
#include "zones/name_table_writer.hpp"
#include "zones/record_type.hpp"

using namespace countersign::zones;
using countersign::base::Name;

namespace {

struct Table {
  Epochs epochs;
  NameTable table{epochs};
  ZoneAnswers zone;
  NameTableWriter live{table, zone_of()};
  NameTableWriter draft{table, zone_of(), 0};
  NameTableWriter& writer;

  enum class Kind { Live, Draft };
  explicit Table(Kind kind = Kind::Live) : writer(kind == Kind::Live ? live : draft) {
    zone.apex = *Name::parse("zone.test");
    writer.put(zone.apex.wire(), {}, static_cast<std::uint8_t>(NodeFlag::Apex));
  }
  NameTableWriter::ZoneOf zone_of() {
    return [this](std::string_view name) -> const ZoneAnswers* {
      return Name::from_wire(countersign::base::as_bytes(name))->is_within(zone.apex) ? &zone : nullptr;
    };
  }
  void put(const std::string& name, const std::string& value) {
    std::string answer;
    append_record(answer, kQuestionPointer, record_type::kTxt, 1, value);
    std::vector<RrsetSource> rrsets;
    if (!value.empty()) rrsets.push_back({record_type::kTxt, 1, 0, answer, {}});
    writer.put(Name::parse(name)->wire(), rrsets, 0);
  }
  // As readers do, on any thread, unless nobody sees it yet.
  [[nodiscard]] const Node* find(const std::string& name) const {
    Name parsed = *Name::parse(name);
    return &writer == &live ? table.find(parsed.wire()) : writer.look_up(parsed.wire());
  }
  // RDATA of the first TXT record; "-" when the name exists without one; "" when it does not exist.
  [[nodiscard]] std::string value(const std::string& name) const {
    const Node* node = find(name);
    if (node == nullptr) return "";
    const RrsetAnswer* txt = node->find(record_type::kTxt);
    if (txt == nullptr) return "-";
    return std::string(countersign::base::as_text(node->answer(*txt)).substr(12));
  }
};

}  // namespace

TEST_CASE("lower_word lowers A to Z and nothing else", "[zones]") {
  for (unsigned octet = 0; octet < 256; ++octet) {
    for (unsigned position = 0; position < 8; ++position) {
      std::uint64_t other = 0x5a40415b7a00ff80U & ~(std::uint64_t{0xff} << (8 * position));
      std::uint64_t word = other | (std::uint64_t{octet} << (8 * position));
      auto expected = octet >= 'A' && octet <= 'Z' ? octet + 32 : octet;
      REQUIRE(((lower_word(word) >> (8 * position)) & 0xffU) == expected);
    }
  }
}

TEST_CASE("the tail of a name hashes alike wherever it is read from", "[zones]") {
  std::string padded = "12345678abcdefg";
  for (std::size_t count = 1; count < 8; ++count) {
    std::uint64_t expected = 0;
    std::memcpy(&expected, padded.data() + padded.size() - count, count);
    REQUIRE(load_tail(padded.data() + padded.size(), count) == expected);
  }
}

TEST_CASE("a value makes the empty non-terminals above it, and takes them along when it goes", "[zones]") {
  Table t;
  t.put("a.b.c.zone.test", "one");
  REQUIRE(t.value("a.b.c.zone.test") == "one");
  REQUIRE(t.value("b.c.zone.test") == "-");
  REQUIRE(t.value("c.zone.test") == "-");
  REQUIRE(t.find("x.b.c.zone.test") == nullptr);
  t.put("d.c.zone.test", "two");
  t.put("a.b.c.zone.test", "");
  REQUIRE(t.find("a.b.c.zone.test") == nullptr);
  REQUIRE(t.find("b.c.zone.test") == nullptr);
  REQUIRE(t.value("c.zone.test") == "-");
  t.put("d.c.zone.test", "");
  REQUIRE(t.find("c.zone.test") == nullptr);
  REQUIRE(t.find("zone.test") != nullptr);
  REQUIRE(t.writer.size() == 1);
}

TEST_CASE("a name with names below it stays as an empty non-terminal", "[zones]") {
  Table t;
  t.put("b.zone.test", "upper");
  t.put("a.b.zone.test", "lower");
  t.put("b.zone.test", "");
  REQUIRE(t.value("b.zone.test") == "-");
  REQUIRE(t.value("a.b.zone.test") == "lower");
  t.put("b.zone.test", "again");
  t.put("a.b.zone.test", "");
  REQUIRE(t.value("b.zone.test") == "again");
}

TEST_CASE("the wildcard flag follows its child", "[zones]") {
  Table t;
  t.put("*.w.zone.test", "any");
  REQUIRE(t.find("w.zone.test")->has(NodeFlag::Wildcard));
  t.put("w.zone.test", "own");
  REQUIRE(t.find("w.zone.test")->has(NodeFlag::Wildcard));
  t.put("*.w.zone.test", "");
  REQUIRE_FALSE(t.find("w.zone.test")->has(NodeFlag::Wildcard));
  t.put("*.zone.test", "top");
  REQUIRE(t.find("zone.test")->has(NodeFlag::Wildcard));
  REQUIRE(t.find("zone.test")->has(NodeFlag::Apex));
}

TEST_CASE("the table agrees with a map through thousands of random changes", "[zones]") {
  auto kind = GENERATE(Table::Kind::Live, Table::Kind::Draft);
  Table t(kind);
  std::map<std::string, std::string> model;
  std::mt19937 random(20261122);
  for (int round = 0; round < 30'000; ++round) {
    std::string name = "n" + std::to_string(random() % 400) + ".g" + std::to_string(random() % 20) + ".zone.test";
    if (random() % 3 == 0) {
      t.put(name, "");
      model.erase(name);
    } else {
      std::string value = "v" + std::to_string(random() % 1000);
      t.put(name, value);
      model[name] = value;
    }
    if (round % 64 == 0) t.epochs.reclaim();
    REQUIRE(t.value(name) == (model.contains(name) ? model[name] : ""));
  }
  std::set<std::string> groups;
  for (const auto& [name, value] : model) {
    REQUIRE(t.value(name) == value);
    groups.insert(name.substr(name.find('.') + 1));
  }
  REQUIRE(t.writer.size() == 1 + model.size() + groups.size());
}

TEST_CASE("a draft is seen by nobody until it is shown, then in place of all before", "[zones]") {
  Table t(Table::Kind::Draft);
  t.live.put(Name::parse("old.zone.test")->wire(), {}, static_cast<std::uint8_t>(NodeFlag::Pinned));
  for (int i = 0; i < 2000; ++i) t.put("n" + std::to_string(i) + ".zone.test", "v");
  std::string old_name(Name::parse("old.zone.test")->wire());
  std::string new_name(Name::parse("n1999.zone.test")->wire());
  REQUIRE(t.table.find(old_name) != nullptr);
  REQUIRE(t.table.find(new_name) == nullptr);
  NameTable::View view = t.table.view();
  auto before = t.draft.show();
  REQUIRE(t.table.find(old_name) == nullptr);
  REQUIRE(t.table.find(new_name) != nullptr);
  REQUIRE(view.find(old_name) != nullptr);
  REQUIRE(view.find(new_name) == nullptr);
  before->free_nodes();
  // From here on it is the table.
  for (int i = 0; i < 5000; ++i) t.put("m" + std::to_string(i) + ".zone.test", "v");
  REQUIRE(t.table.find(Name::parse("m4999.zone.test")->wire()) != nullptr);
  REQUIRE(t.writer.size() == 7001);
}

TEST_CASE("readers that never stop see whole values while the table changes and grows", "[zones]") {
  Table t;
  t.put("fixed.zone.test", "fixed-value");
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::array<std::atomic<std::uint64_t>, 2> looks{};
  std::vector<std::thread> readers;
  std::string fixed(Name::parse("fixed.zone.test")->wire());
  std::string moving(Name::parse("moving.zone.test")->wire());
  for (std::atomic<std::uint64_t>& mine : looks) {
    Epochs::Reader& reader = t.epochs.add_reader();
    readers.emplace_back([&, &slot = reader] {
      while (!stop.load(std::memory_order_relaxed)) {
        slot.online();
        const Node* node = t.table.find(fixed);
        if (node == nullptr || node->name() != fixed || t.value("fixed.zone.test") != "fixed-value") ++wrong;
        if (const Node* other = t.table.find(moving)) {
          if (other->name() != moving) ++wrong;
          // The two octets of a value are alike, whichever value it is.
          auto answer = countersign::base::as_text(other->answer(other->rrsets().front()));
          if (answer[12] != answer[13]) ++wrong;
        }
        mine.fetch_add(1, std::memory_order_release);
      }
      slot.offline();
    });
  }
  std::array<std::uint64_t, 2> before{};
  for (int i = 0; i < 3000; ++i) {
    // Thirty times, both have looked since the last time: the changes do not outrun them.
    for (std::size_t reader = 0; i % 100 == 99 && reader < looks.size(); ++reader) {
      while (looks[reader].load() == before[reader]) std::this_thread::yield();
      before[reader] = looks[reader].load();
    }
    char c = static_cast<char>('a' + i % 26);
    t.put("moving.zone.test", i % 5 == 0 ? "" : std::string(2, c));
    t.put("n" + std::to_string(i) + ".zone.test", "filler");
    t.epochs.reclaim();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  REQUIRE(wrong == 0);
}
