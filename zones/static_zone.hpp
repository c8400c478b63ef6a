// The part of a zone that the configuration gives: SOA, NS and the static records, judged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/name.hpp"
#include "conf/load.hpp"
#include "zones/static_records.hpp"

namespace countersign::zones {

struct StaticZone {
  base::Name apex;
  base::Name primary;     // SOA MNAME: the first name server
  base::Name hostmaster;  // SOA RNAME
  std::uint32_t negative_ttl = 1;
  std::uint32_t value_ttl = 1;  // of the dynamic values beside the records
  // Apexes of our zones directly below: what lies there is not this zone's.
  std::vector<base::Name> nested;
  // The apex has its NS set; SOA is not here, its serial changes.
  StaticRecords records;

  // Changes when anything above does, and with it what the zone serves of the same values; a new one makes a new
  // serial.
  [[nodiscard]] std::string digest() const;
};

// Reads `records` and `file` of every zone through ldns. What is wrong is added to `problems`, which is sorted then,
// with the record's position: bad syntax, an owner outside the zone, CNAME beside other data or at the apex, DNAME, a
// class other than IN, a name server inside the zone without address.
[[nodiscard]] std::vector<StaticZone> build_static_zones(const conf::Config& config,
                                                         std::vector<conf::Problem>& problems);

}  // namespace countersign::zones
