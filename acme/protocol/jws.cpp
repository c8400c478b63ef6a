#include "acme/protocol/jws.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include "base/encoding.hpp"

namespace countersign::acme {
namespace {

std::string quoted(const std::string& text) {
  return boost::json::serialize(boost::json::value(text));
}

}  // namespace

base::Result<std::string> sign_jws(const PrivateKey& key, const JwsHeader& header, const std::string& payload) {
  std::string fields = fmt::format(R"({{"alg":"{}")", key.jws_algorithm());
  // RFC 8555 §6.2: exactly one of the two.
  if (header.account_url.empty()) {
    auto jwk = key.jwk();
    if (!jwk) return jwk;
    fields += fmt::format(R"(,"jwk":{})", *jwk);
  } else {
    fields += fmt::format(R"(,"kid":{})", quoted(header.account_url));
  }
  if (!header.nonce.empty()) fields += fmt::format(R"(,"nonce":{})", quoted(header.nonce));
  fields += fmt::format(R"(,"url":{}}})", quoted(header.url));

  std::string protected_part = base::base64url_encode(base::as_bytes(fields));
  std::string payload_part = base::base64url_encode(base::as_bytes(payload));
  auto signature = key.sign(protected_part + "." + payload_part);
  if (!signature) return signature;
  return fmt::format(R"({{"protected":"{}","payload":"{}","signature":"{}"}})", protected_part, payload_part,
                     *signature);
}

}  // namespace countersign::acme
