// External account binding: an account at the CA's business, tied to the ACME account's key (RFC 8555 §7.3.4).
#pragma once

#include <string>
#include <string_view>

#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct ExternalAccountBinding {
  enum class Mac { Hs256, Hs384, Hs512 };
  std::string kid;
  std::string mac_key;  // octets
  Mac mac = Mac::Hs256;
};

// The MAC key as CAs hand it out: base64url, with or without padding, or plain base64; blanks around it are dropped.
// `source` is named in the error. Error: Invalid (not base64, empty).
[[nodiscard]] base::Result<std::string> parse_mac_key(std::string_view text, const std::string& source);

// The `externalAccountBinding` member of newAccount: a JWS over the account's public key. Error: what OpenSSL says.
[[nodiscard]] base::Result<std::string> bind_external_account(const ExternalAccountBinding& binding,
                                                              const PrivateKey& account_key,
                                                              const std::string& new_account_url);

}  // namespace countersign::acme
