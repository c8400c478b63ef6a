#include "base/text.hpp"

#include <algorithm>

namespace countersign::base {
namespace {

unsigned char octet_at(std::string_view text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

// RFC 3629 §4: what may follow the first octet, so that nothing is overlong, a surrogate or beyond U+10FFFF.
bool second_fits(unsigned char first, unsigned char second) {
  switch (first) {
    case 0xe0:
      return second >= 0xa0 && second <= 0xbf;
    case 0xed:
      return second >= 0x80 && second <= 0x9f;
    case 0xf0:
      return second >= 0x90 && second <= 0xbf;
    case 0xf4:
      return second >= 0x80 && second <= 0x8f;
    default:
      return second >= 0x80 && second <= 0xbf;
  }
}

std::size_t announced_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  std::size_t length = announced_length(octet_at(text, 0));
  if (length > text.size()) return 0;
  if (length >= 2 && !second_fits(octet_at(text, 0), octet_at(text, 1))) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if ((octet_at(text, i) & 0xc0U) != 0x80U) return 0;
  return length;
}

bool is_control(std::string_view character) {
  unsigned char first = octet_at(character, 0);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return character.size() == 2 && first == 0xc2 && octet_at(character, 1) < 0xa0;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = utf8_length(text);
    std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    if (character == "\n" || character == "\r" || character == "\t") {
      character = " ";
    } else if (length == 0 || is_control(character)) {
      character = "?";
    }
    if (out.size() + character.size() > limit) return out + "...";
    out += character;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = utf8_length(text);
    out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace countersign::base
