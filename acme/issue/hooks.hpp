// Programs of the operator's, run around an issuance by `/bin/sh -c`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

// What a hook is told by its environment: COUNTERSIGN_CERT, COUNTERSIGN_NAMES (space-separated), COUNTERSIGN_DIR (of
// live/CERT), COUNTERSIGN_ERROR, and certbot's RENEWED_LINEAGE, RENEWED_DOMAINS.
struct HookContext {
  std::string cert_name;  // "" before anything is known (pre hooks of several certificates)
  std::vector<std::string> names;
  std::filesystem::path directory;  // "" = none yet
  std::string error;                // of a failure hook
};

// Raises how many files this process may have open to all it can get; the hooks keep what it was before, as programs
// that use select() fail beyond 1024.
void raise_open_files();

// Runs the hooks one after another with stdin from /dev/null and stdout to stderr. Its own process group; an
// interruption is handed on as SIGTERM, and SIGKILL after 10 s. Error: Refused for the first that failed ("exit status
// 3", "killed by signal 9", "no /bin/sh"), naming it; the rest is not run. Interrupted.
[[nodiscard]] base::Result<void> run_hooks(const std::vector<std::string>& commands, const HookContext& context);

}  // namespace countersign::acme
