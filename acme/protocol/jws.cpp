#include "acme/protocol/jws.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include "base/encoding.hpp"

namespace countersign::acme {

std::string json_quoted(const std::string& text) {
  return boost::json::serialize(boost::json::value(text));
}

base::Result<std::string> compose_jws(const std::string& protected_header, const std::string& payload,
                                      const std::function<base::Result<std::string>(std::string_view)>& sign) {
  std::string protected_part = base::base64url_encode(base::as_bytes(protected_header));
  std::string payload_part = base::base64url_encode(base::as_bytes(payload));
  auto signature = sign(protected_part + "." + payload_part);
  if (!signature) return signature;
  return fmt::format(R"({{"protected":"{}","payload":"{}","signature":"{}"}})", protected_part, payload_part,
                     *signature);
}

base::Result<std::string> sign_jws(const PrivateKey& key, const JwsHeader& header, const std::string& payload) {
  std::string fields = fmt::format(R"({{"alg":"{}")", key.jws_algorithm());
  // RFC 8555 §6.2: exactly one of the two.
  if (header.account_url.empty()) {
    auto jwk = key.jwk();
    if (!jwk) return jwk;
    fields += fmt::format(R"(,"jwk":{})", *jwk);
  } else {
    fields += fmt::format(R"(,"kid":{})", json_quoted(header.account_url));
  }
  if (!header.nonce.empty()) fields += fmt::format(R"(,"nonce":{})", json_quoted(header.nonce));
  fields += fmt::format(R"(,"url":{}}})", json_quoted(header.url));
  return compose_jws(fields, payload, [&](std::string_view data) { return key.sign(data); });
}

}  // namespace countersign::acme
