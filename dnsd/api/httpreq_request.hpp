// What clients of httpreq and acmeproxy send: pure functions of the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/name.hpp"
#include "base/result.hpp"
#include "zones/txt_value.hpp"

namespace countersign::dnsd {

struct BasicCredentials {
  std::string username, password;
};
// An Authorization field's (RFC 7617 §2); absent when it is of another scheme or malformed.
[[nodiscard]] std::optional<BasicCredentials> parse_basic(std::string_view field);
// The token (RFC 6750 §2.1); absent when it is of another scheme or empty.
[[nodiscard]] std::optional<std::string_view> parse_bearer(std::string_view field);

struct HttpreqRequest {
  std::string fqdn;  // as it was sent; raw mode: the domain's challenge name
  base::Name name;   // that
  zones::TxtValue value;
};
// {"fqdn","value"}, or raw mode's {"domain","token","keyAuth"}. Error: Invalid, for people.
[[nodiscard]] base::Result<HttpreqRequest> parse_httpreq(std::string_view body);

// `_acme-challenge.DOMAIN`. Error: Invalid, when it gets too long.
[[nodiscard]] base::Result<base::Name> challenge_name(const base::Name& domain);

}  // namespace countersign::dnsd
