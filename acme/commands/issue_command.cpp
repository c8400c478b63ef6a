#include <boost/json.hpp>

#include "acme/commands/commands.hpp"
#include "acme/issue/issue.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;

constexpr std::size_t kShownText = 100;  // of a line's detail; -v and --json give all of it
constexpr std::size_t kStepWidth = 10;   // of the longest step's name, "delegation"

// What was done, for the document at the end.
struct Record {
  json::array steps;
  json::array warnings;
};

json::array texts(const std::vector<std::string>& values) {
  json::array list;
  for (const std::string& value : values) list.emplace_back(value);
  return list;
}

std::string shortened(const Context& context, std::string text) {
  if (context.options.verbose || text.size() <= kShownText) return text;
  std::size_t end = text.find_last_of(' ', kShownText);
  if (end == std::string::npos || end < kShownText / 2) return text;  // one long word: cutting it helps nobody
  text.resize(end);
  return text + " ...";
}

double milliseconds(std::chrono::microseconds duration) {
  return static_cast<double>(duration.count()) / 1000.0;
}

conf::Config configured(const Context& context, const IssueCommand& command) {
  conf::Config config = context.config;
  if (!command.ca.empty()) config.acme.ca = command.ca;
  if (command.key_type) config.acme.key_type = *command.key_type;
  if (command.agree_tos) config.acme.agree_tos = true;
  return config;
}

IssueCallbacks callbacks(const Context& context, Record& record) {
  const Terminal& terminal = context.terminal;
  return {[&](const Step& step) {
            record.steps.push_back({{"name", step.name}, {"detail", step.detail}, {"ms", milliseconds(step.took)}});
            terminal.note(fmt::format("{} {:<{}}  {:>8}  {}", terminal.shade(Shade::Green, "✓"), step.name, kStepWidth,
                                      time_text(step.took),
                                      terminal.shade(Shade::Faint, harmless(shortened(context, step.detail)))));
          },
          [&](const std::string& warning) {
            record.warnings.emplace_back(warning);
            terminal.warning(warning);
          }};
}

void tell_outcome(const Context& context, const IssueOutcome& outcome, std::chrono::microseconds took) {
  const Terminal& terminal = context.terminal;
  std::string names;
  for (const std::string& name : outcome.names) names += (names.empty() ? "" : " ") + name;
  terminal.note(outcome.left_alone
                    ? terminal.shade(Shade::Bold, "a valid certificate is there and was left alone") +
                          " (--force issues again)"
                    : terminal.shade(Shade::Bold, "the certificate is issued") + fmt::format(" ({})", time_text(took)));
  terminal.note(fmt::format("  names    {}", shortened(context, names)));
  terminal.note(fmt::format("  expires  {}", outcome.not_after));
  terminal.note(fmt::format("  issuer   {}", harmless(outcome.issuer)));
  terminal.note(fmt::format("  files    {}: privkey.pem cert.pem chain.pem fullchain.pem", outcome.directory.string()));
}

json::object document_of(const IssueOutcome& outcome) {
  return {{"name", outcome.cert_name},
          {"names", texts(outcome.names)},
          {"directory", outcome.directory.string()},
          {"not_after", outcome.not_after},
          {"issuer", outcome.issuer}};
}

ExitStatus failed(const Context& context, const base::Error& error, Record record) {
  context.terminal.error(error.message);
  if (context.options.json)
    context.terminal.result(json::serialize(
        json::object{{"status", "failed"},
                     {"certificate", nullptr},
                     {"steps", std::move(record.steps)},
                     {"warnings", std::move(record.warnings)},
                     {"error", json::object{{"code", code_text(error.code)}, {"message", error.message}}}}));
  return exit_status(error.code);
}

}  // namespace

ExitStatus run(const Context& context, const IssueCommand& command) {
  Record record;
  auto identifiers = parse_identifiers(command.names);
  if (!identifiers) return failed(context, {base::ErrorCode::Usage, identifiers.error().message}, std::move(record));

  install_interrupt_handlers();
  IssueRequest request;
  request.identifiers = *std::move(identifiers);
  request.cert_name = command.cert_name;
  request.cert_name_given = !command.cert_name.empty();
  request.when_valid = command.force ? WhenValid::IssueAgain : WhenValid::LeaveAlone;
  auto began = std::chrono::steady_clock::now();
  auto outcome = issue(configured(context, command), request, callbacks(context, record));
  auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  if (!outcome) return failed(context, outcome.error(), std::move(record));

  tell_outcome(context, *outcome, took);
  if (context.options.json)
    context.terminal.result(json::serialize(json::object{{"status", outcome->left_alone ? "unchanged" : "issued"},
                                                         {"certificate", document_of(*outcome)},
                                                         {"steps", std::move(record.steps)},
                                                         {"warnings", std::move(record.warnings)},
                                                         {"error", nullptr}}));
  return ExitStatus::Done;
}

}  // namespace countersign::acme
