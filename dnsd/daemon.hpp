// The daemon from its sockets to its end: what design.md calls a restart.
#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "dnsd/configuration.hpp"

namespace countersign::dnsd {

// SIG_BLOCK before the configuration is read for the first time: a SIGHUP would end the process, and who sends one has
// perhaps changed the file just now. run_daemon() takes it from there.
void hold_reloads(int how);

// Binds, drops privileges, opens the store, answers until SIGTERM or SIGINT, drains. `configuration` has no problems;
// `file` is where it is from, to be read again by SIGHUP. Error: what kept it from starting.
[[nodiscard]] base::Result<void> run_daemon(Configuration configuration, const std::filesystem::path& file);

}  // namespace countersign::dnsd
