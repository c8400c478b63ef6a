#include "acme/issue/hooks.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "acme/transport/interrupt.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using tests::TemporaryFolder;

std::string contents(const fs::path& path) {
  return base::read_file(path).value_or("(no file)");
}

HookContext deployed() {
  HookContext context;
  context.cert_name = "web";
  context.names = {"a.example", "*.b.example"};
  context.directory = "/state/acme/live/web";
  return context;
}

TEST_CASE("a hook is told what was issued, also as certbot tells it", "[acme]") {
  TemporaryFolder folder;
  ::setenv("RENEWED_LINEAGE", "/of/an/outer/hook", 1);
  ::setenv("COUNTERSIGN_ERROR", "old", 1);
  ::setenv("HOOK_TEST_OWN", "kept", 1);
  std::string file = (folder.path / "out").string();
  REQUIRE(run_hooks({"printf '%s|' \"$COUNTERSIGN_CERT\" \"$COUNTERSIGN_NAMES\" \"$COUNTERSIGN_DIR\" "
                     "\"$COUNTERSIGN_ERROR\" \"$RENEWED_LINEAGE\" \"$RENEWED_DOMAINS\" \"$HOOK_TEST_OWN\" > " +
                     file},
                    deployed()));
  CHECK(contents(file) ==
        "web|a.example *.b.example|/state/acme/live/web||/state/acme/live/web|"
        "a.example *.b.example|kept|");
  HookContext failed = deployed();
  failed.error = "the CA says\nno \x1b[2J";
  REQUIRE(run_hooks({"printf '%s|%s' \"$COUNTERSIGN_ERROR\" \"${RENEWED_LINEAGE-unset}\" > " + file}, failed));
  CHECK(contents(file) == "the CA says no ?[2J|unset");
  REQUIRE(run_hooks({"set -u; printf '%s|%s|%s' \"$COUNTERSIGN_CERT\" \"$COUNTERSIGN_NAMES\" "
                     "\"${RENEWED_DOMAINS-unset}\" > " +
                     file},
                    HookContext{}));
  CHECK(contents(file) == "||unset");
  for (const char* name : {"RENEWED_LINEAGE", "COUNTERSIGN_ERROR", "HOOK_TEST_OWN"}) ::unsetenv(name);
}

