#include "acme/issue/identifier.hpp"

#include <arpa/inet.h>
#include <idn2.h>

#include <algorithm>

#include "base/handle.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using IdnText = base::Handle<char, idn2_free>;

constexpr std::string_view kChallengeLabel = "_acme-challenge";  // RFC 8555 §8.4

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_address(std::string text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  in6_addr storage{};
  return inet_pton(AF_INET, text.c_str(), &storage) == 1 || inet_pton(AF_INET6, text.c_str(), &storage) == 1;
}

// IDNA 2008 with the UTS 46 mapping (case, full-width forms, ideographic full stops), non-transitional as in browsers.
Result<std::string> to_a_labels(const std::string& text) {
  if (is_ascii(text)) return text;
  char* raw = nullptr;
  int status = idn2_to_ascii_8z(text.c_str(), &raw, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  IdnText converted(raw);
  if (status != IDN2_OK)
    return fail(ErrorCode::Invalid, "not a valid internationalised name: {}", idn2_strerror(status));
  return std::string(converted.get());
}

// RFC 5890 §2.3.2.1: an A-label is what its own U-label is converted to. Any other would only be refused later, by the
// CA.
bool is_a_label(const std::string& label) {
  char* raw = nullptr;
  int status = idn2_to_unicode_8z8z(label.c_str(), &raw, 0);
  IdnText decoded(raw);
  if (status != IDN2_OK) return false;
  char* again = nullptr;
  status = idn2_to_ascii_8z(decoded.get(), &again, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  IdnText encoded(again);
  return status == IDN2_OK && label == encoded.get();
}

Result<void> check_label(std::string_view label) {
  if (label.empty()) return fail(ErrorCode::Invalid, "it has an empty label");
  if (label.size() > base::kMaxLabelLength)
    return fail(ErrorCode::Invalid, "the label \"{}\" is longer than 63 octets", label);
  // RFC 5280 §4.2.1.6: a dNSName is in the preferred syntax of RFC 1034 §3.5 (letters, digits, hyphens).
  for (char c : label) {
    bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!fits)
      return fail(ErrorCode::Invalid, "the label \"{}\" has a character other than letters, digits and hyphens", label);
  }
  if (label.front() == '-' || label.back() == '-')
    return fail(ErrorCode::Invalid, "the label \"{}\" begins or ends with a hyphen", label);
  if (label.starts_with("xn--") && !is_a_label(std::string(label)))
    return fail(ErrorCode::Invalid, "the label \"{}\" is no valid A-label (RFC 5890)", label);
  return {};
}

// `base` without its wildcard, in A-labels and lower case.
Result<void> check_base(const std::string& base_name) {
  if (base_name.empty()) return fail(ErrorCode::Invalid, "it has no domain name");
  if (base_name.find('*') != std::string::npos)
    return fail(ErrorCode::Invalid, "a wildcard must be the whole leftmost label, as in *.example.com");
  std::size_t begin = 0;
  std::size_t labels = 0;
  std::string_view last;
  for (;;) {
    std::size_t end = base_name.find('.', begin);
    last = std::string_view(base_name).substr(begin, end == std::string::npos ? end : end - begin);
    if (auto checked = check_label(last); !checked) return checked;
    ++labels;
    if (end == std::string::npos) break;
    begin = end + 1;
  }
  if (labels < 2)
    return fail(ErrorCode::Invalid, "a single label gets no certificate; give the whole name, as in www.example.com");
  if (last == "onion") return fail(ErrorCode::Invalid, "dns-01 cannot prove a .onion name (RFC 9799)");
  if (std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return fail(ErrorCode::Invalid, "its last label \"{}\" is a number, so it is no domain name", last);
  return {};
}

Result<std::string> normalised(std::string_view given) {
  std::string text(given);
  if (text.find('\0') != std::string::npos) return fail(ErrorCode::Invalid, "it has a NUL octet");
  if (text.find("://") != std::string::npos) return fail(ErrorCode::Invalid, "it is a URL; give just the host name");
  if (is_address(text))
    return fail(ErrorCode::Invalid, "it is an IP address, which dns-01 cannot prove (RFC 8738); give a domain name");
  std::string wildcard;
  if (text.starts_with("*.")) {
    wildcard = "*.";
    text.erase(0, 2);
  }
  auto converted = to_a_labels(text);
  if (!converted) return converted;
  for (char& c : *converted)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  if (converted->ends_with('.')) converted->pop_back();
  if (auto checked = check_base(*converted); !checked) return fail(checked.error());
  return wildcard + *converted;
}

}  // namespace

Result<DnsIdentifier> DnsIdentifier::parse(std::string_view text) {
  auto name = normalised(text);
  if (!name) return fail(name.error().code, "\"{}\" cannot be in a certificate: {}", text, name.error().message);
  DnsIdentifier identifier;
  identifier.text_ = *std::move(name);
  auto base_name = base::Name::parse(identifier.base_text());
  auto challenge = base_name ? base_name->child(kChallengeLabel) : base_name;
  if (!challenge)
    return fail(ErrorCode::Invalid, "\"{}\" is too long: with {}. in front it exceeds 255 octets", text,
                kChallengeLabel);
  identifier.challenge_name_ = *std::move(challenge);
  return identifier;
}

std::string DnsIdentifier::base_text() const {
  return is_wildcard() ? text_.substr(2) : text_;
}

Result<std::vector<DnsIdentifier>> parse_identifiers(const std::vector<std::string>& texts) {
  std::vector<DnsIdentifier> identifiers;
  std::string problems;
  for (const std::string& text : texts) {
    auto identifier = DnsIdentifier::parse(text);
    if (!identifier) {
      problems += (problems.empty() ? "" : "; ") + identifier.error().message;
    } else if (std::find(identifiers.begin(), identifiers.end(), *identifier) == identifiers.end()) {
      identifiers.push_back(*std::move(identifier));
    }
  }
  if (!problems.empty()) return fail(ErrorCode::Invalid, "{}", problems);
  if (identifiers.empty()) return fail(ErrorCode::Invalid, "no domain name given");
  return identifiers;
}

}  // namespace countersign::acme
