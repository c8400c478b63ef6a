// The challenges that are not standards yet: dns-account-01 (draft-ietf-acme-dns-account-label-03) and dns-persist-01
// (draft-ietf-acme-dns-persist: -01 as Pebble and boulder have it, -02 where the directory has an accountHashPrefix).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "acme/protocol/authorization.hpp"
#include "acme/protocol/directory.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// "_" and 16 characters of base32, lower case: stands before `_acme-challenge`. Stable over key rollovers.
[[nodiscard]] std::string dns_account_label(std::string_view account_url);

struct PersistRecord {
  std::string issuer_domain_name;
  std::string account_uri;
  bool wildcard = false;                // policy=wildcard
  std::optional<base::WallTime> until;  // persistUntil, whole seconds
};
// The TXT value at `_validation-persist.NAME`. Error: Invalid, when the issuer or the account cannot stand in one: a CA
// must not be able to add parameters of its own.
[[nodiscard]] base::Result<std::string> persist_value(const PersistRecord& record);
// The issuer's name that goes into the record: the first that the challenge offers and that is a domain name in lower
// case. Error: Protocol, when it offers none (or more than ten).
[[nodiscard]] base::Result<std::string> persist_issuer(const Challenge& challenge);
// Draft -01: the account's URL, or what the challenge says. Draft -02: the hash of `domain`, `thumbprint` and the URL
// behind the directory's accountHashPrefix.
[[nodiscard]] std::string persist_account_uri(const Directory& directory, const Challenge& challenge,
                                              const std::string& domain, const std::string& thumbprint,
                                              const std::string& account_url);

}  // namespace countersign::acme
