#include "acme/commands/terminal.hpp"

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>

#include "base/text.hpp"

namespace countersign::acme {
namespace {

// Not by stdio, which would keep what could not be written and try again with the next line. A reader that went away (a
// closed pipe) is no reason to stop issuing.
bool write_line(int descriptor, std::string_view line) {
  std::string text(line);
  text.push_back('\n');
  std::string_view rest = text;
  while (!rest.empty()) {
    ssize_t count = ::write(descriptor, rest.data(), rest.size());
    if (count < 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool wants_color(const GlobalOptions& options) {
  const char* no_color = std::getenv("NO_COLOR");  // any value but "" (no-color.org)
  const char* term = std::getenv("TERM");
  return !options.no_color && (no_color == nullptr || *no_color == '\0') && term != nullptr &&
         std::string_view(term) != "dumb" && ::isatty(STDERR_FILENO) == 1;
}

std::string_view sequence(Shade shade) {
  switch (shade) {
    case Shade::Plain:
      return "";
    case Shade::Bold:
      return "\x1b[1m";
    case Shade::Faint:
      return "\x1b[2m";
    case Shade::Green:
      return "\x1b[32m";
    case Shade::Yellow:
      return "\x1b[33m";
    case Shade::Red:
      return "\x1b[31m";
  }
  return "";
}

}  // namespace

Terminal::Terminal(const GlobalOptions& options) : quiet_(options.quiet), color_(wants_color(options)) {}

bool Terminal::result(std::string_view line) const {
  // A path or a peer's text may be no UTF-8, which would make a JSON document none.
  return write_line(STDOUT_FILENO, base::valid_utf8(line));
}

void Terminal::rescue(std::string_view line) const {
  write_line(STDERR_FILENO, base::valid_utf8(line));
}

void Terminal::note(std::string_view line) const {
  if (!quiet_) write_line(STDERR_FILENO, line);
}

void Terminal::warning(std::string_view text) const {
  write_line(STDERR_FILENO, shade(Shade::Yellow, "warning:") + " " + harmless(text, LineEnds::Keep));
}

void Terminal::error(std::string_view text) const {
  write_line(STDERR_FILENO, shade(Shade::Red, "countersign:") + " " + harmless(text, LineEnds::Keep));
}

std::string Terminal::shade(Shade shade, std::string_view text) const {
  if (!color_ || shade == Shade::Plain) return std::string(text);
  return fmt::format("{}{}\x1b[0m", sequence(shade), text);
}

std::string_view code_text(base::ErrorCode code) {
  switch (code) {
    case base::ErrorCode::Usage:
      return "usage";
    case base::ErrorCode::Invalid:
      return "invalid";
    case base::ErrorCode::NotFound:
      return "not_found";
    case base::ErrorCode::Exists:
      return "exists";
    case base::ErrorCode::Full:
      return "full";
    case base::ErrorCode::Denied:
      return "denied";
    case base::ErrorCode::Unavailable:
      return "unavailable";
    case base::ErrorCode::Timeout:
      return "timeout";
    case base::ErrorCode::Interrupted:
      return "interrupted";
    case base::ErrorCode::Io:
      return "io";
    case base::ErrorCode::Protocol:
      return "protocol";
    case base::ErrorCode::Refused:
      return "refused";
  }
  return "";
}

ExitStatus exit_status(base::ErrorCode code) {
  if (code == base::ErrorCode::Usage) return ExitStatus::Usage;
  return code == base::ErrorCode::Interrupted ? ExitStatus::Interrupted : ExitStatus::Failed;
}

std::string error_document(const base::Error& error) {
  return boost::json::serialize(
      boost::json::object{{"error", boost::json::object{{"code", code_text(error.code)}, {"message", error.message}}}});
}

ExitStatus fail_with(const Terminal& terminal, const GlobalOptions& options, const base::Error& error) {
  terminal.error(error.message);
  if (options.json) terminal.result(error_document(error));
  return exit_status(error.code);
}

std::string time_text(std::chrono::microseconds duration) {
  double ms = static_cast<double>(duration.count()) / 1000.0;
  if (ms >= 1000.0) return fmt::format("{:.2f} s", ms / 1000.0);
  return ms < 10.0 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.0f} ms", ms);
}

std::string harmless(std::string_view text, LineEnds line_ends) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = base::utf8_length(text);
    std::string_view character = text.substr(0, length == 0 ? 1 : length);
    bool stays = length > 0 && !base::is_control(character);
    if (stays || (character == "\n" && line_ends == LineEnds::Keep)) {
      out += character;
    } else {
      for (char c : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace countersign::acme
