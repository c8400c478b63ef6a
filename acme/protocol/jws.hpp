// JSON Web Signatures as ACME has them: flattened, one signature (RFC 8555 §6.2).
#pragma once

#include <string>

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

}  // namespace countersign::acme
