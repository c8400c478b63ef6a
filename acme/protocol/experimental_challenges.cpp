#include "acme/protocol/experimental_challenges.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "acme/protocol/openssl.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

constexpr std::size_t kLabelOctets = 10;  // of the hash: 16 characters of base32
constexpr std::size_t kMostIssuers = 10;  // draft-ietf-acme-dns-persist
constexpr std::size_t kLongestName = 253;
constexpr std::size_t kLongestLabel = 63;

Digest sha256(std::string_view text) {
  Digest digest{};
  SHA256(octets_of(text), text.size(), digest.data());
  return digest;
}

// RFC 4648 §6 of whole groups of five octets, in lower case.
std::string base32(std::span<const unsigned char> octets) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::string out;
  unsigned held = 0;
  unsigned bits = 0;
  for (unsigned char octet : octets) {
    held = (held << 8U) | octet;
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[(held >> (bits - 5)) & 0x1fU];
  }
  return out;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kLongestLabel && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

// The draft: A-labels in lower case, no dot at the end.
bool is_issuer_name(std::string_view name) {
  if (name.size() > kLongestName) return false;
  for (;;) {
    std::size_t dot = name.find('.');
    if (!is_label(name.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    name = name.substr(dot + 1);
  }
}

// RFC 8659 §4.2: what a parameter's value is made of. A ";" would smuggle in another parameter.
bool is_parameter_value(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~' && c != ';'; });
}

}  // namespace

std::string dns_account_label(std::string_view account_url) {
  Digest digest = sha256(account_url);
  return "_" + base32(std::span(digest).first(kLabelOctets));
}

Result<std::string> persist_value(const PersistRecord& record) {
  if (!is_issuer_name(record.issuer_domain_name))
    return fail(ErrorCode::Invalid, "dns-persist-01: the issuer \"{}\" is no domain name in lower case",
                base::printable(record.issuer_domain_name, 260));
  if (!is_parameter_value(record.account_uri))
    return fail(ErrorCode::Invalid,
                "dns-persist-01: the account \"{}\" cannot stand in a record (RFC 8659 §4.2: printable ASCII without "
                "spaces and semicolons)",
                base::printable(record.account_uri, 200));
  std::string value = fmt::format("{}; accounturi={}", record.issuer_domain_name, record.account_uri);
  if (record.wildcard) value += "; policy=wildcard";
  if (record.until) {
    auto since_epoch = std::chrono::floor<std::chrono::seconds>(record.until->time_since_epoch());
    value += fmt::format("; persistUntil={}", since_epoch.count());
  }
  return value;
}

Result<std::string> persist_issuer(const Challenge& challenge) {
  const std::vector<std::string>& offered = challenge.issuer_domain_names;
  if (offered.empty() || offered.size() > kMostIssuers)
    return fail(ErrorCode::Protocol, "the dns-persist-01 challenge {} offers {} issuer names, expected 1 to {}",
                base::printable(challenge.url, 200), offered.size(), kMostIssuers);
  auto found = std::find_if(offered.begin(), offered.end(), is_issuer_name);
  if (found == offered.end())
    return fail(ErrorCode::Protocol,
                "the dns-persist-01 challenge {} offers no issuer that is a domain name in lower case: \"{}\"",
                base::printable(challenge.url, 200), base::printable(offered.front(), 260));
  return *found;
}

std::string persist_account_uri(const Directory& directory, const Challenge& challenge, const std::string& domain,
                                const std::string& thumbprint, const std::string& account_url) {
  if (directory.account_hash_prefix.empty()) return challenge.account_uri.empty() ? account_url : challenge.account_uri;
  // The length keeps domain and thumbprint apart; a name has at most 253 octets.
  std::string bound(1, static_cast<char>(domain.size()));
  Digest digest = sha256(bound + domain + thumbprint + account_url);
  return directory.account_hash_prefix + "sha-256/" + base::base64url_encode(std::as_bytes(std::span(digest)));
}

}  // namespace countersign::acme
