// account.json: what is known of an account besides its key.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

struct StoredAccount {
  std::string url;
  std::string directory;
  std::string status;  // as the CA said last, or kDeactivating
  std::vector<std::string> contact;
  std::string orders;
  std::string terms;         // the URL that was agreed to; "" = none were, or not by this program
  std::string terms_agreed;  // when, RFC 3339
  std::string eab_kid;       // "" = made without external account binding
  // Of the key that the URL goes with, so that a key that was changed under it is noticed. "" = not known.
  std::string thumbprint;
  std::string written;  // RFC 3339
};

// The status between asking the CA to deactivate the account and its answer.
inline constexpr const char* kDeactivating = "deactivating";
// It is, and its files are to be put aside.
inline constexpr const char* kDeactivated = "deactivated";

[[nodiscard]] std::string account_document(const StoredAccount& account);
// `source` is named in the error. Members that are not known are ignored. Error: Invalid.
[[nodiscard]] base::Result<StoredAccount> parse_account(const std::string& text, const std::string& source);

}  // namespace countersign::acme
