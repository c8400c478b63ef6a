// The part of a zone that the configuration gives: SOA, NS and the static records, judged.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/name.hpp"
#include "conf/load.hpp"

namespace countersign::zones {

struct StaticRrset {
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;            // seconds; one for the whole set (RFC 2181 §5.2)
  std::vector<std::string> rdatas;  // wire format, no duplicates
};

struct StaticZone {
  base::Name apex;
  base::Name primary;     // SOA MNAME: the first name server
  base::Name hostmaster;  // SOA RNAME
  std::uint32_t negative_ttl = 1;
  // By owner. The apex has its NS set; SOA is not here, its serial changes.
  std::map<base::Name, std::vector<StaticRrset>> names;

  // Changes when anything above does; a new one makes a new serial.
  [[nodiscard]] std::string digest() const;
};

// Reads `records` and `file` of every zone through ldns. What is wrong is added to `problems`, which is sorted then,
// with the record's position: bad syntax, an owner outside the zone, CNAME beside other data or at the apex, DNAME, a
// class other than IN, a name server inside the zone without address.
[[nodiscard]] std::vector<StaticZone> build_static_zones(const conf::Config& config,
                                                         std::vector<conf::Problem>& problems);

}  // namespace countersign::zones
