#include "acme/issue/hooks.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>

#include "acme/transport/interrupt.hpp"
#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTermination{10};  // from SIGTERM to SIGKILL
// Where the kernel has no pidfd (before 5.3), or a container's filter does not let it through.
constexpr std::chrono::milliseconds kPollPeriod{20};
constexpr std::size_t kShownCommand = 120;

// What it was before raise_open_files(); 0 = as it is.
std::atomic<rlim_t> hooks_open_files{0};

// posix_spawn() cannot set a limit, and lowered here it would fail the other threads. So a shell lowers it and becomes
// the hook's.
constexpr const char* kWithLimit = "ulimit -S -n \"$1\"; exec /bin/sh -c -- \"$2\"";

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

// The caller's environment with what the hook is told in it. What an outer hook was told must not look like ours.
std::vector<std::string> environment_of(const HookContext& context) {
  std::vector<std::string> ours{
      "COUNTERSIGN_CERT=" + context.cert_name,
      "COUNTERSIGN_NAMES=" + joined(context.names),
      "COUNTERSIGN_DIR=" + context.directory.string(),
      "COUNTERSIGN_ERROR=" + base::printable(context.error),
  };
  if (context.error.empty() && !context.directory.empty()) {
    ours.push_back("RENEWED_LINEAGE=" + context.directory.string());
    ours.push_back("RENEWED_DOMAINS=" + joined(context.names));
  }
  std::vector<std::string> all;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    std::string_view text = *variable;
    bool replaced = false;
    for (std::string_view name : {"COUNTERSIGN_CERT=", "COUNTERSIGN_NAMES=", "COUNTERSIGN_DIR=", "COUNTERSIGN_ERROR=",
                                  "RENEWED_LINEAGE=", "RENEWED_DOMAINS="})
      replaced = replaced || text.starts_with(name);
    if (!replaced) all.emplace_back(text);
  }
  all.insert(all.end(), ours.begin(), ours.end());
  return all;
}

// posix_spawn() and not fork(): other threads may be at work, and it makes the child without a copy of our memory.
class Spawning {
 public:
  Spawning() {
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_init(&actions_);
    sigset_t signals;
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (::fcntl(STDERR_FILENO, F_GETFD) < 0)
      posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    // stdout is for our own document.
    posix_spawn_file_actions_adddup2(&actions_, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
  }
  ~Spawning() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Spawning(const Spawning&) = delete;
  Spawning& operator=(const Spawning&) = delete;

  // errno of what failed, 0 when it runs.
  [[nodiscard]] int start(pid_t& child, std::string command, std::vector<std::string> environment) {
    std::vector<std::string> words{"sh", "-c", "--", std::move(command)};
    if (rlim_t limit = hooks_open_files.load(); limit != 0)
      words.insert(words.end() - 1, {kWithLimit, "sh", std::to_string(limit)});
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<char*> variables;
    variables.reserve(environment.size() + 1);
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    return ::posix_spawn(&child, "/bin/sh", &actions_, &attributes_, arguments.data(), variables.data());
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

// The status as waitpid() has it, once the child has ended.
std::optional<int> ended(pid_t child) {
  int status = 0;
  pid_t got = ::waitpid(child, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  return got == child ? status : -1;
}

struct Ending {
  int status = 0;            // as waitpid() has it
  bool interrupted = false;  // by us
};

// Waits for the child; an interruption ends it.
Ending await(pid_t child) {
  // The header of glibc 2.36 for it is none for C++.
  base::Descriptor end(static_cast<int>(::syscall(SYS_pidfd_open, child, 0U)));
  std::optional<Clock::time_point> kill_at;
  bool killed = false;
  for (;;) {
    if (auto status = ended(child)) return {*status, kill_at.has_value()};
    if (!kill_at && interrupted()) {
      ::kill(-child, SIGTERM);
      kill_at = Clock::now() + kTermination;
    } else if (kill_at && !killed && Clock::now() >= *kill_at) {
      ::kill(-child, SIGKILL);
      killed = true;
    }
    int wait = -1;
    if (!end) wait = static_cast<int>(kPollPeriod.count());
    if (end && kill_at && !killed)
      wait = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*kill_at - Clock::now()).count()) + 1;
    // Once interrupted, that descriptor would stay readable.
    pollfd waits[] = {{end.get(), POLLIN, 0}, {kill_at ? -1 : interrupt_descriptor(), POLLIN, 0}};
    static_cast<void>(::poll(waits, 2, wait));
  }
}

std::string reason(int status) {
  if (status == -1) return "its exit status got lost";
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  constexpr int kNoSuchCommand = 127, kNotExecutable = 126;  // as the shell says it (POSIX, 2.8.2)
  int code = WEXITSTATUS(status);
  return fmt::format("exit status {}{}", code,
                     code == kNoSuchCommand   ? " (no such command)"
                     : code == kNotExecutable ? " (not executable)"
                                              : "");
}

Result<void> run_hook(const std::string& command, const HookContext& context) {
  std::string shown = base::printable(command, kShownCommand);
  if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted before the hook \"{}\"", shown);
  pid_t child = -1;
  int number = Spawning().start(child, command, environment_of(context));
  if (number == ENOENT) return fail(ErrorCode::Refused, "the hook \"{}\" cannot run: no /bin/sh", shown);
  if (number != 0)
    return fail(ErrorCode::Refused, "the hook \"{}\" cannot run: {}", shown, base::system_reason(number));
  Ending ending = await(child);
  if (ending.status == 0) return {};
  if (ending.interrupted) return fail(ErrorCode::Interrupted, "interrupted in the hook \"{}\"", shown);
  return fail(ErrorCode::Refused, "the hook \"{}\" failed: {}", shown, reason(ending.status));
}

}  // namespace

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) hooks_open_files.store(before);
}

Result<void> run_hooks(const std::vector<std::string>& commands, const HookContext& context) {
  for (const std::string& command : commands)
    if (auto done = run_hook(command, context); !done) return done;
  return {};
}

}  // namespace countersign::acme
