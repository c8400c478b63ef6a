// Files: read whole with a limit, replaced as a whole, durable when the call returns.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace countersign::base {

// Error: NotFound, Denied, Full (larger than `limit` octets), Io.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit = 16U << 20U);

// Creates `path`, which must not exist, with `mode` from its first byte; the contents are on the disk afterwards
// (the name is after sync_directory). Error: Exists, Denied, Io.
[[nodiscard]] Result<void> create_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

// Puts `contents` in place of `path` at once: readers see the old file or the new one, also after a power cut.
// Error: Denied, Io (the old file is untouched then).
[[nodiscard]] Result<void> replace_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

// Makes the symlink `path` point to `target` at once, durably. Error: Denied, Io.
[[nodiscard]] Result<void> replace_symlink(const std::filesystem::path& path, const std::string& target);

// Creates missing folders, each with `mode`; existing ones are left alone. Error: Denied, Io.
[[nodiscard]] Result<void> make_directories(const std::filesystem::path& path, mode_t mode);

// Names created, renamed or removed in `path` are on the disk afterwards. Error: Io.
[[nodiscard]] Result<void> sync_directory(const std::filesystem::path& path);

// `errno` in words.
[[nodiscard]] std::string system_reason(int error_number);
// NotFound, Exists, Denied, Full (no space) or Io.
[[nodiscard]] ErrorCode system_code(int error_number);

}  // namespace countersign::base
