// STATE and STATE/dnsd with their owners and modes.
#pragma once

#include <filesystem>
#include <optional>

#include "base/result.hpp"
#include "dnsd/privileges.hpp"

namespace countersign::dnsd {

// Makes what is missing: `state` (0755) and in it dnsd (0700, given to `account`). With an account, `state` must be
// root's and writable by nobody else. dnsd is taken only when it is a folder of root's or of the account's, never
// through a symlink. Returns the path of dnsd. Error: Denied, Exists, Io.
[[nodiscard]] base::Result<std::filesystem::path> prepare_state_folder(const std::filesystem::path& state,
                                                                       const std::optional<Account>& account);

}  // namespace countersign::dnsd
