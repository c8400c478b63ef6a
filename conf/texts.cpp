#include "conf/texts.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace countersign::conf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;

constexpr std::size_t kShownLength = 80;      // of a quoted value
constexpr std::size_t kComparedLength = 64;   // no known word is nearly as long
constexpr std::size_t kMaxLocalPart = 64;     // octets before the @ (RFC 5321 §4.5.3.1.1); a label holds 63
constexpr std::size_t kMaxPathLength = 4095;  // PATH_MAX less its NUL
constexpr std::size_t kMaxUserLength = 32;    // useradd(8)

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

// Letters, digits, hyphens inside, and `also`; reports the first character that is none.
Result<Name> parse_plain_name(std::string_view text, std::string_view also) {
  for (char c : text) {
    if (is_letter_or_digit(c) || c == '-' || c == '.' || also.find(c) != std::string_view::npos) continue;
    if (static_cast<unsigned char>(c) >= 0x80)
      return fail(ErrorCode::Invalid, "{} is not in ASCII; write its A-labels, as in \"xn--bcher-kva.example\"",
                  in_quotes(text));
    return fail(ErrorCode::Invalid, "{} has a {} in it; write a domain name, as in \"auth.example.net\"",
                in_quotes(text), c == ' ' ? std::string("space") : in_quotes(std::string_view(&c, 1)));
  }
  if (text.empty()) return fail(ErrorCode::Invalid, "is empty; write a domain name, as in \"auth.example.net\"");
  if (text.size() > base::kMaxNameLength)
    return fail(ErrorCode::Invalid, "{} is longer than 255 octets; write a shorter name", in_quotes(text));
  auto name = Name::parse(text);
  if (!name) return fail(ErrorCode::Invalid, "{}; write a domain name", name.error().message);
  for (Name rest = *name; !rest.is_root(); rest = rest.parent()) {
    if (rest.first_label().starts_with('-') || rest.first_label().ends_with('-'))
      return fail(ErrorCode::Invalid, "{} has a label that begins or ends with a hyphen; remove it", in_quotes(text));
  }
  return name;
}

// As useradd(8) and groupadd(8) accept it, or nothing.
bool is_system_name(std::string_view text) {
  bool good = text.size() <= kMaxUserLength && !text.starts_with('-');
  for (char c : text) good = good && (is_letter_or_digit(c) || std::string_view("_-.$").find(c) != std::string::npos);
  return good;
}

struct MailAddress {
  std::string_view local;
  Name domain;
};

// The dot-atom form of RFC 5322 §3.4.1 only: nobody's CA or hostmaster has a quoted local part.
Result<MailAddress> parse_mail_address(std::string_view text) {
  auto at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == text.size())
    return fail(ErrorCode::Invalid, "{} is not a mail address; write one, as in \"hostmaster@example.net\"",
                in_quotes(text));
  std::string_view local = text.substr(0, at);
  bool atoms = local.front() != '.' && local.back() != '.' && local.find("..") == std::string_view::npos;
  for (char c : local)
    atoms = atoms && (is_letter_or_digit(c) || std::string_view(".!#$%&'*+-/=?^_`{|}~").find(c) != std::string::npos);
  if (!atoms || local.size() > kMaxLocalPart)
    return fail(ErrorCode::Invalid, "{} is not a mail address: its part before the @ is not; write one, as in \"{}\"",
                in_quotes(text), "hostmaster@example.net");
  auto domain = parse_plain_name(text.substr(at + 1), "");
  if (!domain) return fail(ErrorCode::Invalid, "{} is not a mail address: {}", in_quotes(text), domain.error().message);
  if (domain->label_count() < 2)
    return fail(ErrorCode::Invalid, "{} is not a mail address of the Internet: its domain is a single label; {}",
                in_quotes(text), "write the whole domain");
  return MailAddress{local, *std::move(domain)};
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  bool cut = text.size() > kShownLength;
  if (cut) {
    text = text.substr(0, kShownLength);
    // Not in the middle of a UTF-8 character.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0U) == 0x80U) text.remove_suffix(1);
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0x80U) text.remove_suffix(1);
  }
  for (char c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out.push_back(c);
  }
  out += cut ? "...\"" : "\"";
  return out;
}

std::string_view nearest(std::string_view text, std::span<const std::string_view> candidates) {
  return *std::min_element(candidates.begin(), candidates.end(), [&](std::string_view a, std::string_view b) {
    return edit_distance(text.substr(0, kComparedLength), a) < edit_distance(text.substr(0, kComparedLength), b);
  });
}

Result<Name> parse_zone_name(std::string_view text) {
  if (text == ".")
    return fail(ErrorCode::Invalid, "\".\" is the root; write the zone that is delegated to this server");
  return parse_plain_name(text, "_");  // _acme-challenge.example.com may be a zone of its own
}

Result<Name> parse_host_name(std::string_view text) {
  auto name = parse_plain_name(text, "");
  if (name && name->label_count() < 2)
    return fail(ErrorCode::Invalid,
                "{} is a single label; names here are absolute: write the whole host name, as in "
                "\"ns1.auth.example.net\"",
                in_quotes(text));
  return name;
}

Result<Name> parse_hostmaster(std::string_view text) {
  auto address = parse_mail_address(text);
  if (!address) return fail(address.error());
  auto name = address->domain.child(address->local);
  if (!name)
    return fail(ErrorCode::Invalid, "{} does not fit into the SOA record; write a shorter address", in_quotes(text));
  return name;
}

Result<void> check_contact(std::string_view text) {
  constexpr std::string_view kScheme = "mailto:";
  if (!text.starts_with(kScheme))
    return fail(ErrorCode::Invalid, "{} does not begin with \"mailto:\"; write it as in \"mailto:admin@example.net\"",
                in_quotes(text));
  std::string_view address = text.substr(kScheme.size());
  if (address.find_first_of("?,") != std::string_view::npos)
    return fail(ErrorCode::Invalid, "{} is more than one plain address; write each as a string of its own",
                in_quotes(text));
  if (auto parsed = parse_mail_address(address); !parsed) return fail(parsed.error());
  return {};
}

Result<void> check_path(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::Invalid, "is empty; write an absolute path");
  if (!text.starts_with('/'))
    return fail(ErrorCode::Invalid, "{} is a relative path; write an absolute one, beginning with \"/\"",
                in_quotes(text));
  if (text.find('\0') != std::string_view::npos)
    return fail(ErrorCode::Invalid, "{} has a NUL in it; remove it", in_quotes(text));
  if (text.size() > kMaxPathLength)
    return fail(ErrorCode::Invalid, "{} is longer than {} octets; write a shorter path", in_quotes(text),
                kMaxPathLength);
  return {};
}

Result<void> check_plain_text(std::string_view text, std::size_t max) {
  for (char c : text)
    if (c < ' ' || c > '~')
      return fail(ErrorCode::Invalid, "{} has a character in it that is not printable ASCII; remove it",
                  in_quotes(text));
  if (text.size() > max)
    return fail(ErrorCode::Invalid, "{} is longer than {} octets; write a shorter text", in_quotes(text), max);
  return {};
}

Result<void> check_user(std::string_view text) {
  if (!is_system_name(text))
    return fail(ErrorCode::Invalid, "{} is not a user's name; write one, as in \"countersign\", or \"\" to stay",
                in_quotes(text));
  return {};
}

Result<void> check_group(std::string_view text) {
  if (!is_system_name(text))
    return fail(ErrorCode::Invalid, "{} is not a group's name; write one, as in \"ssl-cert\"", in_quotes(text));
  return {};
}

}  // namespace countersign::conf
