#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "acme/commands/commands.hpp"
#include "base/log.hpp"
#include "conf/load.hpp"

namespace countersign::acme {
namespace {

// The one place that reads the configuration; all its problems are said at once.
base::Result<conf::Config> load(const GlobalOptions& options, const Terminal& terminal) {
  auto path = conf::config_path(options.config);
  conf::Loaded loaded = conf::load_file(path);
  std::string text;
  for (const conf::Problem& problem : loaded.problems) {
    std::string line = conf::format_problem(path, problem);
    terminal.error(line);
    text += (text.empty() ? "" : "\n") + line;
  }
  if (!loaded.problems.empty()) return base::fail(base::ErrorCode::Invalid, "{}", text);
  return std::move(loaded.config);
}

void set_log_level(const GlobalOptions& options) {
  base::log::set_level(options.verbose ? base::log::Level::Debug
                       : options.quiet ? base::log::Level::Error
                                       : base::log::Level::Warn);
}

// Where one is closed, the next file or socket of ours would take its place, and what we print would go into that.
// Writing into what is opened for reading fails, as it does where nothing is open.
void occupy_standard_streams() {
  int fd = ::open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open): hooks need them as much
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open)
  if (fd >= 0) ::close(fd);
}

}  // namespace

ExitStatus run_program(const std::vector<std::string>& arguments) {
  // A reader of ours that went away must not end a run that has values published.
  std::signal(SIGPIPE, SIG_IGN);
  occupy_standard_streams();
  auto line = parse_command_line(arguments);
  if (!line) {
    bool json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
    if (json && line.error().status == ExitStatus::Usage) {
      // What is told to people has one line for each problem, and a hint at the end.
      std::string text = line.error().err;
      while (!text.empty() && text.back() == '\n') text.pop_back();
      line.error().out = error_document({base::ErrorCode::Usage, text}) + "\n";
    }
    std::fputs(line.error().out.c_str(), stdout);
    std::fputs(line.error().err.c_str(), stderr);
    return line.error().status;
  }
  set_log_level(line->global);
  Terminal terminal(line->global);
  auto config = load(line->global, terminal);
  if (!config) {
    if (line->global.json) terminal.result(error_document(config.error()));
    return ExitStatus::Usage;
  }
  Context context{line->global, *std::move(config), terminal};
  return std::visit([&](const auto& command) { return run(context, command); }, line->command);
}

}  // namespace countersign::acme
