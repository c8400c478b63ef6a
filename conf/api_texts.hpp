// Checks of single values of [api] and [[key]], as texts.hpp has them.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/address_range.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::conf {

// Error of all: Invalid.

// "192.0.2.0/24", "2001:db8::/32", or one address.
[[nodiscard]] base::Result<base::AddressRange> parse_range(std::string_view text);
// At least a day; "" = 0, never.
[[nodiscard]] base::Result<std::chrono::milliseconds> parse_unused(std::string_view text);
// "" = none.
[[nodiscard]] base::Result<std::optional<base::Name>> parse_optional_zone(std::string_view text);
// Of a TSIG key, with or without final dot; not the root.
[[nodiscard]] base::Result<base::Name> parse_key_name(std::string_view text);
// "hmac-sha256" and so on, in any case, with or without final dot (RFC 8945 §6). Not MD5.
[[nodiscard]] base::Result<TsigAlgorithm> parse_algorithm(std::string_view text);
// "a.example.net" or "*.example.net".
[[nodiscard]] base::Result<NamePattern> parse_name_pattern(std::string_view text);

}  // namespace countersign::conf
