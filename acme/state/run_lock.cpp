#include "acme/state/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "acme/transport/interrupt.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// The holder of an account's lock waits for one or two answers of the CA.
constexpr std::chrono::milliseconds kRetryPeriod{10};

Result<base::Descriptor> open_lock(const std::filesystem::path& file) {
  base::Descriptor descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (descriptor) return descriptor;
  int number = errno;
  return fail(base::system_code(number), "cannot open the lock \"{}\": {}", file.string(), base::system_reason(number));
}

// For the message of whoever comes second; nothing depends on it.
void write_pid(int fd) {
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) == 0) static_cast<void>(!::pwrite(fd, pid.data(), pid.size(), 0));
}

Result<base::Descriptor> wait_for(const std::filesystem::path& file, int kind) {
  auto descriptor = open_lock(file);
  if (!descriptor) return descriptor;
  while (::flock(descriptor->get(), kind | LOCK_NB) != 0) {
    int number = errno;
    if (number != EWOULDBLOCK && number != EINTR)
      return fail(ErrorCode::Io, "cannot lock \"{}\": {}", file.string(), base::system_reason(number));
    if (!sleep_unless_interrupted(kRetryPeriod))
      return fail(ErrorCode::Interrupted, "interrupted while waiting for \"{}\"", file.string());
  }
  return descriptor;
}

}  // namespace

Result<RunLock> RunLock::take(const std::filesystem::path& file, const std::string& what) {
  auto descriptor = open_lock(file);
  if (!descriptor) return fail(descriptor.error());
  if (::flock(descriptor->get(), LOCK_EX | LOCK_NB) != 0) {
    int number = errno;
    if (number != EWOULDBLOCK)
      return fail(ErrorCode::Io, "cannot lock \"{}\": {}", file.string(), base::system_reason(number));
    std::string pid = base::read_file(file, 64).value_or("");
    while (pid.ends_with('\n')) pid.pop_back();
    return fail(ErrorCode::Exists, "another run, process {}, works on {}; wait until it is done",
                pid.empty() ? "unknown" : pid, what);
  }
  write_pid(descriptor->get());
  return RunLock(*std::move(descriptor));
}

Result<RunLock> RunLock::await(const std::filesystem::path& file) {
  auto descriptor = wait_for(file, LOCK_EX);
  if (!descriptor) return fail(descriptor.error());
  write_pid(descriptor->get());
  return RunLock(*std::move(descriptor));
}

Result<RunLock> RunLock::share(const std::filesystem::path& file) {
  auto descriptor = wait_for(file, LOCK_SH);
  if (!descriptor) return fail(descriptor.error());
  return RunLock(*std::move(descriptor));
}

}  // namespace countersign::acme
