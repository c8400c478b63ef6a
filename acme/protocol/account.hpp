// The account resource (RFC 8555 §7.1.2, §7.3).
#pragma once

#include <string>
#include <vector>

#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

enum class Terms { NotAgreed, Agreed };

struct Account {
  std::string url;
  std::string status;
  std::vector<std::string> contact;
};

// Both sign with the session's key and, when they succeed, make the session's requests name the account.

// Creates the key's account, or gives the existing one back. Error: Refused, when the CA has terms of service that were
// not agreed to (names their URL) or wants an external account binding; and what post() says.
[[nodiscard]] base::Result<Account> new_account(Session& session, const std::vector<std::string>& contact, Terms terms);

// The key's existing account (RFC 8555 §7.3.1). Error: NotFound, when it has none.
[[nodiscard]] base::Result<Account> find_account(Session& session);

}  // namespace countersign::acme
