#include "dnsd/api/registrar_names.hpp"

#include <algorithm>
#include <array>

#include "base/name.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::array<std::size_t, 4> kDashes{8, 13, 18, 23};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_ldh_or_underscore(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

}  // namespace

std::string random_uuid() {
  std::array<std::byte, 16> octets{};
  base::fill_random(octets);
  octets[6] = (octets[6] & std::byte{0x0f}) | std::byte{0x40};  // version 4 (RFC 9562 §5.4)
  octets[8] = (octets[8] & std::byte{0x3f}) | std::byte{0x80};
  std::string text;
  text.reserve(36);
  for (std::byte octet : octets) {
    if (std::find(kDashes.begin(), kDashes.end(), text.size()) != kDashes.end()) text += '-';
    text += kHexDigits[std::to_integer<std::size_t>(octet >> 4)];
    text += kHexDigits[std::to_integer<std::size_t>(octet & std::byte{0x0f})];
  }
  return text;
}

std::optional<std::string> canonical_username(std::string_view text) {
  constexpr std::string_view kUrn = "urn:uuid:";
  constexpr std::size_t kDashed = 36, kPlain = 32;
  if (text.size() == kDashed + kUrn.size()) {
    if (!std::equal(kUrn.begin(), kUrn.end(), text.begin(), [](char a, char b) { return a == lower(b); }))
      return std::nullopt;
    text.remove_prefix(kUrn.size());
  } else if (text.size() == kDashed + 2 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, kDashed);
  }
  if (text.size() != kDashed && text.size() != kPlain) return std::nullopt;
  std::string canonical;
  canonical.reserve(kDashed);
  for (char c : text) {
    bool dash_here = std::find(kDashes.begin(), kDashes.end(), canonical.size()) != kDashes.end();
    if (dash_here) {
      canonical += '-';
      if (text.size() == kDashed) {
        if (c != '-') return std::nullopt;
        continue;
      }
    }
    char digit = lower(c);
    if (kHexDigits.find(digit) == std::string_view::npos || digit == '\0') return std::nullopt;
    canonical += digit;
  }
  return canonical;
}

Result<std::string> parse_subdomain(std::string_view text) {
  auto wrong = [&](std::string_view why) {
    return base::fail(ErrorCode::Invalid, "\"{}\" cannot be a registration's name: {}; write a domain like example.com",
                      base::printable(text, base::kMaxNameLength), why);
  };
  std::string_view rest = text;
  if (rest.ends_with('.')) rest.remove_suffix(1);
  std::string subdomain;
  std::size_t label = 0;
  for (char c : rest) {
    char small = lower(c);
    if (small == '.') {
      if (label == 0) return wrong("a label is empty");
      label = 0;
    } else if (!is_ldh_or_underscore(small)) {
      return wrong("it may have letters, digits, hyphens and underscores");
    } else if (++label > base::kMaxLabelLength) {
      return wrong("a label is longer than 63 characters");
    }
    subdomain += small;
  }
  if (label == 0) return wrong("a label is empty");
  return subdomain;
}

}  // namespace countersign::dnsd
