// Records in master-file syntax (RFC 1035 §5), read by ldns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::zones {

struct MasterRecord {
  base::Name owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;  // seconds
  std::string rdata;      // wire format, names in it uncompressed
};

// One record: "ns1 A 203.0.113.5", "@ 300 IN CAA 0 issue \"example.org\"". Error: Invalid.
[[nodiscard]] base::Result<MasterRecord> parse_record(std::string_view text, const base::Name& origin,
                                                      std::uint32_t default_ttl);

// A whole file; `take` gets each record with its line, `wrong` each bad line. Reading goes on behind a bad line, up to
// 20 of them. Error: NotFound, Denied, Io: the file cannot be read.
[[nodiscard]] base::Result<void> read_master_file(
    const std::filesystem::path& path, const base::Name& origin, std::uint32_t default_ttl,
    const std::function<void(MasterRecord, std::size_t line)>& take,
    const std::function<void(std::size_t line, const std::string&)>& wrong);

}  // namespace countersign::zones
