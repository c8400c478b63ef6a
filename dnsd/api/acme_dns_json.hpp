// The members of one JSON object as clients of these APIs write them: keys in any letter case, the last of several
// wins, others are skipped; nothing is kept but what was asked for.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

struct JsonMember {
  enum class Kind { Absent, Null, Text, Texts, Other };
  Kind kind = Kind::Absent;
  std::string text;                // Text
  std::vector<std::string> texts;  // Texts: a list of nothing but strings (null counts as "")
};

enum class JsonTail { Ignored, Refused };  // what follows the first value, besides blanks

// What is wanted, in lower case, to what was found, in that order. Absent members have Kind::Absent, all of them when
// the text is `null`. Nesting is bounded. Error: Invalid (no JSON, or neither an object nor null).
[[nodiscard]] base::Result<std::vector<JsonMember>> read_members(std::string_view text,
                                                                 std::span<const std::string_view> keys, JsonTail tail);

// Behind `out`: `text` as a JSON string, in quotes.
void append_json_text(std::string& out, std::string_view text);
// {"error": "CODE"} and {"error": "CODE", "message": "..."}, on one line, with acme-dns' blank after each colon.
[[nodiscard]] std::string error_body(std::string_view code, std::string_view message = {});

}  // namespace countersign::dnsd
