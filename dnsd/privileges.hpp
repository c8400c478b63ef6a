// From root to the daemon's own user, for ever.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.hpp"

namespace countersign::dnsd {

struct Account {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Whom to become after binding; empty to stay what we are: `user` is "", or we are not root (a warning when somebody
// else was meant). Error: NotFound, with the command that adds the user.
[[nodiscard]] base::Result<std::optional<Account>> choose_account(const std::string& user);

// Becomes `account`, in none but its own group, and makes sure that there is no way back. Error: Denied.
[[nodiscard]] base::Result<void> become(const Account& account);

// In any case, before anything from outside is read: no capabilities (but those of a root that was told to stay), no
// new privileges by exec, no core dump, no debugger of the same user. Error: Denied.
[[nodiscard]] base::Result<void> harden_process();

}  // namespace countersign::dnsd
