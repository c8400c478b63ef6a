#include "base/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace countersign::base {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> system_failure(std::string_view what, const fs::path& path) {
  int number = errno;
  return fail(system_code(number), "{} \"{}\": {}", what, path.string(), system_reason(number));
}

Result<void> write_unsynced(int fd, std::string_view contents, const fs::path& path) {
  while (!contents.empty()) {
    ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure("cannot write", path);
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> sync_file(int fd, const fs::path& path) {
  if (::fsync(fd) != 0) return system_failure("cannot write", path);
  return {};
}

Result<void> write_all(int fd, std::string_view contents, const fs::path& path) {
  if (auto written = write_unsynced(fd, contents, path); !written) return written;
  return sync_file(fd, path);
}

// The mode given to open() is exact, because callers never widen it and umask only narrows.
Result<Descriptor> create(const fs::path& path, mode_t mode) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return system_failure("cannot create", path);
  return file;
}

constexpr std::string_view kTemporary = ".new";

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}{}", path.filename().string(), kTemporary);
}

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// One of ours, that nobody else has a name for: what is a link, or somebody else's, is not written to.
bool is_own_file(const struct stat& status) {
  return S_ISREG(status.st_mode) && status.st_nlink == 1 && status.st_uid == ::geteuid();
}

enum class Turn { Ours, Again };

// Waits for the lock on what was opened at `path`, and looks whether it is still there.
Result<Turn> take_turn(const Descriptor& file, const fs::path& path) {
  while (::flock(file.get(), LOCK_EX) != 0)
    if (errno != EINTR) return system_failure("cannot lock", path);
  struct stat opened{}, named{};
  if (::fstat(file.get(), &opened) != 0) return system_failure("cannot create", path);
  bool there = ::lstat(path.c_str(), &named) == 0;
  // Whoever had the lock before has put it into its place.
  if (!there || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) return Turn::Again;
  if (is_own_file(opened)) return Turn::Ours;
  if (::unlink(path.c_str()) != 0) return system_failure("cannot remove", path);
  return Turn::Again;
}

// An empty file at `path`, with a lock on it that ends with the process: a killed one's leftover is simply used again,
// and nobody has to look for leftovers.
Result<Descriptor> open_temporary(const fs::path& path, mode_t mode) {
  for (;;) {
    // Without O_TRUNC: it may still be somebody's turn.
    Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!file && (errno == ELOOP || errno == ENXIO)) {
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure("cannot remove", path);
      continue;
    }
    if (!file) return system_failure("cannot create", path);
    auto turn = take_turn(file, path);
    if (!turn) return fail(turn.error());
    if (*turn == Turn::Again) continue;
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return system_failure("cannot create", path);
    // A new one is empty, and has its mode, less what the umask takes.
    bool wider = (status.st_mode & 07777U & ~mode) != 0;
    if ((status.st_size > 0 && ::ftruncate(file.get(), 0) != 0) || (wider && ::fchmod(file.get(), mode) != 0))
      return system_failure("cannot create", path);
    return file;
  }
}

}  // namespace

std::string system_reason(int error_number) {
  std::array<char, 128> buffer{};
  // The GNU variant: returns the text, in the buffer or elsewhere.
  const char* text = strerror_r(error_number, buffer.data(), buffer.size());
  std::string reason = text;
  if (!reason.empty() && reason[0] >= 'A' && reason[0] <= 'Z') reason[0] = static_cast<char>(reason[0] + ('a' - 'A'));
  return reason;
}

ErrorCode system_code(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::NotFound;
    case EEXIST:
      return ErrorCode::Exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::Denied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::Full;
    default:
      return ErrorCode::Io;
  }
}

namespace {

Result<std::string> read_all(const Descriptor& file, const fs::path& path, std::size_t limit) {
  std::string contents;
  std::vector<char> buffer(65536);
  for (;;) {
    ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("cannot read", path);
    if (got == 0) return contents;
    if (limit - contents.size() < static_cast<std::size_t>(got))
      return fail(ErrorCode::Full, "\"{}\" is larger than {} octets", path.string(), limit);
    contents.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<std::string> read_file(const fs::path& path, std::size_t limit) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_failure("cannot read", path);
  return read_all(file, path, limit);
}

Result<std::string> read_regular_file(const fs::path& path, std::size_t limit) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return system_failure("cannot read", path);
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::Invalid, "\"{}\" is no regular file", path.string());
  return read_all(file, path, limit);
}

