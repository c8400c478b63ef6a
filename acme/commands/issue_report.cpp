#include "acme/commands/issue_report.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "acme/issue/verdict.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::Result;

constexpr std::size_t kShownText = 100;    // of a line's detail; -v and --json give all of it
constexpr std::size_t kStepWidth = 10;     // of the longest step's name, "delegation"
constexpr std::size_t kShownQueries = 20;  // of an attempt that failed; -v shows more
constexpr std::size_t kVerboseQueries = 500;

json::array texts(const std::vector<std::string>& values) {
  json::array list;
  for (const std::string& value : values) list.emplace_back(value);
  return list;
}

double milliseconds(std::chrono::microseconds duration) {
  return static_cast<double>(duration.count()) / 1000.0;
}

json::object document_of(const IssueOutcome& outcome) {
  return {{"name", outcome.cert_name},
          {"names", texts(outcome.names)},
          {"dropped", texts(outcome.dropped)},
          {"ca", outcome.ca},
          {"directory", outcome.directory.string()},
          {"files", texts(outcome.files)},
          {"not_after", outcome.not_after},
          {"issuer", outcome.issuer},
          {"hook_failure", outcome.hook_failure.empty() ? json::value() : json::value(outcome.hook_failure)}};
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

}  // namespace

IssueReport::IssueReport(const Context& context, std::vector<std::string> titles) : context_(context) {
  for (std::string& title : titles) items_.push_back({std::move(title), std::chrono::steady_clock::now(), {}, {}, {}});
}

IssueCallbacks IssueReport::callbacks() {
  return {[this](std::size_t item, const Step& step) { tell_step(item, step); },
          [this](std::size_t item, const std::string& warning) {
            if (context_.options.json) items_[item].warnings.emplace_back(warning);
            context_.terminal.warning(before(item) + warning);
          },
          [this](std::size_t item, const Attempt& attempt) { tell_attempt(item, attempt); },
          [this](std::size_t item, const Result<IssueOutcome>& result) { tell_done(item, result); }};
}

std::string IssueReport::before(std::size_t item) const {
  return items_[item].title.empty() ? std::string() : items_[item].title + ": ";
}

std::string IssueReport::shortened(std::string text) const {
  if (context_.options.verbose || text.size() <= kShownText) return text;
  std::size_t end = text.find_last_of(' ', kShownText);
  if (end == std::string::npos || end < kShownText / 2) return text;  // one long word: cutting it helps nobody
  text.resize(end);
  return text + " ...";
}

void IssueReport::tell_step(std::size_t item, const Step& step) {
  const Terminal& terminal = context_.terminal;
  if (context_.options.json)
    items_[item].steps.push_back({{"name", step.name}, {"detail", step.detail}, {"ms", milliseconds(step.took)}});
  // The steps of many at once would say nothing.
  if (!items_[item].title.empty() && !context_.options.verbose) return;
  terminal.note(fmt::format("{}{} {:<{}}  {:>8}  {}", before(item), terminal.shade(Shade::Green, "✓"), step.name,
                            kStepWidth, time_text(step.took),
                            terminal.shade(Shade::Faint, harmless(shortened(step.detail)))));
}

void IssueReport::tell_attempt(std::size_t item, const Attempt& attempt) {
  const Terminal& terminal = context_.terminal;
  if (context_.options.json) items_[item].attempts.push_back(json::parse(attempt_document(attempt)));
  if (attempt.succeeded && !context_.options.verbose) return;
  std::size_t limit = context_.options.verbose ? kVerboseQueries : kShownQueries;
  for (const std::string& line : timeline_of(attempt, limit))
    terminal.note(before(item) + "  " + terminal.shade(Shade::Faint, harmless(line)));
  for (const NameAttempt& name : attempt.names) {
    std::string verdict = verdict_of(attempt, name);
    if (!verdict.empty())
      terminal.note(fmt::format("{}  {}: {}", before(item), terminal.shade(Shade::Bold, harmless(name.name)),
                                harmless(verdict, LineEnds::Keep)));
  }
  if (std::string verdict = verdict_of(attempt); !verdict.empty())
    terminal.note(fmt::format("{}  {}", before(item), harmless(verdict, LineEnds::Keep)));
}

void IssueReport::tell_done(std::size_t item, const Result<IssueOutcome>& result) const {
  auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - items_[item].began);
  // Of many, each would say the same; the summary tells how many.
  bool many = !items_[item].title.empty();
  if (!result && many && result.error().code == ErrorCode::Interrupted) return;
  if (!result) return context_.terminal.error(before(item) + result.error().message);
  if (items_[item].title.empty()) return tell_outcome(*result, took);
  const Terminal& terminal = context_.terminal;
  if (result->left_alone) return;  // the summary counts them
  terminal.note(fmt::format("{} {}  {}, until {}", terminal.shade(Shade::Green, "✓"), items_[item].title,
                            result->rehearsed ? "could be issued" : "issued", result->not_after));
}

