#include "dnsd/api/httpreq_request.hpp"

#include <algorithm>
#include <array>

#include "base/encoding.hpp"
#include "base/text.hpp"
#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/password_helper.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;
using Kind = JsonMember::Kind;

constexpr std::string_view kChallengeLabel = "_acme-challenge";

// What follows the scheme, whose case does not matter (RFC 9110 §11.1), and the blanks.
std::optional<std::string_view> after_scheme(std::string_view field, std::string_view lower_scheme) {
  if (field.size() <= lower_scheme.size() || field[lower_scheme.size()] != ' ') return std::nullopt;
  bool same = std::equal(lower_scheme.begin(), lower_scheme.end(), field.begin(), [](char wanted, char c) {
    return wanted == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  });
  if (!same) return std::nullopt;
  std::size_t start = field.find_first_not_of(' ', lower_scheme.size());
  if (start == std::string_view::npos) return std::nullopt;
  return field.substr(start);
}

// A name from text of strangers: Name takes "" for the root, and quotes it raw in its errors.
Result<base::Name> parse_domain(std::string_view text, std::string_view what) {
  auto name = base::Name::parse(text);
  if (!name || name->is_root())
    return base::fail(ErrorCode::Invalid, "the {} is not a domain name: \"{}\"", what, base::printable(text, 300));
  return *name;
}

Result<HttpreqRequest> make_request(std::string fqdn, base::Name name, std::string_view text) {
  auto value = zones::TxtValue::parse(text);
  // Without quoting the value: acme.sh takes an answer with its value in quotes for success.
  if (!value)
    return base::fail(ErrorCode::Invalid,
                      "the value cannot be a TXT record: it must be 1 to {} printable ASCII characters",
                      zones::TxtValue::kMaxLength);
  return HttpreqRequest{std::move(fqdn), std::move(name), std::move(*value)};
}

Result<HttpreqRequest> parse_raw(std::string_view domain, std::string_view key_authorization) {
  if (domain.starts_with("*.")) domain.remove_prefix(2);
  if (key_authorization.empty()) return base::fail(ErrorCode::Invalid, "keyAuth is empty");
  auto parsed = parse_domain(domain, "domain");
  if (!parsed) return base::fail(parsed.error());
  auto name = challenge_name(*parsed);
  if (!name) return base::fail(name.error());
  std::string fqdn = name->text() + ".";
  // RFC 8555 §8.4.
  std::string value = base::base64url_encode(base::as_bytes(sha256_of(key_authorization)));
  return make_request(std::move(fqdn), std::move(*name), value);
}

}  // namespace

std::optional<BasicCredentials> parse_basic(std::string_view field) {
  auto encoded = after_scheme(field, "basic");
  if (!encoded) return std::nullopt;
  std::string text(*encoded);
  while (text.ends_with(' ')) text.pop_back();
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) {
    if (c == '+')
      c = '-';
    else if (c == '/')
      c = '_';
  }
  auto decoded = base::base64url_decode(text);
  if (!decoded) return std::nullopt;
  std::string_view pair = base::as_text(*decoded);
  std::size_t colon = pair.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return BasicCredentials{std::string(pair.substr(0, colon)), std::string(pair.substr(colon + 1))};
}

std::optional<std::string_view> parse_bearer(std::string_view field) {
  auto token = after_scheme(field, "bearer");
  if (!token) return std::nullopt;
  return token->substr(0, token->find_last_not_of(' ') + 1);
}

Result<HttpreqRequest> parse_httpreq(std::string_view body) {
  constexpr std::array<std::string_view, 4> kKeys{"fqdn", "value", "domain", "keyauth"};
  auto members = read_members(body, kKeys, JsonTail::Refused);
  if (!members) return base::fail(members.error());
  JsonMember& fqdn = (*members)[0];
  JsonMember& value = (*members)[1];
  if (fqdn.kind == Kind::Text && value.kind == Kind::Text) {
    auto name = parse_domain(fqdn.text, "fqdn");
    if (!name) return base::fail(name.error());
    return make_request(std::move(fqdn.text), std::move(*name), value.text);
  }
  JsonMember& domain = (*members)[2];
  JsonMember& key_authorization = (*members)[3];
  if (domain.kind == Kind::Text && key_authorization.kind == Kind::Text)
    return parse_raw(domain.text, key_authorization.text);
  return base::fail(ErrorCode::Invalid,
                    R"(the body must have the texts "fqdn" and "value", or "domain" and "keyAuth")");
}

Result<base::Name> challenge_name(const base::Name& domain) {
  return domain.child(kChallengeLabel);
}

}  // namespace countersign::dnsd
