// The account resource (RFC 8555 §7.1.2, §7.3).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/protocol/eab.hpp"
#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

enum class Terms { NotAgreed, Agreed };

struct Account {
  std::string url;
  std::string status;
  std::vector<std::string> contact;
  std::string orders;  // URL of its list of orders; "" where the CA has none (RFC 8555 §7.1.2.1)
};

// What a new account is asked for with (RFC 8555 §7.3).
struct NewAccount {
  std::vector<std::string> contact = {};
  Terms terms = Terms::NotAgreed;
  std::optional<ExternalAccountBinding> binding = {};
};

// The first two sign with the session's key and, when they succeed, make the session's requests name the account.

// Creates the key's account, or gives the existing one back. Error: Refused, when the CA has terms of service that were
// not agreed to (names their URL) or wants an external account binding that was not given; and what post() says.
[[nodiscard]] base::Result<Account> new_account(Session& session, const NewAccount& wanted);

// The key's existing account (RFC 8555 §7.3.1). Error: NotFound, when it has none.
[[nodiscard]] base::Result<Account> find_account(Session& session);

// All below: of the account that the session signs as.

// RFC 8555 §7.3.2. Any status is given back. Error: NotFound, when the CA does not know it any more. `problem`: gets
// the CA's own words then.
[[nodiscard]] base::Result<Account> fetch_account(Session& session, Problem* problem = nullptr);
// RFC 8555 §7.3.2; an empty list removes all. Error: Refused (invalidContact, unsupportedContact).
[[nodiscard]] base::Result<Account> update_contact(Session& session, const std::vector<std::string>& contact);
// RFC 8555 §7.3.6. It cannot be undone.
[[nodiscard]] base::Result<Account> deactivate_account(Session& session);
// RFC 8555 §7.1.2.1: the URLs of all pages (at most 100 pages). Error: NotFound, when the CA keeps no such list.
[[nodiscard]] base::Result<std::vector<std::string>> list_orders(Session& session, const Account& account);
// RFC 8555 §7.3.5: asks the CA to take `next` in place of the session's key. The session still signs with the old one:
// the caller confirms by fetch_account() with the new one before the old one goes, because a CA may say 200 and keep
// the old. Error: Exists (409: `next` is another account's key; names that account), and what post() says.
[[nodiscard]] base::Result<void> change_key(Session& session, const PrivateKey& next);

}  // namespace countersign::acme