void IssueReport::tell_outcome(const IssueOutcome& outcome, std::chrono::microseconds took) const {
  const Terminal& terminal = context_.terminal;
  if (outcome.rehearsed) {
    terminal.note(terminal.shade(Shade::Bold, "all is ready") +
                  fmt::format(": a test value was published and seen; nothing was ordered ({})", time_text(took)));
    return;
  }
  terminal.note(outcome.left_alone
                    ? terminal.shade(Shade::Bold, "a valid certificate is there and was left alone") +
                          " (--force issues again)"
                    : terminal.shade(Shade::Bold, "the certificate is issued") + fmt::format(" ({})", time_text(took)));
  terminal.note(fmt::format("  names    {}", shortened(joined(outcome.names))));
  if (!outcome.dropped.empty()) terminal.note(fmt::format("  without  {}", shortened(joined(outcome.dropped))));
  terminal.note(fmt::format("  expires  {}", outcome.not_after));
  terminal.note(fmt::format("  issuer   {}", harmless(outcome.issuer)));
  terminal.note(fmt::format("  files    {}: {}", outcome.directory.string(), joined(outcome.files)));
}

json::object IssueReport::document(std::size_t item, const Result<IssueOutcome>& result) const {
  const char* status = !result              ? "failed"
                       : result->rehearsed  ? "rehearsed"
                       : result->left_alone ? "unchanged"
                                            : "issued";
  json::object document{{"status", status},
                        {"certificate", nullptr},
                        {"steps", items_[item].steps},
                        {"warnings", items_[item].warnings},
                        {"attempts", items_[item].attempts},
                        {"error", nullptr}};
  if (result)
    document["certificate"] = document_of(*result);
  else
    document["error"] = json::object{{"code", code_text(result.error().code)}, {"message", result.error().message}};
  return document;
}

ExitStatus IssueReport::exit_status_of(const std::vector<Result<IssueOutcome>>& results) const {
  std::size_t bad = 0;
  ExitStatus first = ExitStatus::Failed;
  for (const auto& result : results) {
    if (!result && result.error().code == ErrorCode::Interrupted) return ExitStatus::Interrupted;
    bool good = result && result->hook_failure.empty();
    if (!good && bad++ == 0 && !result) first = exit_status(result.error().code);
  }
  if (bad == 0) return ExitStatus::Done;
  // Of one certificate, or of many that failed alike, the first failure tells.
  return bad < results.size() ? ExitStatus::SomeFailed : results.size() == 1 ? first : ExitStatus::Failed;
}

ExitStatus IssueReport::summarise(const std::vector<Result<IssueOutcome>>& results) const {
  std::size_t issued = 0, unchanged = 0, rehearsed = 0, failed = 0, hooks_failed = 0;
  json::array certificates;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& result = results[i];
    (!result ? failed : result->rehearsed ? rehearsed : result->left_alone ? unchanged : issued) += 1;
    if (result && !result->hook_failure.empty()) ++hooks_failed;
    if (!context_.options.json) continue;
    json::object document = this->document(i, result);
    document["name"] = items_[i].title;
    certificates.emplace_back(std::move(document));
  }
  const Terminal& terminal = context_.terminal;
  std::string line = rehearsed > 0 ? fmt::format("{} could be issued, {} failed", rehearsed, failed)
                                   : fmt::format("{} issued, {} left alone, {} failed", issued, unchanged, failed);
  if (hooks_failed > 0) line += fmt::format(", deploy hooks failed for {}", hooks_failed);
  terminal.note(terminal.shade(Shade::Bold, line));
  for (std::size_t i = 0; i < results.size() && failed > 0; ++i)
    if (!results[i]) terminal.note(fmt::format("  {} {}", terminal.shade(Shade::Red, "failed"), items_[i].title));
  ExitStatus status = exit_status_of(results);
  if (!context_.options.json) return status;
  const char* word = status == ExitStatus::Done          ? "done"
                     : status == ExitStatus::SomeFailed  ? "some failed"
                     : status == ExitStatus::Interrupted ? "interrupted"
                                                         : "failed";
  terminal.result(json::serialize(json::object{{"status", word},
                                               {"issued", issued},
                                               {"unchanged", unchanged},
                                               {"rehearsed", rehearsed},
                                               {"failed", failed},
                                               {"hooks_failed", hooks_failed},
                                               {"certificates", std::move(certificates)}}));
  return status;
}

}  // namespace countersign::acme
