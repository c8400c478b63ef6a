// Account keys of other clients.
#pragma once

#include <filesystem>
#include <string>

#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct ForeignAccount {
  PrivateKey key;
  std::string url;             // "" where the files do not say it
  std::string program;         // "certbot", "lego", "acme.sh", "dehydrated", "countersign", or "" for a bare key
  std::filesystem::path file;  // the key's

  // For a person, when others can read the key; "" when they cannot.
  [[nodiscard]] std::string warning() const;
};

// `path`: a PEM or JWK private key; certbot's account folder (private_key.json, regr.json) or one of these files;
// lego's account folder (account.json, keys/NAME.key) or one of these; acme.sh's (account.key, account.json, ca.conf)
// or one of these; dehydrated's (account_key.pem, account_id.json, registration_info.json); our own (key.pem,
// account.json), from another machine. Error: NotFound, Denied, Invalid (says what it looked for).
[[nodiscard]] base::Result<ForeignAccount> read_foreign_account(const std::filesystem::path& path);

}  // namespace countersign::acme
