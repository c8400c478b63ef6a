// Files: read whole with a limit, replaced as a whole, durable when the call returns.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.hpp"
#include "base/result.hpp"

namespace countersign::base {

// Error: NotFound, Denied, Full (larger than `limit` octets), Io.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit = 16U << 20U);
// The same of a regular file only, for a path that somebody typed: a FIFO or a device would be waited for. Error also:
// Invalid (it is none).
[[nodiscard]] Result<std::string> read_regular_file(const std::filesystem::path& path, std::size_t limit = 16U << 20U);

// Creates `path`, which must not exist, with `mode` from its first byte; the contents are on the disk afterwards
// (the name is after sync_directory). Error: Exists, Denied, Io.
[[nodiscard]] Result<void> create_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

// Several of them, durable as above for little more than one costs. Nothing is left of any when one fails.
struct NewFile {
  std::filesystem::path path;
  std::string contents;
  mode_t mode;
};
[[nodiscard]] Result<void> create_files(const std::vector<NewFile>& files);

// Puts `contents` in place of `path` at once: readers see the old file or the new one, also after a power cut. Several
// processes may do it at the same time; the last one wins. What is written beside `path` (.NAME.new) and left by a
// process that was killed is cleared away by the next call. Error: Denied, Full, Io (the old file is untouched then).
[[nodiscard]] Result<void> replace_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

// Makes the symlink `path` point to `target` at once, durably. One process at a time for each `path`: the caller has a
// lock. Leftovers as above. Error: Denied, Full, Io.
[[nodiscard]] Result<void> replace_symlink(const std::filesystem::path& path, const std::string& target);

// Creates missing folders, each with `mode`, durably; existing ones are left alone. Error: Exists (no folder), Denied,
// Full, Io.
[[nodiscard]] Result<void> make_directories(const std::filesystem::path& path, mode_t mode);
// The same, but not durable yet; gives the folders for sync_directory(), which costs little after another sync.
[[nodiscard]] Result<std::vector<std::filesystem::path>> make_directories_unsynced(const std::filesystem::path& path,
                                                                                   mode_t mode);

// Is this the name of what the two above put beside a file, for a moment?
[[nodiscard]] bool is_temporary_name(std::string_view file_name);

// Names created, renamed or removed in `path` are on the disk afterwards. Error: Io.
[[nodiscard]] Result<void> sync_directory(const std::filesystem::path& path);

// `errno` in words.
[[nodiscard]] std::string system_reason(int error_number);
// NotFound, Exists, Denied, Full (no space) or Io.
[[nodiscard]] ErrorCode system_code(int error_number);

}  // namespace countersign::base
