// The daemon from its sockets to its end: what design.md calls a restart.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "conf/config.hpp"
#include "zones/static_zone.hpp"

namespace countersign::dnsd {

// Binds, drops privileges, opens the store, answers until SIGTERM or SIGINT, drains. `config` and `zones` have no
// problems. Error: what kept it from starting.
[[nodiscard]] base::Result<void> run_daemon(const conf::Config& config, std::vector<zones::StaticZone> zones);

}  // namespace countersign::dnsd
