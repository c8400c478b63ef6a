#include "base/name.hpp"

#include <cctype>

namespace countersign::base {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// One octet of master-file text at `position`, which moves behind it. Only called with position < text.size().
Result<char> take_octet(std::string_view text, std::size_t& position) {
  char c = text[position++];
  if (c != '\\') return c;
  if (position == text.size()) return fail(ErrorCode::Invalid, "\"{}\" ends in a lone backslash", text);
  if (!is_digit(text[position])) return text[position++];
  if (text.size() - position < 3 || !is_digit(text[position + 1]) || !is_digit(text[position + 2]))
    return fail(ErrorCode::Invalid, "\"{}\" has an escape that is not \\DDD", text);
  int value = (text[position] - '0') * 100 + (text[position + 1] - '0') * 10 + (text[position + 2] - '0');
  if (value > 255) return fail(ErrorCode::Invalid, "\"{}\" has an escape above \\255", text);
  position += 3;
  return static_cast<char>(value);
}

// Checks the labels of an uncompressed name; returns how many octets it takes, 0 when it is not one.
std::size_t measure(std::string_view wire) {
  std::size_t position = 0;
  while (position < wire.size() && position < kMaxNameLength) {
    auto length = static_cast<unsigned char>(wire[position]);
    if (length == 0) return position + 1;
    if (length > kMaxLabelLength) return 0;
    position += 1U + length;
  }
  return 0;
}

}  // namespace

Result<Name> Name::parse(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::Invalid, "a domain name is empty");
  if (text == ".") return Name();
  std::string wire;
  std::string label;
  std::size_t position = 0;
  auto end_label = [&]() -> Result<void> {
    if (label.empty()) return fail(ErrorCode::Invalid, "\"{}\" has an empty label", text);
    if (label.size() > kMaxLabelLength)
      return fail(ErrorCode::Invalid, "\"{}\" has a label of more than 63 octets", text);
    wire.push_back(static_cast<char>(label.size()));
    wire += label;
    label.clear();
    return {};
  };
  while (position < text.size()) {
    if (text[position] == '.') {
      if (auto ended = end_label(); !ended) return fail(ended.error());
      ++position;
      continue;
    }
    auto octet = take_octet(text, position);
    if (!octet) return fail(octet.error());
    label.push_back(lower(*octet));
  }
  if (!label.empty()) {
    if (auto ended = end_label(); !ended) return fail(ended.error());
  }
  wire.push_back('\0');
  if (wire.size() > kMaxNameLength)
    return fail(ErrorCode::Invalid, "\"{}\" is longer than 255 octets (RFC 1035 §2.3.4)", text);
  return Name(std::move(wire));
}

Result<Name> Name::from_wire(Bytes wire) {
  auto text = as_text(wire);
  if (measure(text) != text.size() || text.empty()) return fail(ErrorCode::Invalid, "not an uncompressed domain name");
  std::string lowered(text);
  // Length octets are at most 63 and so below 'A': lowering every octet alike is safe.
  for (char& c : lowered) c = lower(c);
  return Name(std::move(lowered));
}

std::string Name::text() const {
  if (is_root()) return ".";
  std::string out;
  std::size_t position = 0;
  while (wire_[position] != '\0') {
    auto length = static_cast<unsigned char>(wire_[position++]);
    if (!out.empty()) out.push_back('.');
    for (std::size_t i = 0; i < length; ++i) {
      char c = wire_[position++];
      if (std::string_view(".\\\"();@$").find(c) != std::string_view::npos)
        out += {'\\', c};
      else if (c < '!' || c > '~')
        out += fmt::format("\\{:03}", static_cast<unsigned char>(c));
      else
        out.push_back(c);
    }
  }
  return out;
}

std::size_t Name::label_count() const {
  std::size_t count = 0;
  for (std::size_t position = 0; wire_[position] != '\0'; ++count)
    position += 1U + static_cast<unsigned char>(wire_[position]);
  return count;
}

std::string_view Name::first_label() const {
  return std::string_view(wire_).substr(1, static_cast<unsigned char>(wire_[0]));
}

Name Name::parent() const {
  if (is_root()) return {};
  return Name(wire_.substr(1U + static_cast<unsigned char>(wire_[0])));
}

bool Name::is_within(const Name& ancestor) const {
  if (ancestor.wire_.size() > wire_.size()) return false;
  std::size_t start = wire_.size() - ancestor.wire_.size();
  std::size_t position = 0;
  while (position < start) position += 1U + static_cast<unsigned char>(wire_[position]);
  return position == start && std::string_view(wire_).substr(start) == ancestor.wire_;
}

Result<Name> Name::child(std::string_view label) const {
  if (label.empty() || label.size() > kMaxLabelLength)
    return fail(ErrorCode::Invalid, "a label of {} octets cannot stand before \"{}\"; 1 to 63 are allowed",
                label.size(), text());
  std::string wire;
  wire.reserve(1 + label.size() + wire_.size());
  wire.push_back(static_cast<char>(label.size()));
  for (char c : label) wire.push_back(lower(c));
  wire += wire_;
  if (wire.size() > kMaxNameLength)
    return fail(ErrorCode::Invalid, "a label of {} octets before \"{}\" makes it longer than 255 octets", label.size(),
                text());
  return Name(std::move(wire));
}

Result<Name> Name::prepend(const Name& prefix) const {
  std::string wire = prefix.wire_.substr(0, prefix.wire_.size() - 1) + wire_;
  if (wire.size() > kMaxNameLength)
    return fail(ErrorCode::Invalid, "\"{}.{}\" is longer than 255 octets (RFC 1035 §2.3.4)", prefix.text(), text());
  return Name(std::move(wire));
}

}  // namespace countersign::base
