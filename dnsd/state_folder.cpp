#include "dnsd/state_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/descriptor.hpp"
#include "base/files.hpp"

namespace countersign::dnsd {
namespace {

namespace fs = std::filesystem;
using base::Descriptor;
using base::ErrorCode;
using base::Result;

constexpr const char* kName = "dnsd";
constexpr std::array<const char*, 3> kStoreFiles{"store.sqlite3", "store.sqlite3-wal", "store.sqlite3-shm"};

tl::unexpected<base::Error> failure(const fs::path& path, int number) {
  return base::fail(base::system_code(number), "cannot prepare the folder \"{}\": {}", path.string(),
                    base::system_reason(number));
}

// After `user` was set, what an earlier run as root left here is the account's. Root alone could write here until now,
// so these are the files that they seem to be; a hard link could still be somebody's trick from before.
bool give_store(int folder, const Account& account) {
  for (const char* name : kStoreFiles) {
    Descriptor file(openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat found{};
    if (!file || fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode) || found.st_uid != 0 || found.st_nlink != 1)
      continue;
    if (fchown(file.get(), account.uid, account.gid) != 0) return false;
  }
  return true;
}

// Who owns STATE can put another folder in place of STATE/acme, where root writes keys (interface: only root can).
Result<void> check_state(int folder, const fs::path& path, const std::optional<Account>& account) {
  struct stat found{};
  if (fstat(folder, &found) != 0) return failure(path, errno);
  if (!account) return {};
  if (found.st_uid != geteuid() || (found.st_mode & 022U) != 0)
    return base::fail(ErrorCode::Denied,
                      "the folder \"{}\" belongs to the user with id {} and has mode {:04o}, so that others than root "
                      "could replace what is in it; chown root and chmod 755 it, or set state_dir",
                      path.string(), found.st_uid, found.st_mode & 07777U);
  // The daemon's user passes through it.
  if ((found.st_mode & 0755U) != 0755U && fchmod(folder, (found.st_mode & 07777U) | 0755U) != 0)
    return failure(path, errno);
  return {};
}

Result<void> own_folder(int folder, const fs::path& path, const std::optional<Account>& account) {
  struct stat found{};
  if (fstat(folder, &found) != 0) return failure(path, errno);
  uid_t self = geteuid();
  uid_t owner = account ? account->uid : self;
  if (found.st_uid != owner && found.st_uid != self)
    return base::fail(
        ErrorCode::Denied,
        "the folder \"{}\" belongs to the user with id {}; give it to \"{}\" (chown -R), or set state_dir",
        path.string(), found.st_uid, account ? account->name : std::to_string(owner));
  if (found.st_uid != owner && account) {
    if (!give_store(folder, *account) || fchown(folder, account->uid, account->gid) != 0) return failure(path, errno);
  }
  if ((found.st_mode & 07777U) != 0700 && fchmod(folder, 0700) != 0) return failure(path, errno);
  return {};
}

}  // namespace

Result<fs::path> prepare_state_folder(const fs::path& state, const std::optional<Account>& account) {
  mode_t before = umask(022);
  auto made = base::make_directories(state, 0755);
  umask(before);
  if (!made) return base::fail(made.error().code, "{}; start as root or set state_dir", made.error().message);
  fs::path path = state / kName;
  Descriptor parent(open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return failure(state, errno);
  if (auto checked = check_state(parent.get(), state, account); !checked) return base::fail(checked.error());
  if (mkdirat(parent.get(), kName, 0700) != 0 && errno != EEXIST) return failure(path, errno);
  Descriptor folder(openat(parent.get(), kName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder && (errno == ELOOP || errno == ENOTDIR))
    return base::fail(ErrorCode::Exists, "\"{}\" is a symlink or a file, not a folder; move it away or set state_dir",
                      path.string());
  if (!folder) return failure(path, errno);
  if (auto owned = own_folder(folder.get(), path, account); !owned) return base::fail(owned.error());
  if (auto synced = base::sync_directory(state); !synced) return base::fail(synced.error());
  return path;
}

}  // namespace countersign::dnsd
