#include "zones/static_zone.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/encoding.hpp"
#include "zones/master_file.hpp"
#include "zones/record_type.hpp"

#include <openssl/evp.h>

namespace countersign::zones {
namespace {

using base::Name;
using conf::Position;
using conf::Problem;

// Without a TTL of their own, static records live an hour: they change with the configuration only.
constexpr std::uint32_t kDefaultTtl = 3600;
// A whole RRset must fit a TCP message beside the question, the OPT and its hosts' addresses.
constexpr std::size_t kMaxRrsetOctets = 32'768;

// Gathers the records of one zone and says what is wrong with them.
class ZoneCheck {
 public:
  ZoneCheck(const conf::Zone& config, std::size_t index, std::vector<Name> nested, std::vector<Problem>& problems)
      : config_(config), index_(index), nested_(std::move(nested)), problems_(problems) {
    zone_.apex = config.name;
    zone_.primary = config.nameservers.empty() ? Name() : config.nameservers.front();
    zone_.hostmaster = config.hostmaster;
    zone_.negative_ttl = static_cast<std::uint32_t>(config.negative_ttl.count());
  }

  StaticZone run() {
    for (const Name& server : config_.nameservers)
      add({zone_.apex, record_type::kNs, kDefaultTtl, std::string(server.wire())}, config_.at, "nameservers");
    for (std::size_t i = 0; i < config_.records.size(); ++i) add_line(config_.records[i], i);
    if (!config_.file.empty()) add_file();
    check_nodes();
    check_addresses();
    return std::move(zone_);
  }

 private:
  void say(Position at, std::string_view key, std::string text) {
    problems_.push_back({at, fmt::format("zone[{}].{}", index_ + 1, key), std::move(text)});
  }

  void add_line(const conf::StaticRecord& record, std::size_t number) {
    std::string key = fmt::format("records[{}]", number);
    auto parsed = parse_record(record.text, zone_.apex, kDefaultTtl);
    if (!parsed) {
      say(record.at, key, parsed.error().message);
      return;
    }
    if (parsed->type == record_type::kSoa) {
      say(record.at, key, "the SOA is made from nameservers, hostmaster and negative_ttl; remove this record");
      return;
    }
    add(std::move(*parsed), record.at, key);
  }

  void add_file() {
    auto line_problem = [&](std::size_t line, const std::string& text) {
      say(config_.at, "file", fmt::format("\"{}\" line {}: {}", config_.file, line, text));
    };
    auto take = [&](MasterRecord record, std::size_t line) {
      // A zone file that served elsewhere has an SOA; ours has the serial that the store keeps.
      if (record.type == record_type::kSoa) return;
      std::size_t before = problems_.size();
      add(std::move(record), config_.at, "file");
      if (problems_.size() > before)
        problems_.back().text = fmt::format("\"{}\" line {}: {}", config_.file, line, problems_.back().text);
    };
    auto read = read_master_file(config_.file, zone_.apex, kDefaultTtl, take, line_problem);
    if (!read) say(config_.at, "file", read.error().message);
  }

  void add(MasterRecord record, Position at, std::string_view key) {
    if (!record.owner.is_within(zone_.apex)) {
      say(at, key,
          fmt::format("\"{}\" is not within the zone \"{}\"; end relative names without a dot", record.owner.text(),
                      zone_.apex.text()));
      return;
    }
    if (record.type == record_type::kDname) {
      say(at, key, "DNAME is not served here; write the CNAMEs that you need");
      return;
    }
    // Another zone of ours holds these names: what this one says of them (NS, glue) is for its parent's eyes.
    for (const Name& child : nested_)
      if (record.owner.is_within(child)) return;
    std::vector<StaticRrset>& rrsets = zone_.names[record.owner];
    auto found = std::find_if(rrsets.begin(), rrsets.end(), [&](const auto& set) { return set.type == record.type; });
    if (found == rrsets.end()) found = rrsets.insert(rrsets.end(), StaticRrset{record.type, record.ttl, {}});
    found->ttl = std::min(found->ttl, record.ttl);  // one TTL for all, the most cautious (RFC 2181 §5.2)
    if (std::find(found->rdatas.begin(), found->rdatas.end(), record.rdata) != found->rdatas.end()) return;
    std::size_t octets = record.rdata.size() + 12;
    for (const std::string& rdata : found->rdatas) octets += rdata.size() + 12;
    if (octets > kMaxRrsetOctets) {
      say(at, key,
          fmt::format("\"{}\" gets more than {} octets of one type; an answer could not hold it", record.owner.text(),
                      kMaxRrsetOctets));
      return;
    }
    found->rdatas.push_back(std::move(record.rdata));
  }

