// STATE/acme holds keys, so nobody else may be able to change what is in it.
#pragma once

#include <filesystem>

#include "base/result.hpp"

namespace countersign::acme {

// The folder belongs to this process' user or to root, and nobody else may write to it. One that is not there is fine.
// Error: Denied; says which command puts it right.
[[nodiscard]] base::Result<void> check_private_folder(const std::filesystem::path& folder);

}  // namespace countersign::acme