Result<void> create_file(const fs::path& path, std::string_view contents, mode_t mode) {
  auto file = create(path, mode);
  if (!file) return fail(file.error());
  if (auto written = write_all(file->get(), contents, path); !written) {
    ::unlink(path.c_str());
    return written;
  }
  return {};
}

Result<void> create_files(const std::vector<NewFile>& files) {
  std::vector<Descriptor> opened;
  Result<void> done;
  for (const NewFile& file : files) {
    auto made = create(file.path, file.mode);
    if (!made) {
      done = fail(made.error());
      break;
    }
    opened.push_back(*std::move(made));
    if (done = write_unsynced(opened.back().get(), file.contents, file.path); !done) break;
    // Not a promise, but a beginning: the first fsync() below then ends in one commit of the file system's journal for
    // all of them, where each would need its own.
    static_cast<void>(::sync_file_range(opened.back().get(), 0, 0, SYNC_FILE_RANGE_WRITE));
  }
  for (std::size_t i = 0; done && i < opened.size(); ++i) done = sync_file(opened[i].get(), files[i].path);
  for (std::size_t i = 0; !done && i < opened.size(); ++i) ::unlink(files[i].path.c_str());
  return done;
}

Result<void> replace_file(const fs::path& path, std::string_view contents, mode_t mode) {
  fs::path temporary = temporary_beside(path);
  auto file = open_temporary(temporary, mode);
  auto written = file ? write_all(file->get(), contents, temporary) : Result<void>(fail(file.error()));
  if (!written) {
    if (file) ::unlink(temporary.c_str());
    // The temporary name means nothing to a person.
    return fail(written.error().code, "cannot replace \"{}\": {}", path.string(), written.error().message);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto failure = system_failure("cannot replace", path);
    ::unlink(temporary.c_str());
    return failure;
  }
  return sync_directory(directory_of(path));
}

Result<void> replace_symlink(const fs::path& path, const std::string& target) {
  fs::path temporary = temporary_beside(path);
  int made = ::symlink(target.c_str(), temporary.c_str());
  if (made != 0 && errno == EEXIST && ::unlink(temporary.c_str()) == 0)
    made = ::symlink(target.c_str(), temporary.c_str());
  if (made != 0) return system_failure("cannot make the link", path);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto failure = system_failure("cannot switch the link", path);
    ::unlink(temporary.c_str());
    return failure;
  }
  return sync_directory(directory_of(path));
}

bool is_temporary_name(std::string_view file_name) {
  return file_name.size() > 1 + kTemporary.size() && file_name.starts_with('.') && file_name.ends_with(kTemporary);
}

Result<void> make_directories(const fs::path& path, mode_t mode) {
  auto made = make_directories_unsynced(path, mode);
  if (!made) return fail(made.error());
  for (const fs::path& folder : *made)
    if (auto synced = sync_directory(folder); !synced) return synced;
  return {};
}

Result<std::vector<fs::path>> make_directories_unsynced(const fs::path& path, mode_t mode) {
  std::vector<fs::path> changed;
  if (path.empty()) return changed;
  if (!path.has_filename() && path.has_relative_path())  // "a/b/"
    return make_directories_unsynced(path.parent_path(), mode);
  // Mostly it is there, or only its last part is missing.
  int number = ::mkdir(path.c_str(), mode) == 0 ? 0 : errno;
  if (number == ENOENT || number == ENOTDIR) {
    auto above = make_directories_unsynced(path.parent_path(), mode);
    if (!above) return above;
    changed = *std::move(above);
    number = ::mkdir(path.c_str(), mode) == 0 ? 0 : errno;
  }
  if (number == 0) {
    // mkdir() takes the umask off: STATE must be passable whatever the caller's is.
    if (::chmod(path.c_str(), mode) != 0) return system_failure("cannot set the mode of the folder", path);
    changed.push_back(directory_of(path));
    return changed;
  }
  struct stat existing{};
  bool there = ::stat(path.c_str(), &existing) == 0;
  if (there && S_ISDIR(existing.st_mode)) return changed;
  if (there) return fail(ErrorCode::Exists, "cannot make the folder \"{}\": a file has that name", path.string());
  errno = number;
  return system_failure("cannot make the folder", path);
}

Result<void> sync_directory(const fs::path& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return system_failure("cannot sync the folder", path);
  return {};
}

}  // namespace countersign::base