  void check_nodes() {
    for (const auto& [owner, rrsets] : zone_.names) {
      bool has_ns = std::any_of(rrsets.begin(), rrsets.end(),
                                [](const StaticRrset& set) { return set.type == record_type::kNs; });
      if (has_ns && owner != zone_.apex && owner.first_label() == "*")
        say(config_.at, "records",
            fmt::format("\"{}\" is a wildcard with NS records, which mean nothing (RFC 4592 §4.2); delegate each name",
                        owner.text()));
      auto cname = std::find_if(rrsets.begin(), rrsets.end(),
                                [](const StaticRrset& set) { return set.type == record_type::kCname; });
      if (cname == rrsets.end()) continue;
      if (owner == zone_.apex)
        say(config_.at, "records", "a CNAME cannot stand at the apex: SOA and NS are there (RFC 1034 §3.6.2)");
      else if (rrsets.size() > 1)
        say(config_.at, "records",
            fmt::format("\"{}\" has a CNAME and other records; a CNAME stands alone (RFC 1034 §3.6.2)", owner.text()));
      else if (cname->rdatas.size() > 1)
        say(config_.at, "records", fmt::format("\"{}\" has more than one CNAME (RFC 2181 §10.1)", owner.text()));
    }
  }

  // Each host named by an NS set of ours that lies inside the zone needs an address there, or nobody finds it.
  void check_addresses() {
    for (const auto& [owner, rrsets] : zone_.names) {
      for (const StaticRrset& set : rrsets) {
        if (set.type != record_type::kNs) continue;
        for (const std::string& rdata : set.rdatas) check_address(owner, rdata);
      }
    }
  }

  void check_address(const Name& owner, const std::string& rdata) {
    auto host = Name::from_wire(base::as_bytes(rdata));
    if (!host || !host->is_within(zone_.apex)) return;
    for (const Name& child : nested_)
      if (host->is_within(child)) return;
    auto found = zone_.names.find(*host);
    if (found != zone_.names.end()) {
      for (const StaticRrset& set : found->second)
        if (set.type == record_type::kA || set.type == record_type::kAaaa) return;
    }
    say(config_.at, owner == zone_.apex ? "nameservers" : "records",
        fmt::format("name server \"{}\" is in this zone and has no address; add \"{}. A 192.0.2.1\" with its own "
                    "address to records",
                    host->text(), host->text()));
  }

  const conf::Zone& config_;
  std::size_t index_;
  std::vector<Name> nested_;  // apexes of our other zones below this one
  std::vector<Problem>& problems_;
  StaticZone zone_;
};

}  // namespace

std::string StaticZone::digest() const {
  std::string all;
  auto add = [&](std::string_view part) {
    all += fmt::format("{}:", part.size());
    all += part;
  };
  add(apex.wire());
  add(primary.wire());
  add(hostmaster.wire());
  add(std::to_string(negative_ttl));
  for (const auto& [owner, rrsets] : names) {
    add(owner.wire());
    for (const StaticRrset& set : rrsets) {
      add(fmt::format("{} {} {}", set.type, set.ttl, set.rdatas.size()));
      for (const std::string& rdata : set.rdatas) add(rdata);
    }
  }
  std::array<std::byte, 32> hash{};
  EVP_Digest(all.data(), all.size(), reinterpret_cast<unsigned char*>(hash.data()), nullptr, EVP_sha256(), nullptr);
  return base::hex_encode(hash);
}

std::vector<StaticZone> build_static_zones(const conf::Config& config, std::vector<conf::Problem>& problems) {
  std::vector<StaticZone> zones;
  for (std::size_t i = 0; i < config.zones.size(); ++i) {
    const conf::Zone& zone = config.zones[i];
    // Its name or servers are a problem already; what would be said of its records would not help.
    if (zone.name.is_root() || zone.nameservers.empty()) continue;
    std::vector<Name> nested;
    for (const conf::Zone& other : config.zones)
      if (other.name != zone.name && other.name.is_within(zone.name)) nested.push_back(other.name);
    zones.push_back(ZoneCheck(zone, i, std::move(nested), problems).run());
  }
  // Those of the loader and ours together, in the order of the file.
  std::sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.line, a.at.column, a.key) < std::tie(b.at.line, b.at.column, b.key);
  });
  return zones;
}

}  // namespace countersign::zones
