// Text of strangers, made fit for a person's terminal and for JSON.
#pragma once

#include <string>
#include <string_view>

namespace countersign::base {

// Octets of the well-formed UTF-8 character (RFC 3629) at the front; 0 where there is none.
[[nodiscard]] std::size_t utf8_length(std::string_view text);
// A control character: C0, DEL, or C1 (U+0080 to U+009F), which some terminals obey as they do escape sequences.
// `character`: one whole character of UTF-8.
[[nodiscard]] bool is_control(std::string_view character);

// One line: line ends and tabs become spaces, control characters and malformed octets "?"; cut behind `limit` octets at
// most, at a character's end.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 2000);
// Malformed octets become U+FFFD; all else stays.
[[nodiscard]] std::string valid_utf8(std::string_view text);

}  // namespace countersign::base
