// Checks of single values of [acme] and [[certificate]], as texts.hpp has them. What only acme/ can judge (is this a
// name that a CA takes?) is checked for being plausible.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::conf {

// Error of all: Invalid.

// Something like "example.com", "*.example.com" or "bücher.example".
[[nodiscard]] base::Result<void> check_certificate_name(std::string_view text);
// CERT: `[a-z0-9][a-z0-9._-]*`.
[[nodiscard]] base::Result<void> check_cert_name_text(std::string_view text);
// A line of UTF-8 without control characters, of at most 255 octets: a profile, part of a common name.
[[nodiscard]] base::Result<void> check_line(std::string_view text);
// A command for /bin/sh; not empty.
[[nodiscard]] base::Result<void> check_command(std::string_view text);
// A file mode such as "0640": the owner reads, nobody executes, only the owner writes.
[[nodiscard]] base::Result<unsigned> parse_mode(std::string_view text);
// A date-time of RFC 3339.
[[nodiscard]] base::Result<void> check_date(std::string_view text);
// https://HOST[:PORT], or http:// on loopback.
[[nodiscard]] base::Result<void> check_server(std::string_view text);

// CERT of a [[certificate]]: its cert_name, else its first name in lower case, without `*.` and a final dot.
[[nodiscard]] std::string default_cert_name(std::string_view first_name);

}  // namespace countersign::conf
