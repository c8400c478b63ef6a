#include "dnsd/privileges.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "base/files.hpp"
#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

// passwd entries larger than this belong to no system account.
constexpr std::size_t kEntrySize = 65536;

tl::unexpected<base::Error> denied(std::string_view what, int number) {
  return base::fail(ErrorCode::Denied, "cannot drop privileges: {}: {}", what, base::system_reason(number));
}

Result<std::optional<Account>> find_account(const std::string& user) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kEntrySize);
  int number = getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return std::optional<Account>(Account{user, entry.pw_uid, entry.pw_gid});
  // The manual page: these say "no such user" as well.
  if (number == 0 || number == ENOENT || number == ESRCH || number == EBADF || number == EPERM)
    return std::optional<Account>();
  return base::fail(ErrorCode::Io, "cannot look up the user \"{}\": {}", user, base::system_reason(number));
}

// The bounding set only matters to programs that are executed, and we execute none; it goes all the same.
void drop_bounding_set() {
  for (unsigned long capability = 0; capability <= CAP_LAST_CAP; ++capability)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct capability_header() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return header;
}

bool has_no_capabilities() {
  __user_cap_header_struct header = capability_header();
  CapabilityWords left{};
  if (syscall(SYS_capget, &header, left.data()) != 0) return false;
  for (const __user_cap_data_struct& word : left)
    if ((word.effective | word.permitted | word.inheritable) != 0) return false;
  return true;
}

bool drop_capabilities() {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // A service that never had one may not be allowed the call either (conf/countersignd-activated.service).
  if (has_no_capabilities()) return true;
  __user_cap_header_struct header = capability_header();
  CapabilityWords none{};
  return syscall(SYS_capset, &header, none.data()) == 0 && has_no_capabilities();
}

}  // namespace

Result<std::optional<Account>> choose_account(const std::string& user) {
  if (user.empty()) return std::optional<Account>();
  auto account = find_account(user);
  if (!account) return base::fail(account.error());
  if (geteuid() != 0) {
    if (!*account || (*account)->uid != geteuid())
      base::log::warn("not started as root, so the user stays",
                      {{"configured", user}, {"uid", std::to_string(geteuid())}});
    return std::optional<Account>();
  }
  if (!*account)
    return base::fail(ErrorCode::NotFound,
                      "the user \"{0}\" does not exist; add it with `adduser --system --group --no-create-home "
                      "--home /nonexistent {0}`, or set user",
                      user);
  return account;
}

Result<void> become(const Account& account) {
  drop_bounding_set();
  if (setgroups(1, &account.gid) != 0) return denied("groups", errno);
  if (setresgid(account.gid, account.gid, account.gid) != 0) return denied("group", errno);
  if (setresuid(account.uid, account.uid, account.uid) != 0) return denied("user", errno);
  uid_t real = 0, effective = 0, saved = 0;
  gid_t real_group = 0, effective_group = 0, saved_group = 0;
  bool read = getresuid(&real, &effective, &saved) == 0 && getresgid(&real_group, &effective_group, &saved_group) == 0;
  bool ours = real == account.uid && effective == account.uid && saved == account.uid && real_group == account.gid &&
              effective_group == account.gid && saved_group == account.gid;
  if (!read || !ours || (account.uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)))
    return base::fail(ErrorCode::Denied, "cannot drop privileges: the user \"{}\" could become root again",
                      account.name);
  return {};
}

Result<void> harden_process() {
  if (geteuid() != 0 && !drop_capabilities()) return denied("capabilities", errno);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return denied("no new privileges", errno);
  rlimit none{0, 0};
  // The TSIG and cookie keys must not end in a core file, nor in a debugger of the same user.
  if (setrlimit(RLIMIT_CORE, &none) != 0) return denied("core files", errno);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return denied("dumps", errno);
  return {};
}

}  // namespace countersign::dnsd
