// ACME accounts on the disk: STATE/acme/accounts/HOST_PORT/PATH/{key.pem,account.json}, one for each directory URL.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "acme/protocol/account.hpp"
#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class AccountStore {
 public:
  // `acme_directory`: STATE/acme. Error: Invalid, for what is no URL.
  [[nodiscard]] static base::Result<AccountStore> open(const std::filesystem::path& acme_directory,
                                                       const std::string& directory_url);

  struct Consent {
    std::vector<std::string> contact;
    Terms terms = Terms::NotAgreed;
  };
  // Makes the session sign as the stored account, which is made first where there is none. The key is on the disk
  // before the CA hears of it; an account whose URL got lost is found again by its key. Gives one line for a person.
  // Error: Invalid (a broken file), Denied, Io, and what the CA says.
  [[nodiscard]] base::Result<std::string> use(Session& session, const Consent& consent);
  // The CA does not know the account any more: makes a new one with the same key.
  [[nodiscard]] base::Result<std::string> make_again(Session& session, const Consent& consent);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  explicit AccountStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] base::Result<bool> use_stored(Session& session) const;
  [[nodiscard]] base::Result<void> load_or_make_key(Session& session) const;
  [[nodiscard]] base::Result<void> save(const Session& session, const Account& account, const Consent& consent) const;

  std::filesystem::path folder_;
};

}  // namespace countersign::acme
