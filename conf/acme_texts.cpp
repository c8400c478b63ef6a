#include "conf/acme_texts.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "conf/ca_directories.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxNameText = 1000;   // a name of 253 octets in U-labels has fewer
constexpr std::size_t kMaxCertName = 200;    // the files' names get endings
constexpr std::size_t kMaxLine = 255;        // no profile or common name is nearly as long
constexpr std::size_t kMaxCommand = 65'536;  // half of what the kernel takes as one argument

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_control(char c) {
  return (c >= '\0' && c < ' ') || c == '\x7f';
}

}  // namespace

Result<void> check_certificate_name(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::Invalid, "is empty; write a domain name, as in \"example.com\"");
  std::string_view rest = text.starts_with("*.") ? text.substr(2) : text;
  bool good = text.size() <= kMaxNameText && !rest.starts_with('.') && rest.find("..") == std::string_view::npos;
  for (char c : rest)
    good = good && !is_control(c) && std::string_view(" */:@,;\"'\\").find(c) == std::string_view::npos;
  if (!good || rest.find_first_not_of('.') == std::string_view::npos)
    return fail(ErrorCode::Invalid, "{} is not a domain name; write one, as in \"example.com\" or \"*.example.com\"",
                in_quotes(text));
  return {};
}

Result<void> check_cert_name_text(std::string_view text) {
  bool good =
      !text.empty() && text.size() <= kMaxCertName && is_lower_or_digit(text.front()) &&
      std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '.' || c == '_' || c == '-'; });
  if (!good)
    return fail(ErrorCode::Invalid,
                "{} cannot name a certificate; write at most {} lower-case letters, digits, \".\", \"_\" and \"-\", a "
                "letter or digit first",
                in_quotes(text), kMaxCertName);
  return {};
}

Result<void> check_line(std::string_view text) {
  if (std::ranges::any_of(text, is_control))
    return fail(ErrorCode::Invalid, "{} has a control character in it; remove it", in_quotes(text));
  if (text.size() > kMaxLine)
    return fail(ErrorCode::Invalid, "{} is longer than {} octets; write a shorter text", in_quotes(text), kMaxLine);
  return {};
}

Result<void> check_command(std::string_view text) {
  if (text.find_first_not_of(" \t\n") == std::string_view::npos)
    return fail(ErrorCode::Invalid, "is an empty command; write what /bin/sh shall run, or remove it");
  if (text.find('\0') != std::string_view::npos)
    return fail(ErrorCode::Invalid, "{} has a NUL in it; remove it", in_quotes(text));
  if (text.size() > kMaxCommand)
    return fail(ErrorCode::Invalid, "{} is longer than {} octets; put it into a script", in_quotes(text), kMaxCommand);
  return {};
}

Result<unsigned> parse_mode(std::string_view text) {
  unsigned mode = 0;
  bool good = text.size() == 3 || (text.size() == 4 && text.front() == '0');
  for (char c : text) {
    good = good && c >= '0' && c <= '7';
    mode = mode * 8 + static_cast<unsigned>(c - '0');
  }
  if (!good || (mode & ~0644U) != 0 || (mode & 0400U) == 0)
    return fail(ErrorCode::Invalid,
                "{} is not a mode for a key: its owner reads, nobody executes, only the owner writes; write 0600, 0640 "
                "or 0644, in quotes",
                in_quotes(text));
  return mode;
}

Result<void> check_date(std::string_view text) {
  if (!base::parse_rfc3339(text))
    return fail(ErrorCode::Invalid, "{} is not a date and time; write it as in \"2026-11-22T10:00:00Z\" (RFC 3339)",
                in_quotes(text));
  return {};
}

Result<void> check_server(std::string_view text) {
  auto wrong = [&] {
    return fail(ErrorCode::Invalid, "{} is not a daemon's address; write it as in \"https://auth.example.net\"",
                in_quotes(text));
  };
  // What is wrong with a URL is the same for a CA's.
  if (text.starts_with("http://") && !directory_url(text))
    return fail(ErrorCode::Invalid, "{} is not encrypted; write the daemon's https:// address", in_quotes(text));
  if (!text.starts_with("http") || !directory_url(text)) return wrong();
  std::string_view rest = text.substr(text.find("//") + 2);
  if (rest.find_first_of("?@") != std::string_view::npos) return wrong();
  return {};
}

std::string default_cert_name(std::string_view first_name) {
  std::string name(first_name.starts_with("*.") ? first_name.substr(2) : first_name);
  if (name.ends_with('.')) name.pop_back();
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return name;
}

}  // namespace countersign::conf
