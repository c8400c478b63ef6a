#include "zones/txt_value.hpp"

#include <algorithm>

namespace countersign::zones {

base::Result<TxtValue> TxtValue::parse(std::string_view text) {
  if (text.empty()) return base::fail(base::ErrorCode::Invalid, "a TXT value is empty");
  if (text.size() > kMaxLength)
    return base::fail(base::ErrorCode::Invalid, "a TXT value has {} octets; at most {} are kept", text.size(),
                      kMaxLength);
  for (char c : text) {
    if (c < ' ' || c > '~')
      return base::fail(base::ErrorCode::Invalid, "a TXT value has an octet that is not printable ASCII");
  }
  return TxtValue(std::string(text));
}

std::string TxtValue::rdata() const {
  constexpr std::size_t kMaxString = 255;
  std::string out;
  for (std::size_t at = 0; at < text_.size(); at += kMaxString) {
    std::size_t length = std::min(kMaxString, text_.size() - at);
    out.push_back(static_cast<char>(length));
    out.append(text_, at, length);
  }
  return out;
}

}  // namespace countersign::zones
