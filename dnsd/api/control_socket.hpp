// The Unix socket that `countersign` and others on this host talk to.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace countersign::dnsd {

// Listens on `path`, mode 0660, its group set to `group` when given; makes its folder (0755) when that is missing. A
// socket that nobody listens on is replaced. Error: Exists (another process listens there, or it is no socket),
// Denied, Io, Invalid (longer than a socket's path can be).
[[nodiscard]] base::Result<base::Descriptor> bind_control_socket(const std::filesystem::path& path,
                                                                 std::optional<gid_t> group);

// Where a Unix socket is bound; "" for one without a name or with an abstract one.
[[nodiscard]] std::filesystem::path socket_path(const base::Descriptor& socket);

}  // namespace countersign::dnsd
