// Text forms of bytes: base64, base64url without padding (RFC 4648 §4, §5), hex.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/wire.hpp"

namespace countersign::base {

[[nodiscard]] std::string base64url_encode(Bytes data);
[[nodiscard]] std::string base64_encode(Bytes data);
// Strict: no padding, no other character, no stray bits. Error: Invalid.
[[nodiscard]] Result<std::vector<std::byte>> base64url_decode(std::string_view text);
[[nodiscard]] std::string hex_encode(Bytes data);  // lower case
// Either case, nothing between the digits. Error: Invalid.
[[nodiscard]] Result<std::vector<std::byte>> hex_decode(std::string_view text);

}  // namespace countersign::base
