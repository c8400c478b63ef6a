// Checks of single values, on plain text. Messages quote the value and end in what to do.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::conf {

// For messages: in quotes, shortened, control characters escaped.
[[nodiscard]] std::string in_quotes(std::string_view text);

// The candidate with the smallest edit distance (Levenshtein); the first of several. `candidates` is not empty.
[[nodiscard]] std::string_view nearest(std::string_view text, std::span<const std::string_view> candidates);

// A domain name of letters, digits, hyphens and underscores; not the root. Error: Invalid.
[[nodiscard]] base::Result<base::Name> parse_zone_name(std::string_view text);
// An absolute host name (RFC 1123 §2.1: no underscores) of at least two labels. Error: Invalid.
[[nodiscard]] base::Result<base::Name> parse_host_name(std::string_view text);
// RNAME of "local@domain": the local part is one label, dots and all (RFC 1035 §8). Error: Invalid.
[[nodiscard]] base::Result<base::Name> parse_hostmaster(std::string_view text);
// One "mailto:local@domain" without header fields (RFC 8555 §7.3). Error: Invalid.
[[nodiscard]] base::Result<void> check_contact(std::string_view text);
// An absolute path. Error: Invalid.
[[nodiscard]] base::Result<void> check_path(std::string_view text);
// At most `max` octets of printable ASCII. Error: Invalid.
[[nodiscard]] base::Result<void> check_plain_text(std::string_view text, std::size_t max);
// A user's name as useradd accepts it. Error: Invalid.
[[nodiscard]] base::Result<void> check_user(std::string_view text);
// A group's name, or "". Error: Invalid.
[[nodiscard]] base::Result<void> check_group(std::string_view text);

}  // namespace countersign::conf
