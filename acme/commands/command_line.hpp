// The command line of `countersign`, read into types: what leaves here is complete and plausible.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "conf/config.hpp"

namespace countersign::acme {

// Exit status of the program; a contract with scripts.
enum class ExitStatus { Done = 0, Failed = 1, Usage = 2, SomeFailed = 3, Interrupted = 130 };

enum class RecordFormat { Text, Bind, Json };

struct GlobalOptions {
  std::string config;  // "" = $COUNTERSIGN_CONFIG or the default
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  bool no_color = false;
};

struct IssueCommand {
  std::vector<std::string> names;
  std::string ca;  // "" = as configured
  std::optional<conf::KeyType> key_type;
  std::string cert_name;
  bool agree_tos = false;
  bool force = false;
};
struct DelegateCommand {
  std::vector<std::string> names;
  RecordFormat format = RecordFormat::Text;
};
struct TxtListCommand {
  std::string name;  // "" = all
};
struct TxtSetCommand {
  std::string name;
  std::string value;
  std::optional<std::chrono::milliseconds> lifetime;  // absent = as configured; 0 = for ever
};
struct TxtRemoveCommand {
  std::string name;
  std::optional<std::string> value;  // absent = all of the name's
};
struct StatusCommand {};
struct CertificatesCommand {};

using Command = std::variant<IssueCommand, DelegateCommand, TxtListCommand, TxtSetCommand, TxtRemoveCommand,
                             StatusCommand, CertificatesCommand>;

struct CommandLine {
  GlobalOptions global;
  Command command;
};

// Nothing is to be run: help or version was asked for, or the line is wrong.
struct Stop {
  ExitStatus status = ExitStatus::Done;
  std::string out;  // for stdout
  std::string err;  // for stderr
};

// `arguments` without the program's name.
[[nodiscard]] tl::expected<CommandLine, Stop> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace countersign::acme
