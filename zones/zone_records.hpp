// The writer's view of the zones: where a value may go, and the nodes made of static records and values together.
// Thread: the store thread (and the one that starts it, before it runs).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.hpp"
#include "zones/name_table_writer.hpp"
#include "zones/static_zone.hpp"
#include "zones/txt_value.hpp"

namespace countersign::zones {

struct TxtLimits {
  std::uint32_t ttl = 1;               // seconds, of dynamic values
  std::size_t max_values = 16;         // per name
  std::size_t max_udp_payload = 1232;  // octets: an answer never outgrows it
};

struct ValueCount {
  std::uint64_t names = 0;  // with dynamic values
  std::uint64_t values = 0;
};

class ZoneRecords {
 public:
  // What is published is visible at once.
  ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table);
  // A draft with room for `names`: nothing is visible before take_over().
  ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table, std::size_t names);
  // Before the table goes: readers look at the zones' answers through its nodes.
  ~ZoneRecords();
  ZoneRecords(const ZoneRecords&) = delete;
  ZoneRecords& operator=(const ZoneRecords&) = delete;

  [[nodiscard]] std::size_t zone_count() const { return zones_.size(); }
  // Without its records once they are published: the nodes hold them then.
  [[nodiscard]] const StaticZone& zone(std::size_t index) const { return zones_[index]; }

  // The zone that would hold a value at `name`. Error: NotFound (no zone of ours), Invalid (a CNAME stands there, or it
  // lies below a delegation).
  [[nodiscard]] base::Result<std::size_t> place(const base::Name& name) const;
  [[nodiscard]] bool has_place(std::string_view name) const { return find_place(name).verdict == Verdict::Ours; }
  // Error: Full, when these values would be too many or their answer too large; Invalid, when one alone is.
  [[nodiscard]] base::Result<void> check_limits(const base::Name& name, const std::vector<std::string>& values) const;

  // Makes a draft visible as a whole, in place of `before` (absent: an empty table). Readers in the middle of a query
  // finish it with the names and SOAs of `before`; these are freed when the last has.
  void take_over(std::unique_ptr<ZoneRecords> before);

  // Publishes the static records. Once, before the values.
  void publish_static();
  // What `name` (placed before; lower-case wire) serves from now on besides its static records. Texts that are no TXT
  // value are passed over.
  void publish(std::string_view name, std::span<const std::string_view> values);
  void publish(const base::Name& name, const std::vector<std::string>& values);
  // A registration's name (placed before; lower-case wire) exists from now on, with values or without: NODATA, never
  // NXDOMAIN. unpin() ends that.
  void pin(std::string_view name);
  void unpin(std::string_view name);
  [[nodiscard]] bool is_pinned(std::string_view name) const;
  void publish_serial(std::size_t zone, std::uint32_t serial);

  // What the configuration says of `name`, dynamic values aside, as a prerequisite sees it (RFC 2136 §2.4): types with
  // records, and the RDATA of those of one type. An SOA is there at the apex.
  [[nodiscard]] std::vector<std::uint16_t> static_types(const base::Name& name) const;
  [[nodiscard]] std::vector<std::string> static_rdatas(const base::Name& name, std::uint16_t type) const;
  [[nodiscard]] ValueCount count(std::size_t zone) const { return counts_[zone]; }
  void reclaim() { table_.epochs().reclaim(); }

 private:
  using ZoneOf = NameTableWriter::ZoneOf;
  void index_zones();
  [[nodiscard]] ZoneOf zone_of();
  enum class Verdict : std::uint8_t { Ours, NoZone, Delegated, Alias };
  struct Place {
    Verdict verdict;
    std::size_t zone;
  };
  // TXT records of the configuration, as an answer.
  struct FixedTxt {
    std::uint16_t count = 0;
    std::string_view answer;
  };
  struct KeptTxt {
    std::uint16_t count = 0;
    std::string answer;
  };
  // Looked up by views.
  struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };
  using Names = std::unordered_set<std::string, NameHash, std::equal_to<>>;

  [[nodiscard]] std::size_t zone_index(std::string_view name) const;  // zones_.size() when none
  [[nodiscard]] bool below_cut(std::size_t zone, std::string_view name) const;
  [[nodiscard]] Place find_place(std::string_view name) const;
  void publish_static(std::size_t zone, std::span<const RecordView> records);
  [[nodiscard]] FixedTxt fixed_txt(std::string_view name, const Node* node) const;
  void set_pinned(std::string_view name, std::uint8_t flag);
  void count_change(std::size_t zone, std::size_t served, std::size_t values);

  std::vector<StaticZone> zones_;
  std::vector<std::unique_ptr<ZoneAnswers>> answers_;
  std::unordered_map<std::string_view, std::size_t> by_apex_;  // views into zones_
  std::vector<Names> cuts_;                                    // of each zone: names with NS below the apex
  std::vector<ValueCount> counts_;
  // Of names whose node holds static and dynamic TXT records together: the static ones as they were.
  std::unordered_map<std::string, KeptTxt, NameHash, std::equal_to<>> kept_;
  TxtLimits limits_;
  NameTable& table_;
  NameTableWriter writer_;
  // Kept between calls for their memory only.
  std::string buffer_;
  std::vector<RrsetSource> rrsets_;
};

}  // namespace countersign::zones
