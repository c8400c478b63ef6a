// What the sandbox refuses and what it lets through, each in a child of its own: there is no way out of it.
#include "dnsd/sandbox.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <thread>

#include "dnsd/system_calls.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using tests::TemporaryFolder;

namespace {

// What the machine has, asked otherwise than the sandbox asks where there is another way.
bool expects_seccomp() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("Seccomp:")) return !kSanitizedBuild;
  return false;
}
bool expects_landlock() {
  return !kSanitizedBuild && syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

constexpr int kNoSandbox = 177;
constexpr int kNoLandlock = 178;

enum class Needs { Seccomp, Landlock };

// The exit status of a child that enters the sandbox and calls `act`, or minus the signal that ended it. Empty where
// there is no sandbox: with sanitizers, or a kernel without.
std::optional<int> status_inside(const std::filesystem::path& folder, Needs needs, const std::function<int()>& act) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);  // Catch's handler would report it as a failure of its own
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    auto entered = enter_sandbox({folder, {}});
    if (!entered) _exit(100);
    if (entered->find("seccomp") == std::string::npos) _exit(kNoSandbox);
    if (needs == Needs::Landlock && entered->find("landlock") == std::string::npos) _exit(kNoLandlock);
    _exit(act());
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) return -WTERMSIG(status);
  int code = WEXITSTATUS(status);
  if (code == kNoSandbox || code == kNoLandlock) {
    REQUIRE_FALSE((code == kNoSandbox ? expects_seccomp() : expects_landlock()));
    WARN("there is no sandbox here: nothing was tested");
    return std::nullopt;
  }
  return code;
}

std::optional<int> status_inside(const std::function<int()>& act) {
  TemporaryFolder folder;
  return status_inside(folder.path, Needs::Seccomp, act);
}

void check_ends(const std::function<int()>& act, int expected) {
  auto status = status_inside(act);
  if (status) CHECK(*status == expected);
}

int refused(long result) {
  return result < 0 && errno == ENOSYS ? 0 : 1;
}

}  // namespace

TEST_CASE("what the machine has for a sandbox is in force", "[dnsd][sandbox]") {
  std::string expected = expects_seccomp() ? "seccomp" : "";
  if (expects_landlock()) expected += expected.empty() ? "landlock" : ",landlock";
  TemporaryFolder folder;
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    auto entered = enter_sandbox({folder.path, {}});
    _exit(entered && *entered == expected ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  INFO(expected);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("what only an intruder asks for ends the process", "[dnsd][sandbox]") {
  check_ends(
      [] {
        execl("/bin/true", "true", nullptr);
        return 1;
      },
      -SIGSYS);
  check_ends([] { return static_cast<int>(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }, -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0)); },
             -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_bpf, 0, nullptr, 0)); }, -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_mount, "a", "/b", "c", 0, nullptr)); }, -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_keyctl, 0, 0, 0, 0, 0)); }, -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_unshare, 0)); }, -SIGSYS);
  check_ends([] { return static_cast<int>(syscall(SYS_io_uring_setup, 1, nullptr)); }, -SIGSYS);
}

TEST_CASE("new sockets, processes and executable memory are refused", "[dnsd][sandbox]") {
  check_ends([] { return refused(socket(AF_INET, SOCK_STREAM, 0)); }, 0);
  check_ends([] { return refused(socket(AF_INET, SOCK_DGRAM, 0)); }, 0);
  check_ends([] { return refused(socket(AF_NETLINK, SOCK_RAW, 0)); }, 0);
  check_ends([] { return refused(socket(AF_PACKET, SOCK_DGRAM, 0)); }, 0);
  check_ends([] { return refused(socket(AF_UNIX, SOCK_STREAM, 0)); }, 0);
  sockaddr_in nobody{};
  check_ends([&] { return refused(connect(0, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody)); }, 0);
  check_ends([] { return refused(fork()); }, 0);
  check_ends([] { return refused(kill(getppid(), 0)); }, 0);
  check_ends([] { return refused(syscall(SYS_tgkill, getppid(), getppid(), 0)); }, 0);
  check_ends([] { return refused(setuid(getuid())); }, 0);
  check_ends(
      [] {
        void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? 0 : 1;
      },
      0);
  check_ends(
      [] {
        void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return 2;
        return mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : 0;
      },
      0);
}

TEST_CASE("what the daemon lives on works inside", "[dnsd][sandbox]") {
  check_ends(
      [] {
        int sum = 0;
        std::thread thread([&sum] { sum = 7; });
        thread.join();
        return sum == 7 ? 0 : 1;
      },
      0);
  check_ends([] { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : 1; }, 0);
  check_ends([]() -> int { std::abort(); }, -SIGABRT);
  check_ends(
      [] {
        // Large blocks grow and go back to the system.
        std::vector<std::string> blocks;
        for (std::size_t i = 1; i < 64; ++i) blocks.emplace_back(i << 16U, 'x');
        blocks.clear();
        blocks.shrink_to_fit();
        std::ifstream file("/proc/self/statm");
        std::string size;
        return file >> size ? 0 : 1;
      },
      0);
  check_ends(
      [] {
        try {
          throw std::runtime_error("unwound");
        } catch (const std::exception&) {
          return 0;
        }
      },
      0);
}

TEST_CASE("only the daemon's own folder can be written", "[dnsd][sandbox]") {
  TemporaryFolder inside, outside;
  std::ofstream(outside.path / "file") << "kept";
  auto status = status_inside(inside.path, Needs::Landlock, [&] {
    int made = open((inside.path / "new").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (made < 0 || write(made, "x", 1) != 1 || rename((inside.path / "new").c_str(), (inside.path / "n").c_str()) != 0)
      return 1;
    if (open((outside.path / "new").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600) >= 0) return 2;
    if (open((outside.path / "file").c_str(), O_WRONLY | O_CLOEXEC) >= 0) return 3;
    if (unlink((outside.path / "file").c_str()) == 0) return 4;
    if (rename((inside.path / "n").c_str(), (outside.path / "n").c_str()) == 0) return 5;
    if (open((outside.path / "file").c_str(), O_RDONLY | O_CLOEXEC) < 0) return 6;
    return 0;
  });
  if (status) CHECK(*status == 0);
}

TEST_CASE("files of the control socket's folder can be removed, but not made", "[dnsd][sandbox]") {
  TemporaryFolder inside, control;
  std::ofstream(control.path / "control.sock") << "x";
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!enter_sandbox({inside.path, control.path})) _exit(1);
    if (unlink((control.path / "control.sock").c_str()) != 0) _exit(2);
    bool made = open((control.path / "new").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600) >= 0;
    _exit(made ? 3 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == (expects_landlock() ? 0 : 3));
}

TEST_CASE("no system call is both allowed and deadly, and none is there twice", "[dnsd][sandbox]") {
  std::set<std::string_view> names;
  for (std::string_view name : allowed_system_calls()) CHECK(names.insert(name).second);
  for (std::string_view name : deadly_system_calls()) CHECK(names.insert(name).second);
  // They have rules that look at the arguments.
  for (const char* name : {"socket", "mmap", "mprotect", "clone", "clone3", "tgkill", "prlimit64", "prctl", "ioctl"})
    CHECK_FALSE(names.contains(name));
}
