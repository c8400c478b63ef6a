#include "dnsd/api/acme_dns_request.hpp"

#include <algorithm>
#include <array>

#include "base/address_range.hpp"
#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/registrar_names.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;

bool is_base64url(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

base::Result<std::vector<std::string>> parse_register(std::string_view body) {
  constexpr std::array<std::string_view, 1> kKeys{"allowfrom"};
  if (body.empty()) return std::vector<std::string>();
  auto malformed = [] { return base::fail(ErrorCode::Invalid, "malformed_json_payload"); };
  auto members = read_members(body, kKeys, JsonTail::Refused);
  if (!members) return malformed();
  JsonMember& allow_from = members->front();
  if (allow_from.kind == JsonMember::Kind::Absent || allow_from.kind == JsonMember::Kind::Null)
    return std::vector<std::string>();
  if (allow_from.kind != JsonMember::Kind::Texts) return malformed();
  std::vector<std::string> cidrs;
  for (std::string& cidr : allow_from.texts) {
    std::erase_if(cidr, [](char c) { return c == '[' || c == ']'; });
    bool is_new = std::find(cidrs.begin(), cidrs.end(), cidr) == cidrs.end();
    bool is_good = base::AddressRange::parse(cidr).has_value() && (!is_new || cidrs.size() < kMaxAllowFrom);
    if (!is_good) return base::fail(ErrorCode::Invalid, "invalid_allowfrom_cidr");
    if (is_new) cidrs.push_back(std::move(cidr));
  }
  return cidrs;
}

base::Result<AcmeDnsUpdate> parse_update(std::string_view body) {
  constexpr std::array<std::string_view, 2> kKeys{"subdomain", "txt"};
  auto members = read_members(body, kKeys, JsonTail::Ignored);
  if (!members) return base::fail(members.error());
  // `text` is "" for what is no text.
  return AcmeDnsUpdate{std::move((*members)[0].text), std::move((*members)[1].text)};
}

bool is_challenge_value(std::string_view text) {
  constexpr std::size_t kLength = 43;
  return text.size() == kLength && is_base64url(text);
}

bool is_api_key(std::string_view text) {
  constexpr std::size_t kLength = 40;
  return text.size() == kLength && is_base64url(text);
}

}  // namespace countersign::dnsd
