// acme-dns' config.cfg, and the countersign.toml that does the same. Spellings of its releases 1.x and 2.x.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "conf/load.hpp"

namespace countersign::conf {

// What the file says; "" and false where it says nothing.
struct AcmeDnsConfig {
  std::string listen, protocol, domain, nsname, nsadmin;
  std::vector<std::string> records;
  std::string engine, connection;
  std::string ip, port, tls, tls_key, tls_certificate, notification_email, header_name;
  bool disable_registration = false;
  bool use_header = false;
  bool hsts = false;
  std::vector<std::string> corsorigins;
  std::string loglevel, logtype, logformat;
  std::vector<std::string> unknown;  // keys that acme-dns does not know: "general.lisen"
};

struct AcmeDnsLoaded {
  AcmeDnsConfig config;           // usable only when there are no problems
  std::vector<Problem> problems;  // in the order of the file
};

// Keys in any letter case, as acme-dns takes them. Problems: not TOML, a wrong type, no usable `domain`. Never throws.
[[nodiscard]] AcmeDnsLoaded load_acme_dns_config(const std::filesystem::path& path);
[[nodiscard]] AcmeDnsLoaded parse_acme_dns_config(std::string_view text);

// What is not in config.cfg.
struct ConversionFacts {
  std::uint64_t accounts = 0;                  // there must be room for twice as many registrations
  std::map<std::size_t, std::string> refused;  // records that cannot be taken, by their number in `records`, and why
};

// The `records` of the zone that acme-dns' come to: names made absolute, which they are in acme-dns without a final
// dot.
// "" where one is not for this list: an SOA record, or NS at the apex, which is in `nameservers`.
[[nodiscard]] std::vector<std::string> converted_records(const AcmeDnsConfig& config);

// A whole countersign.toml; what has no counterpart is said in remarks at its place.
[[nodiscard]] std::string converted_configuration(const AcmeDnsConfig& config, const ConversionFacts& facts);

}  // namespace countersign::conf
