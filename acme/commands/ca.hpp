// The CA that a command about accounts or certificates talks to, and its account here.
#pragma once

#include <string>

#include "acme/commands/commands.hpp"
#include "acme/protocol/session.hpp"
#include "acme/state/account_store.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// The directory URL of `ca`, an option's value; "" = acme.ca. Error: Usage.
[[nodiscard]] base::Result<std::string> chosen_directory(const Context& context, const std::string& ca);
// Error: as Session::open().
[[nodiscard]] base::Result<Session> open_session(const Context& context, const std::string& directory_url);
[[nodiscard]] base::Result<AccountStore> open_accounts(const Context& context, const std::string& directory_url);

// A conversation with the CA, in which nobody signs yet.
struct CaAccount {
  std::string directory_url;
  AccountStore store;
  Session session;
};
[[nodiscard]] base::Result<CaAccount> open_ca(const Context& context, const std::string& ca);
// The same, signing as the stored account. Error: NotFound, when there is none.
[[nodiscard]] base::Result<CaAccount> open_account(const Context& context, const std::string& ca);

// What is shown of an account.
struct AccountView {
  StoredAccount account;
  std::string key_type;
  std::string thumbprint;
  std::string folder;
  bool from_ca = false;
};
// Error: Invalid, Denied, Io.
[[nodiscard]] base::Result<AccountView> view_account(const AccountStore& store);
[[nodiscard]] std::string account_text(const AccountView& view);
// One JSON object; `status`: of what was done, "" = nothing was.
[[nodiscard]] std::string account_json(const AccountView& view, const std::string& done);

}  // namespace countersign::acme
