#include "dnsd/sandbox.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>

#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "base/handle.hpp"
#include "base/log.hpp"
#include "dnsd/system_calls.hpp"

namespace countersign::dnsd {
namespace {

using base::Descriptor;
using base::ErrorCode;
using base::Result;

// "No such system call" is what an older kernel says: every library has an answer to it, where EPERM would be taken for
// the last word.
constexpr std::uint32_t kOtherwise = SCMP_ACT_ERRNO(ENOSYS);

using Filter = base::Handle<void, seccomp_release>;

tl::unexpected<base::Error> failure(std::string_view what, int number) {
  return base::fail(ErrorCode::Denied, "cannot enter the sandbox: {}: {}", what, base::system_reason(number));
}

std::optional<int> number_of(std::string_view name) {
  int number = seccomp_syscall_resolve_name(std::string(name).c_str());
  // Of a later kernel than libseccomp, or another architecture's (a negative number that stands for it).
  if (number == __NR_SCMP_ERROR || number < 0) return std::nullopt;
  return number;
}

class FilterBuilder {
 public:
  explicit FilterBuilder(scmp_filter_ctx context) : context_(context) {}

  void add(std::uint32_t action, std::string_view name) {
    if (auto number = number_of(name)) note(seccomp_rule_add_array(context_, action, *number, 0, nullptr));
  }
  void allow_when(std::string_view name, std::initializer_list<scmp_arg_cmp> conditions) {
    if (auto number = number_of(name))
      note(seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, *number, static_cast<unsigned>(conditions.size()),
                                  conditions.begin()));
  }
  [[nodiscard]] int first_error() const { return error_; }

 private:
  void note(int result) {
    if (result < 0 && error_ == 0) error_ = -result;
  }
  scmp_filter_ctx context_;
  int error_ = 0;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
  return scmp_arg_cmp{argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void add_conditional_rules(FilterBuilder& filter) {
  // The notification socket of the service manager; no other new socket.
  filter.allow_when("socket", {equals(0, AF_UNIX), masked(1, 0xf, SOCK_DGRAM)});
  for (const char* name : {"mmap", "mmap2", "mprotect"}) filter.allow_when(name, {masked(2, PROT_EXEC, 0)});
#ifdef __s390x__
  constexpr unsigned kCloneFlags = 1;
#else
  constexpr unsigned kCloneFlags = 0;
#endif
  filter.allow_when("clone", {masked(kCloneFlags, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)});
  // abort() sends itself a signal.
  filter.allow_when("tgkill", {equals(0, static_cast<std::uint64_t>(getpid()))});
  filter.allow_when("prlimit64", {equals(2, 0)});  // reading only
  for (int option : {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA})
    filter.allow_when("prctl", {equals(0, static_cast<unsigned>(option))});
  for (int request : {FIONBIO, FIONREAD, TCGETS})
    filter.allow_when("ioctl", {equals(1, static_cast<unsigned>(request))});
}

// Asked by itself, because seccomp_load() has the same EINVAL for a kernel without filters and for a filter that this
// kernel does not accept: the first is gone on without, the second must not be.
bool kernel_has_filters() {
  std::uint32_t action = SECCOMP_RET_KILL_PROCESS;
  if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) return true;
  // Older than the question, or than the action (both Linux 4.14): without a filter to read, EFAULT means yes.
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) < 0 && errno != EINVAL && errno != ENOSYS;
}

// False: this kernel has no filters.
Result<bool> load_filter() {
  if (!kernel_has_filters()) return false;
  Filter context(seccomp_init(kOtherwise));
  if (!context) return failure("a filter for this architecture", ENOSYS);
  FilterBuilder filter(context.get());
  for (std::string_view name : allowed_system_calls()) filter.add(SCMP_ACT_ALLOW, name);
  for (std::string_view name : deadly_system_calls()) filter.add(SCMP_ACT_KILL_PROCESS, name);
  add_conditional_rules(filter);
  if (filter.first_error() != 0) return failure("the filter's rules", filter.first_error());
  // No-new-privileges is set already, and for all threads: libseccomp would set it again, for this one.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  // A call by another architecture's numbers (32 bit, x32) has no business here.
  seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // The rules of a filter as a tree: a call per packet passes a handful of comparisons instead of a hundred.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  // The kernel's own reason, instead of ECANCELED for all of them.
  seccomp_attr_set(context.get(), SCMP_FLTATR_API_SYSRAWRC, 1);
  int result = seccomp_load(context.get());
  if (result < 0) return failure("the filter", -result);
  return true;
}

// What the header of Debian 12 lacks, from Linux' documentation (userspace-api/landlock).
constexpr std::uint64_t kTruncate = 1ULL << 14U;
constexpr int kAbiRefer = 2;
constexpr int kAbiTruncate = 3;

constexpr std::uint64_t kWriting = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

bool allow_below(const Descriptor& rules, const std::filesystem::path& folder, std::uint64_t access) {
  Descriptor parent(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return false;
  landlock_path_beneath_attr beneath{};
  beneath.allowed_access = access;
  beneath.parent_fd = parent.get();
  return syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
}

// False: this kernel has no Landlock, or it is not switched on.
Result<bool> restrict_files(const Writable& writable) {
  long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return false;
  std::uint64_t writing = kWriting;
  if (abi >= kAbiRefer) writing |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= kAbiTruncate) writing |= kTruncate;
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = writing | LANDLOCK_ACCESS_FS_EXECUTE;
  Descriptor rules(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules || !allow_below(rules, writable.store, writing)) return failure("the rules for files", errno);
  // A folder that we cannot look into is none that we could remove a file from.
  if (!writable.control_folder.empty())
    static_cast<void>(allow_below(rules, writable.control_folder, LANDLOCK_ACCESS_FS_REMOVE_FILE));
  if (syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) return failure("the rules for files", errno);
  return true;
}

}  // namespace

Result<std::string> enter_sandbox(const Writable& writable) {
  if (kSanitizedBuild) return std::string();
  auto files = restrict_files(writable);
  if (!files) return base::fail(files.error());
  auto calls = load_filter();
  if (!calls) return base::fail(calls.error());
  if (!*calls) base::log::warn("this kernel has no seccomp filters; going on without");
  std::string names = *calls ? "seccomp" : "";
  if (*files) names += names.empty() ? "landlock" : ",landlock";
  return names;
}

}  // namespace countersign::dnsd
