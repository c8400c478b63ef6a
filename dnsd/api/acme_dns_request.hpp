// What acme-dns' clients send, judged as acme-dns does: pure functions of the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

// The body of /register, to `allowfrom`: CIDRs with their square brackets removed, else as they were sent, each
// once; kMaxAllowFrom at most. Error: Invalid, the message is acme-dns' code (malformed_json_payload,
// invalid_allowfrom_cidr).
[[nodiscard]] base::Result<std::vector<std::string>> parse_register(std::string_view body);

struct AcmeDnsUpdate {
  std::string subdomain;
  std::string txt;  // not judged yet: is_challenge_value()
};
// The body of /update. What is of another type than a string is "". Error: Invalid.
[[nodiscard]] base::Result<AcmeDnsUpdate> parse_update(std::string_view body);

// 43 of [A-Za-z0-9_-]: a SHA-256 as base64url (RFC 8555 §8.4).
[[nodiscard]] bool is_challenge_value(std::string_view text);
// 40 of [A-Za-z0-9_-].
[[nodiscard]] bool is_api_key(std::string_view text);

}  // namespace countersign::dnsd
