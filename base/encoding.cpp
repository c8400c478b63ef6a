#include "base/encoding.hpp"

#include <cstdint>

namespace countersign::base {
namespace {

constexpr std::string_view kUrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string encode(Bytes data, std::string_view alphabet) {
  std::string out;
  out.reserve((data.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (std::byte b : data) {
    bits = ((bits << 8U) | std::to_integer<std::uint32_t>(b)) & 0xffffffU;
    held += 8;
    while (held >= 6) {
      held -= 6;
      out.push_back(alphabet[(bits >> held) & 0x3fU]);
    }
  }
  if (held > 0) out.push_back(alphabet[(bits << (6 - held)) & 0x3fU]);
  return out;
}

}  // namespace

std::string base64url_encode(Bytes data) {
  return encode(data, kUrlAlphabet);
}

std::string base64_encode(Bytes data) {
  std::string out = encode(data, kAlphabet);
  while (out.size() % 4 != 0) out.push_back('=');
  return out;
}

Result<std::vector<std::byte>> base64url_decode(std::string_view text) {
  std::vector<std::byte> out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (char c : text) {
    std::size_t value = kUrlAlphabet.find(c);
    if (value == std::string_view::npos || c == '\0')
      return fail(ErrorCode::Invalid, "text is not base64url without padding (RFC 4648 §5)");
    bits = ((bits << 6U) | static_cast<std::uint32_t>(value)) & 0xffffffU;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::byte>((bits >> held) & 0xffU));
    }
  }
  if (held == 6 || (bits & ((1U << held) - 1U)) != 0)
    return fail(ErrorCode::Invalid, "base64url text is cut short or has stray bits");
  return out;
}

std::string hex_encode(Bytes data) {
  std::string out;
  out.reserve(data.size() * 2);
  for (std::byte b : data) out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return out;
}

Result<std::vector<std::byte>> hex_decode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef0123456789ABCDEF";
  if (text.size() % 2 != 0) return fail(ErrorCode::Invalid, "an odd number of hex digits");
  std::vector<std::byte> out(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t digit = kDigits.find(text[i]);
    if (digit == std::string_view::npos) return fail(ErrorCode::Invalid, "text is not hex");
    out[i / 2] = (out[i / 2] << 4U) | static_cast<std::byte>(digit % 16);
  }
  return out;
}

}  // namespace countersign::base
