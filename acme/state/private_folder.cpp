#include "acme/state/private_folder.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.hpp"

namespace countersign::acme {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> check_private_folder(const std::filesystem::path& folder) {
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0) {
    int number = errno;
    if (number == ENOENT) return {};
    return fail(base::system_code(number), "cannot use \"{}\": {}", folder.string(), base::system_reason(number));
  }
  uid_t own = ::geteuid();
  if (status.st_uid != own && status.st_uid != 0)
    return fail(ErrorCode::Denied,
                "\"{}\" belongs to the user {}, who can replace the keys in it; run this as that user, or `chown -R {} "
                "{}` when you trust what is in it",
                folder.string(), status.st_uid, own, folder.string());
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(ErrorCode::Denied,
                "\"{}\" can be written by others (mode {:04o}), who can replace the keys in it; `chmod go-w {}` when "
                "you trust what is in it",
                folder.string(), status.st_mode & 07777U, folder.string());
  return {};
}

}  // namespace countersign::acme
