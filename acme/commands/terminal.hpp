// What the commands print: documents on stdout, words for people on stderr.
#pragma once

#include <string>
#include <string_view>

#include "acme/commands/command_line.hpp"
#include "base/result.hpp"

namespace countersign::acme {

enum class Shade { Plain, Bold, Faint, Green, Yellow, Red };

class Terminal {
 public:
  explicit Terminal(const GlobalOptions& options);

  // A line on stdout: the result that was asked for. False, with errno, when it could not be written; most have nothing
  // better to do then than to go on.
  bool result(std::string_view line) const;
  // What result() could not write and nobody can ask for again: on stderr, as it is, also with -q.
  void rescue(std::string_view line) const;
  // A line on stderr, left out with -q.
  void note(std::string_view line) const;
  // On stderr, also with -q.
  void warning(std::string_view text) const;
  void error(std::string_view text) const;

  // `text` in that colour, where stderr is a terminal that wants colours.
  [[nodiscard]] std::string shade(Shade shade, std::string_view text) const;

 private:
  bool quiet_;
  bool color_;
};

// "usage", "not_found", ...: the `code` of JSON errors.
[[nodiscard]] std::string_view code_text(base::ErrorCode code);

// {"error":{"code","message"}}
[[nodiscard]] std::string error_document(const base::Error& error);

// What to exit with: 2 for wrong usage or configuration, 130 when interrupted, 1 otherwise.
[[nodiscard]] ExitStatus exit_status(base::ErrorCode code);

// Says the error on stderr, and with --json its document on stdout. Returns what to exit with.
[[nodiscard]] ExitStatus fail_with(const Terminal& terminal, const GlobalOptions& options, const base::Error& error);

// "12 ms", "1.25 s"
[[nodiscard]] std::string time_text(std::chrono::microseconds duration);
// Messages of ours may have several lines; a stranger's text may not: it could forge rows.
enum class LineEnds { Escape, Keep };
// Control characters and malformed octets of strangers (a daemon's value, a certificate's issuer) as \xNN: they must
// not move a cursor.
[[nodiscard]] std::string harmless(std::string_view text, LineEnds line_ends = LineEnds::Escape);

}  // namespace countersign::acme
