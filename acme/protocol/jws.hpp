// JSON Web Signatures as ACME has them: flattened, one signature (RFC 8555 §6.2).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct JwsHeader {
  std::string url;          // byte for byte the request's (RFC 8555 §6.4)
  std::string nonce;        // "" = none
  std::string account_url;  // the `kid`; "" puts the public key in its place (`jwk`)
};

// `payload`: JSON, or "" for POST-as-GET (RFC 8555 §6.3).
[[nodiscard]] base::Result<std::string> sign_jws(const PrivateKey& key, const JwsHeader& header,
                                                 const std::string& payload);

// A JWS from its parts: `protected_header` is JSON; `sign` gives the base64url signature of its argument.
[[nodiscard]] base::Result<std::string> compose_jws(
    const std::string& protected_header, const std::string& payload,
    const std::function<base::Result<std::string>(std::string_view)>& sign);

// Text as a JSON string, with its quotes.
[[nodiscard]] std::string json_quoted(const std::string& text);

}  // namespace countersign::acme
