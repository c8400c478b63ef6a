// The CERTs that this machine knows.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

// Those that have a STATE/acme/certificates/CERT.json, in the order of their names; none when nothing was ever issued
// here. Makes no folder. Error: Denied, Io.
[[nodiscard]] base::Result<std::vector<std::string>> certificate_names(const std::filesystem::path& acme_directory);

}  // namespace countersign::acme
