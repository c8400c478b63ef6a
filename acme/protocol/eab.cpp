#include "acme/protocol/eab.hpp"

#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "acme/protocol/jws.hpp"
#include "acme/protocol/openssl.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Mac = ExternalAccountBinding::Mac;

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const char* algorithm_of(Mac mac) {
  switch (mac) {
    case Mac::Hs256:
      return "HS256";
    case Mac::Hs384:
      return "HS384";
    case Mac::Hs512:
      break;
  }
  return "HS512";
}

const EVP_MD* digest_of(Mac mac) {
  switch (mac) {
    case Mac::Hs256:
      return EVP_sha256();
    case Mac::Hs384:
      return EVP_sha384();
    case Mac::Hs512:
      break;
  }
  return EVP_sha512();
}

Result<std::string> authenticate(const ExternalAccountBinding& binding, std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned int length = 0;
  if (HMAC(digest_of(binding.mac), binding.mac_key.data(), static_cast<int>(binding.mac_key.size()), octets_of(data),
           data.size(), mac.data(), &length) == nullptr)
    return fail(ErrorCode::Unavailable, "cannot compute the MAC of the external account binding: {}", openssl_reason());
  return base::base64url_encode(std::as_bytes(std::span(mac).first(length)));
}

// The bits of the last character that belong to no octet become zero, which the strict decoder wants: every other
// client ignores them, so a CA that hands out such a key would never notice.
void clear_stray_bits(std::string& text) {
  std::size_t rest = text.size() % 4;
  if (rest != 2 && rest != 3) return;
  std::size_t digit = kAlphabet.find(text.back());
  if (digit != std::string_view::npos) text.back() = kAlphabet[digit & (rest == 2 ? 0x30U : 0x3cU)];
}

}  // namespace

Result<std::string> parse_mac_key(std::string_view text, const std::string& source) {
  constexpr const char* kBlanks = " \t\r\n";
  std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return fail(ErrorCode::Invalid, "{}: there is no MAC key in it", source);
  std::string key(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
  for (int padding = 0; padding < 2 && key.ends_with('='); ++padding) key.pop_back();
  std::replace(key.begin(), key.end(), '+', '-');
  std::replace(key.begin(), key.end(), '/', '_');
  clear_stray_bits(key);
  auto octets = base::base64url_decode(key);
  // The decoder's message may quote the text, which is a secret.
  if (!octets || octets->empty())
    return fail(ErrorCode::Invalid,
                "{}: the MAC key is not base64url (RFC 4648 §5); copy exactly what the CA shows, nothing else", source);
  return std::string(base::as_text(*octets));
}

Result<std::string> bind_external_account(const ExternalAccountBinding& binding, const PrivateKey& account_key,
                                          const std::string& new_account_url) {
  if (binding.kid.empty() || base::valid_utf8(binding.kid) != binding.kid)
    return fail(ErrorCode::Invalid,
                "external account binding: the key identifier \"{}\" is {}; copy exactly what the CA shows",
                base::printable(binding.kid, 200), binding.kid.empty() ? "empty" : "not UTF-8");
  if (binding.mac_key.empty()) return fail(ErrorCode::Invalid, "external account binding: the MAC key is empty");
  auto jwk = account_key.jwk();
  if (!jwk) return jwk;
  // RFC 8555 §7.3.4: no nonce, and the URL of the outer JWS.
  std::string header = fmt::format(R"({{"alg":"{}","kid":{},"url":{}}})", algorithm_of(binding.mac),
                                   json_quoted(binding.kid), json_quoted(new_account_url));
  return compose_jws(header, *jwk, [&](std::string_view data) { return authenticate(binding, data); });
}

}  // namespace countersign::acme
