#include "zones/static_zone.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/encoding.hpp"
#include "base/handle.hpp"
#include "zones/master_file.hpp"
#include "zones/record_type.hpp"

#include <openssl/evp.h>

namespace countersign::zones {
namespace {

using base::Name;
using Digest = base::Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using conf::Position;
using conf::Problem;

// Without a TTL of their own, static records live an hour: they change with the configuration only.
constexpr std::uint32_t kDefaultTtl = 3600;
// A whole RRset must fit a TCP message beside the question, the OPT and its hosts' addresses.
constexpr std::size_t kMaxRrsetOctets = 32'768;

// Of the problems of one file as many are said: what is wrong with the first is wrong with all.
constexpr std::size_t kMaxFileProblems = 20;

using Apexes = std::unordered_set<std::string_view>;

// Where a record came from: a line of the file, or else one of `records`, or the nameservers themselves.
constexpr std::uint32_t kFromFile = 0x80000000;
constexpr std::uint32_t kFromNameservers = 0x7fffffff;

// Gathers the records of one zone and says what is wrong with them.
class ZoneCheck {
 public:
  ZoneCheck(const conf::Zone& config, std::size_t index, const Apexes& apexes, std::vector<Problem>& problems)
      : config_(config), index_(index), apexes_(apexes), problems_(problems) {
    zone_.apex = config.name;
    zone_.primary = config.nameservers.empty() ? Name() : config.nameservers.front();
    zone_.hostmaster = config.hostmaster;
    zone_.negative_ttl = static_cast<std::uint32_t>(config.negative_ttl.count());
  }

  StaticZone run() {
    for (const Name& server : config_.nameservers)
      add({zone_.apex, record_type::kNs, kDefaultTtl, std::string(server.wire())}, kFromNameservers);
    for (std::size_t i = 0; i < config_.records.size(); ++i) add_line(static_cast<std::uint32_t>(i));
    if (!config_.file.empty()) add_file();
    zone_.records = builder_.finish(kMaxRrsetOctets, [&](const RecordView& record, std::uint32_t source) {
      say(source, fmt::format("\"{}\" gets more than {} octets of one type; an answer could not hold it",
                              text_of(record.owner), kMaxRrsetOctets));
    });
    zone_.records.each([&](std::span<const RecordView> records) { check_node(records); });
    if (unsaid_ > 0) say(config_.at, "file", fmt::format("\"{}\": and {} more", config_.file, unsaid_));
    return std::move(zone_);
  }

 private:
  static std::string text_of(std::string_view wire) {
    auto name = Name::from_wire(base::as_bytes(wire));
    return name ? name->text() : std::string();
  }

  void say(Position at, std::string_view key, std::string text) {
    problems_.push_back({at, fmt::format("zone[{}].{}", index_ + 1, key), std::move(text)});
  }

  void say(std::uint32_t source, const std::string& text) {
    if (source == kFromNameservers)
      say(config_.at, "nameservers", text);
    else if ((source & kFromFile) != 0)
      say_of_file("file", fmt::format("\"{}\" line {}: {}", config_.file, source & ~kFromFile, text));
    else
      say(config_.records[source].at, fmt::format("records[{}]", source), text);
  }

  // Where a problem of names as a whole comes from is not known: beside a file it is counted as the file's.
  void say_of_names(std::string_view key, std::string text) {
    if (config_.file.empty())
      say(config_.at, key, std::move(text));
    else
      say_of_file(key, std::move(text));
  }

  void say_of_file(std::string_view key, std::string text) {
    if (said_ == kMaxFileProblems) {
      ++unsaid_;
      return;
    }
    ++said_;
    say(config_.at, key, std::move(text));
  }

  // In another zone of ours below this one: the hash of all apexes is asked, not each of them.
  [[nodiscard]] bool is_nested(std::string_view name) const {
    for (; name.size() > zone_.apex.wire().size(); name.remove_prefix(1U + static_cast<unsigned char>(name[0])))
      if (apexes_.contains(name)) return true;
    return false;
  }

  void add_line(std::uint32_t number) {
    auto parsed = parse_record(config_.records[number].text, zone_.apex, kDefaultTtl);
    if (!parsed)
      say(number, parsed.error().message);
    else if (parsed->type == record_type::kSoa)
      say(number, "the SOA is made from nameservers, hostmaster and negative_ttl; remove this record");
    else
      add(*parsed, number);
  }

  void add_file() {
    auto source_of = [](std::size_t line) { return static_cast<std::uint32_t>(line) | kFromFile; };
    auto line_problem = [&](std::size_t line, const std::string& text) { say(source_of(line), text); };
    auto take = [&](const MasterRecord& record, std::size_t line) {
      // A zone file that served elsewhere has an SOA; ours has the serial that the store keeps.
      if (record.type != record_type::kSoa) add(record, source_of(line));
    };
    auto read = read_master_file(config_.file, zone_.apex, kDefaultTtl, take, line_problem);
    if (!read) say(config_.at, "file", read.error().message);
  }

  void add(const MasterRecord& record, std::uint32_t source) {
    if (!record.owner.is_within(zone_.apex)) {
      say(source, fmt::format("\"{}\" is not within the zone \"{}\"; end relative names without a dot",
                              record.owner.text(), zone_.apex.text()));
      return;
    }
    if (record.type == record_type::kDname) {
      say(source, "DNAME is not served here; write the CNAMEs that you need");
      return;
    }
    // Another zone of ours holds these names: what this one says of them (NS, glue) is for its parent's eyes.
    if (is_nested(record.owner.wire())) return;
    builder_.add({record.owner.wire(), record.type, record.ttl, record.rdata}, source);
  }