TEST_CASE("hooks run one after another, and the first that fails is the last", "[acme]") {
  TemporaryFolder folder;
  std::string file = (folder.path / "out").string();
  auto done =
      run_hooks({"sleep 0.2; echo one >> " + file, "echo two >> " + file, "exit 3", "echo four >> " + file}, {});
  REQUIRE(!done);
  CHECK(done.error().code == ErrorCode::Refused);
  CHECK(done.error().message == "the hook \"exit 3\" failed: exit status 3");
  CHECK(contents(file) == "one\ntwo\n");
  CHECK(run_hooks({}, {}));
  CHECK(run_hooks({"-x"}, {}).error().message == "the hook \"-x\" failed: exit status 127 (no such command)");
  CHECK(run_hooks({"kill -9 $$"}, {}).error().message == "the hook \"kill -9 $$\" failed: killed by signal 9");
  CHECK(run_hooks({"false;\n\x1b[2J" + std::string(500, '#')}, {}).error().message.size() < 250);
  HookContext large;
  large.error = "x";
  large.names = {std::string(300'000, 'n')};
  CHECK(run_hooks({"true"}, large).error().message == "the hook \"true\" cannot run: argument list too long");
}

TEST_CASE("a hook has /dev/null for stdin, stderr for stdout, and no other descriptor of ours", "[acme]") {
  TemporaryFolder folder;
  std::string file = (folder.path / "out").string();
  int opened = ::open("/dev/null", O_RDONLY);
  // Without O_CLOEXEC, and beyond those that the shell uses itself.
  int leaked = ::fcntl(opened, F_DUPFD, 100);
  REQUIRE(leaked >= 100);
  ::close(opened);
  REQUIRE(run_hooks({"{ readlink /proc/$$/fd/0; ls /proc/$$/fd | sort -n | tr '\\n' ' '; } > " + file}, {}));
  // The shell keeps its own stdout at 10 or above while a group is redirected.
  CHECK(contents(file).starts_with("/dev/null\n0 1 2 "));
  CHECK(contents(file).find(fmt::format(" {} ", leaked)) == std::string::npos);
  REQUIRE(run_hooks({"test \"$(readlink /proc/$$/fd/1)\" = \"$(readlink /proc/$$/fd/2)\""}, {}));
  REQUIRE(run_hooks({"cat > " + file}, {}));
  CHECK(contents(file).empty());
  ::close(leaked);
}

TEST_CASE("a hook's signals are as after a login, and it has its own process group", "[acme]") {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  REQUIRE(::sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
  TemporaryFolder folder;
  std::string file = (folder.path / "out").string();
  // 32 and 33 are glibc's own, which posix_spawn() leaves ignored.
  REQUIRE(run_hooks({"grep -E 'Sig(Ign|Blk)' /proc/self/status | grep -vE '0{16}|0{7}180000000' > " + file +
                     "; ps -o pgid= -p $$ | grep -qw $$"},
                    {}));
  CHECK(contents(file) == "");
  REQUIRE(::sigprocmask(SIG_SETMASK, &before, nullptr) == 0);
  ::signal(SIGPIPE, SIG_DFL);
}

TEST_CASE("a hook has the limit on open files that this program was started with", "[acme]") {
  TemporaryFolder folder;
  std::string file = (folder.path / "out").string();
  pid_t child = ::fork();
  if (child == 0) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < 256) ::_exit(2);
    limit.rlim_cur = 200;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::_exit(2);
    raise_open_files();
    raise_open_files();
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur != limit.rlim_max) ::_exit(3);
    if (!run_hooks({"ulimit -S -n > " + file + "; ulimit -H -n >> " + file}, {})) ::_exit(4);
    // What the shell says of a command is as ever.
    auto said = [](const char* command) { return run_hooks({command}, {}).error().message; };
    if (said("-x") != "the hook \"-x\" failed: exit status 127 (no such command)") ::_exit(5);
    if (said("exit 3 # \"$0 '") != "the hook \"exit 3 # \"$0 '\" failed: exit status 3") ::_exit(6);
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur != limit.rlim_max) ::_exit(7);
    ::_exit(contents(file) == fmt::format("200\n{}\n", limit.rlim_max) ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("what a hook leaves running does not hold it up", "[acme]") {
  auto began = std::chrono::steady_clock::now();
  REQUIRE(run_hooks({"sleep 5 > /dev/null 2>&1 &"}, {}));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(3));
}

// Runs the hook in a process of its own, which is sent SIGTERM once `started` exists; gives its exit status.
int interrupted_run(const std::string& command, const fs::path& started, std::chrono::milliseconds& took) {
  pid_t child = ::fork();
  if (child == 0) {
    install_interrupt_handlers();
    auto done = run_hooks({command, "touch " + started.string() + ".second"}, {});
    ::_exit(!done && done.error().code == ErrorCode::Interrupted ? 42 : 1);
  }
  for (int i = 0; i < 500 && !fs::exists(started); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  auto began = std::chrono::steady_clock::now();
  ::kill(child, SIGTERM);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  CHECK(!fs::exists(started.string() + ".second"));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("an interruption is handed on to the hook and all that it started", "[acme]") {
  TemporaryFolder folder;
  std::string file = (folder.path / "started").string();
  std::chrono::milliseconds took{};
  CHECK(interrupted_run("trap 'echo ended > " + file + "' TERM; touch " + file + "; sleep 30", file, took) == 42);
  // The shell runs its trap once its sleep is gone, which got the signal, too.
  CHECK(took < std::chrono::seconds(5));
  CHECK(contents(file) == "ended\n");
}

TEST_CASE("a hook that ignores the interruption is killed ten seconds later", "[acme][slow]") {
  TemporaryFolder folder;
  std::string file = (folder.path / "started").string();
  std::chrono::milliseconds took{};
  CHECK(interrupted_run("trap '' TERM; touch " + file + "; sleep 30", file, took) == 42);
  CHECK(took >= std::chrono::milliseconds(9'900));
  CHECK(took < std::chrono::seconds(15));
}

}  // namespace
}  // namespace countersign::acme
