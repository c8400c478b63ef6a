// The writer's view of the zones: where a value may go, and the nodes made of static records and values together.
// Thread: the store thread (and the one that starts it, before it runs).
#pragma once

#include <cstdint>
#include <memory>
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
  ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table);
  // Before the table goes: readers look at the zones' answers through its nodes.
  ~ZoneRecords();
  ZoneRecords(const ZoneRecords&) = delete;
  ZoneRecords& operator=(const ZoneRecords&) = delete;

  [[nodiscard]] std::size_t zone_count() const { return zones_.size(); }
  [[nodiscard]] const StaticZone& zone(std::size_t index) const { return zones_[index]; }

  // The zone that would hold a value at `name`. Error: NotFound (no zone of ours), Invalid (a CNAME stands there, or it
  // lies below a delegation).
  [[nodiscard]] base::Result<std::size_t> place(const base::Name& name) const;
  // Error: Full, when these values would be too many or their answer too large; Invalid, when one alone is.
  [[nodiscard]] base::Result<void> check_limits(const base::Name& name, const std::vector<std::string>& values) const;

  // Makes the static records visible. Once, before the values.
  void publish_static();
  // What `name` (placed before) serves from now on besides its static records.
  void publish(const base::Name& name, const std::vector<std::string>& values);
  void publish_serial(std::size_t zone, std::uint32_t serial);
  [[nodiscard]] ValueCount count(std::size_t zone) const { return counts_[zone]; }
  void reclaim() { table_.epochs().reclaim(); }

 private:
  [[nodiscard]] std::size_t zone_index(std::string_view name) const;  // zones_.size() when none
  [[nodiscard]] bool below_cut(std::size_t zone, std::string_view name) const;
  [[nodiscard]] std::vector<RrsetSource> static_rrsets(std::size_t zone, const base::Name& name) const;
  void count_change(std::size_t zone, const base::Name& name, std::size_t static_values, std::size_t values);
  void add_hosts(std::size_t zone, RrsetSource& rrset) const;

  std::vector<StaticZone> zones_;
  std::vector<std::unique_ptr<ZoneAnswers>> answers_;
  std::unordered_map<std::string_view, std::size_t> by_apex_;  // views into zones_
  std::vector<std::unordered_set<std::string_view>> cuts_;     // of each zone: names with NS below the apex
  std::vector<ValueCount> counts_;
  TxtLimits limits_;
  NameTable& table_;
  NameTableWriter writer_;
};

}  // namespace countersign::zones