  void check_node(std::span<const RecordView> records) {
    std::string_view owner = records.front().owner;
    std::size_t cnames = 0;
    bool delegates = false;
    for (const RecordView& record : records) {
      if (record.type == record_type::kCname) ++cnames;
      if (record.type != record_type::kNs) continue;
      delegates = true;
      check_address(owner, record.rdata);
    }
    bool is_apex = owner == zone_.apex.wire();
    if (delegates && !is_apex && owner.starts_with(std::string_view("\1*", 2)))
      say_of_names(
          "records",
          fmt::format("\"{}\" is a wildcard with NS records, which mean nothing (RFC 4592 §4.2); delegate each name",
                      text_of(owner)));
    if (cnames == 0) return;
    if (is_apex)
      say_of_names("records", "a CNAME cannot stand at the apex: SOA and NS are there (RFC 1034 §3.6.2)");
    else if (records.size() > cnames)
      say_of_names(
          "records",
          fmt::format("\"{}\" has a CNAME and other records; a CNAME stands alone (RFC 1034 §3.6.2)", text_of(owner)));
    else if (cnames > 1)
      say_of_names("records", fmt::format("\"{}\" has more than one CNAME (RFC 2181 §10.1)", text_of(owner)));
  }

  // Each host named by an NS set of ours that lies inside the zone needs an address there, or nobody finds it.
  void check_address(std::string_view owner, std::string_view rdata) {
    auto host = Name::from_wire(base::as_bytes(rdata));
    if (!host || !host->is_within(zone_.apex)) return;
    if (is_nested(host->wire())) return;
    for (const StaticRrset& set : zone_.records.find(host->wire()))
      if (set.type == record_type::kA || set.type == record_type::kAaaa) return;
    say_of_names(
        owner == zone_.apex.wire() ? "nameservers" : "records",
        fmt::format("name server \"{}\" is in this zone and has no address; add \"{}. A 192.0.2.1\" with its own "
                    "address to records",
                    host->text(), host->text()));
  }

  const conf::Zone& config_;
  std::size_t index_;
  const Apexes& apexes_;  // of all our zones
  std::vector<Problem>& problems_;
  std::size_t said_ = 0;  // problems of the file
  std::size_t unsaid_ = 0;
  StaticRecordsBuilder builder_;
  StaticZone zone_;
};

// Each zone is noted in the closest one above it.
void note_nested(std::vector<StaticZone>& zones) {
  std::unordered_map<std::string_view, StaticZone*> by_apex;
  for (StaticZone& zone : zones) by_apex.emplace(zone.apex.wire(), &zone);
  for (const StaticZone& zone : zones) {
    std::string_view name = zone.apex.wire();
    while (name[0] != '\0') {
      name.remove_prefix(1U + static_cast<unsigned char>(name[0]));
      auto above = by_apex.find(name);
      if (above == by_apex.end()) continue;
      above->second->nested.push_back(zone.apex);
      break;
    }
  }
  // The order in which they are configured does not matter.
  for (StaticZone& zone : zones) std::ranges::sort(zone.nested);
}

}  // namespace

std::string StaticZone::digest() const {
  Digest digest(EVP_MD_CTX_new());
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  std::string parts;
  auto add = [&](std::string_view part) {
    parts += std::to_string(part.size());
    parts += ':';
    parts += part;
  };
  auto flush = [&] {
    EVP_DigestUpdate(digest.get(), parts.data(), parts.size());
    parts.clear();
  };
  add(apex.wire());
  add(primary.wire());
  add(hostmaster.wire());
  add(fmt::format("{} {} {}", negative_ttl, value_ttl, nested.size()));
  for (const Name& below : nested) add(below.wire());
  records.each([&](std::span<const RecordView> all) {
    add(all.front().owner);
    while (!all.empty()) {
      const RecordView& first = all.front();
      auto end = std::find_if(all.begin(), all.end(), [&](const RecordView& each) { return each.type != first.type; });
      auto rrset = all.first(static_cast<std::size_t>(end - all.begin()));
      add(fmt::format("{} {} {}", first.type, first.ttl, rrset.size()));
      for (const RecordView& record : rrset) add(record.rdata);
      all = all.subspan(rrset.size());
    }
    flush();
  });
  flush();
  std::array<std::byte, 32> hash{};
  EVP_DigestFinal_ex(digest.get(), reinterpret_cast<unsigned char*>(hash.data()), nullptr);
  return base::hex_encode(hash);
}

std::vector<StaticZone> build_static_zones(const conf::Config& config, std::vector<conf::Problem>& problems) {
  Apexes apexes;
  for (const conf::Zone& zone : config.zones) apexes.insert(zone.name.wire());
  std::vector<StaticZone> zones;
  for (std::size_t i = 0; i < config.zones.size(); ++i) {
    const conf::Zone& zone = config.zones[i];
    // Its name or servers are a problem already; what would be said of its records would not help.
    if (zone.name.is_root() || zone.nameservers.empty()) continue;
    zones.push_back(ZoneCheck(zone, i, apexes, problems).run());
    zones.back().value_ttl = static_cast<std::uint32_t>(config.challenge.ttl.count());
  }
  note_nested(zones);
  conf::sort_problems(problems);  // those of the loader and ours together
  return zones;
}

}  // namespace countersign::zones
