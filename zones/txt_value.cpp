#include "zones/txt_value.hpp"

#include <algorithm>

namespace countersign::zones {
namespace {

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

bool TxtValue::is_valid(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLength && is_printable(text);
}

base::Result<TxtValue> TxtValue::parse(std::string_view text) {
  if (text.empty()) return base::fail(base::ErrorCode::Invalid, "a TXT value is empty");
  if (text.size() > kMaxLength)
    return base::fail(base::ErrorCode::Invalid, "a TXT value has {} octets; at most {} are kept", text.size(),
                      kMaxLength);
  if (!is_printable(text))
    return base::fail(base::ErrorCode::Invalid, "a TXT value has an octet that is not printable ASCII");
  return TxtValue(std::string(text));
}

void append_txt_rdata(std::string& out, std::string_view text) {
  constexpr std::size_t kMaxString = 255;
  for (; !text.empty(); text.remove_prefix(std::min(kMaxString, text.size()))) {
    std::string_view part = text.substr(0, kMaxString);
    out.push_back(static_cast<char>(part.size()));
    out += part;
  }
}

}  // namespace countersign::zones
