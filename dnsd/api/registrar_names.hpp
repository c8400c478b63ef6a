// Usernames and names of registrations, as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::dnsd {

// Ranges that a registration may be used from: more are a list of a stranger's, kept in memory and on disk.
inline constexpr std::size_t kMaxAllowFrom = 32;

// Version 4, in lower case with dashes (RFC 9562 §5.4).
[[nodiscard]] std::string random_uuid();

// A UUID in lower case with dashes (RFC 9562 §4) from any spelling that acme-dns takes: upper case, braces, urn:uuid:,
// without dashes. Absent when it is none.
[[nodiscard]] std::optional<std::string> canonical_username(std::string_view text);

// The labels that `text` (a domain, with or without final dot) gets before the zone: in lower case, of letters, digits,
// hyphens and underscores. Error: Invalid.
[[nodiscard]] base::Result<std::string> parse_subdomain(std::string_view text);

}  // namespace countersign::dnsd
