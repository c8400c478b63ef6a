#include "base/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/encoding.hpp"
#include "base/random.hpp"

namespace countersign::base {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> system_failure(std::string_view what, const fs::path& path) {
  int number = errno;
  return fail(system_code(number), "{} \"{}\": {}", what, path.string(), system_reason(number));
}

Result<void> write_all(int fd, std::string_view contents, const fs::path& path) {
  while (!contents.empty()) {
    ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_failure("cannot write", path);
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  // fchmod is not needed: the mode given to open() is exact, because callers never widen it and umask only narrows.
  if (::fsync(fd) != 0) return system_failure("cannot write", path);
  return {};
}

// A name beside `path` that nobody else has.
fs::path temporary_beside(const fs::path& path) {
  std::array<std::byte, 8> suffix{};
  fill_random(suffix);
  return path.parent_path() / fmt::format(".{}.{}", path.filename().string(), hex_encode(suffix));
}

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
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

Result<std::string> read_file(const fs::path& path, std::size_t limit) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_failure("cannot read", path);
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

Result<void> create_file(const fs::path& path, std::string_view contents, mode_t mode) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return system_failure("cannot create", path);
  if (auto written = write_all(file.get(), contents, path); !written) {
    ::unlink(path.c_str());
    return written;
  }
  return {};
}

Result<void> replace_file(const fs::path& path, std::string_view contents, mode_t mode) {
  fs::path temporary = temporary_beside(path);
  if (auto created = create_file(temporary, contents, mode); !created) {
    // The temporary name means nothing to a person.
    return fail(created.error().code, "cannot replace \"{}\": {}", path.string(), created.error().message);
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
  if (::symlink(target.c_str(), temporary.c_str()) != 0) return system_failure("cannot make the link", path);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto failure = system_failure("cannot switch the link", path);
    ::unlink(temporary.c_str());
    return failure;
  }
  return sync_directory(directory_of(path));
}

Result<void> make_directories(const fs::path& path, mode_t mode) {
  fs::path so_far;
  for (const fs::path& part : path) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), mode) == 0) {
      // mkdir() takes the umask off: STATE must be passable whatever the caller's is.
      if (::chmod(so_far.c_str(), mode) != 0) return system_failure("cannot set the mode of the folder", so_far);
      if (auto synced = sync_directory(directory_of(so_far)); !synced) return synced;
      continue;
    }
    int number = errno;
    struct stat existing{};
    if (::stat(so_far.c_str(), &existing) != 0) {
      errno = number;
      return system_failure("cannot make the folder", so_far);
    }
    if (!S_ISDIR(existing.st_mode))
      return fail(ErrorCode::Exists, "cannot make the folder \"{}\": a file has that name", so_far.string());
  }
  return {};
}

Result<void> sync_directory(const fs::path& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return system_failure("cannot sync the folder", path);
  return {};
}

}  // namespace countersign::base
