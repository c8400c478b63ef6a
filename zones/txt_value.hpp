// The text of one TXT record: 1 to 1024 printable ASCII octets; on the wire in strings of at most 255 (RFC 1035
// §3.3.14).
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::zones {

class TxtValue {
 public:
  static constexpr std::size_t kMaxLength = 1024;

  // Error: Invalid.
  [[nodiscard]] static base::Result<TxtValue> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }

  // Whether parse() would take it, without making one.
  [[nodiscard]] static bool is_valid(std::string_view text);
  friend bool operator==(const TxtValue&, const TxtValue&) = default;

 private:
  explicit TxtValue(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// RDATA of such a text, behind `out`.
void append_txt_rdata(std::string& out, std::string_view text);

}  // namespace countersign::zones
