#include "dnsd/api/request_target.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

enum class Plus { Literal, Space };

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == Plus::Space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return base::fail(ErrorCode::Invalid, "\"{}\" has a \"%\" without two hexadecimal digits; write %25", text);
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

// Up to `separator`; `rest` goes on behind it.
std::string_view take(std::string_view& rest, char separator) {
  std::size_t end = rest.find(separator);
  std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return part;
}

}  // namespace

Result<RequestTarget> RequestTarget::parse(std::string_view text) {
  if (!text.starts_with('/')) return base::fail(ErrorCode::Invalid, "\"{}\" is not a path; begin it with /", text);
  RequestTarget target;
  std::string_view query = text.substr(1);
  std::string_view path = take(query, '?');
  while (!path.empty()) {
    auto segment = decode(take(path, '/'), Plus::Literal);
    if (!segment) return base::fail(segment.error());
    target.path.push_back(std::move(*segment));
  }
  while (!query.empty()) {
    std::string_view value = take(query, '&');
    std::string_view key = take(value, '=');
    if (key.empty()) continue;
    auto decoded_key = decode(key, Plus::Space);
    auto decoded_value = decode(value, Plus::Space);
    if (!decoded_key) return base::fail(decoded_key.error());
    if (!decoded_value) return base::fail(decoded_value.error());
    target.query.emplace_back(std::move(*decoded_key), std::move(*decoded_value));
  }
  return target;
}

Result<std::optional<std::string>> RequestTarget::only_parameter(std::string_view key) const {
  std::optional<std::string> found;
  for (const auto& [name, value] : query) {
    if (name != key) {
      if (key.empty()) return base::fail(ErrorCode::Invalid, "unknown parameter \"{}\"; there is none here", name);
      return base::fail(ErrorCode::Invalid, "unknown parameter \"{}\"; there is only \"{}\" here", name, key);
    }
    if (found) return base::fail(ErrorCode::Invalid, "parameter \"{}\" is there twice", name);
    found = value;
  }
  return found;
}

}  // namespace countersign::dnsd
