#include <boost/json.hpp>
#include <fstream>
#include <iostream>

#include "acme/commands/commands.hpp"
#include "acme/commands/issue_report.hpp"
#include "acme/issue/issue.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxBatch = 100'000;  // certificates

IssueRequest request_of(const IssueCommand& command, std::vector<DnsIdentifier> identifiers) {
  IssueRequest request;
  request.identifiers = std::move(identifiers);
  request.cert_name = command.cert_name;
  request.cert_name_given = !command.cert_name.empty();
  request.when_valid = command.force ? WhenValid::IssueAgain : WhenValid::LeaveAlone;
  request.holds = command.force ? Holds::None : Holds::CaOnly;
  request.rehearsal = command.dry_run ? Rehearsal::Yes : Rehearsal::No;
  request.options = command.options;
  return request;
}

// The names of one certificate a line; "#" begins a comment.
Result<std::vector<IssueRequest>> read_batch(const IssueCommand& command) {
  std::string text;
  if (command.batch == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    auto read = base::read_file(command.batch);
    if (!read) return fail(ErrorCode::Usage, "--batch: {}", read.error().message);
    text = *std::move(read);
  }
  std::vector<IssueRequest> requests;
  std::map<std::string, std::size_t> lines;  // CERT and where it stands
  std::string problems;
  std::istringstream in(text);
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::vector<std::string> names;
    for (std::string word; words >> word;) names.push_back(std::move(word));
    if (names.empty()) continue;
    auto identifiers = parse_identifiers(names);
    if (!identifiers) {
      problems +=
          fmt::format("{}{}:{}: {}", problems.empty() ? "" : "\n", command.batch, number, identifiers.error().message);
      continue;
    }
    auto [place, fresh] = lines.emplace(identifiers->front().base_text(), number);
    if (!fresh) {
      problems += fmt::format("{}{}:{}: the certificate \"{}\" stands on line {} already; put all its names there",
                              problems.empty() ? "" : "\n", command.batch, number, place->first, place->second);
      continue;
    }
    requests.push_back(request_of(command, *std::move(identifiers)));
  }
  if (!problems.empty()) return fail(ErrorCode::Usage, "{}", problems);
  if (requests.empty()) return fail(ErrorCode::Usage, "--batch: \"{}\" names no certificate", command.batch);
  if (requests.size() > kMaxBatch)
    return fail(ErrorCode::Usage, "--batch: \"{}\" has {} certificates, more than {}; split it", command.batch,
                requests.size(), kMaxBatch);
  return requests;
}

Result<std::vector<IssueRequest>> requests_of(const IssueCommand& command) {
  if (!command.batch.empty()) return read_batch(command);
  std::vector<DnsIdentifier> identifiers;
  if (!command.names.empty()) {
    auto parsed = parse_identifiers(command.names);
    if (!parsed) return fail(ErrorCode::Usage, "{}", parsed.error().message);
    identifiers = *std::move(parsed);
  }
  return std::vector<IssueRequest>{request_of(command, std::move(identifiers))};
}

}  // namespace

ExitStatus run(const Context& context, const IssueCommand& command) {
  auto requests = requests_of(command);
  if (!requests) {
    context.terminal.error(requests.error().message);
    if (context.options.json) {
      IssueReport empty(context, {""});
      context.terminal.result(json::serialize(empty.document(0, fail(requests.error()))));
    }
    return exit_status(requests.error().code);
  }
  install_interrupt_handlers();
  conf::Config config = context.config;
  if (command.agree_tos) config.acme.agree_tos = true;
  std::vector<std::string> titles;
  for (const IssueRequest& request : *requests)
    titles.push_back(command.batch.empty() ? "" : request.identifiers.front().base_text());
  IssueReport report(context, titles);
  auto results = issue(config, *requests, command.jobs, report.callbacks());
  if (command.batch.empty()) {
    if (context.options.json) context.terminal.result(json::serialize(report.document(0, results.front())));
    return report.exit_status_of(results);
  }
  return report.summarise(results);
}

}  // namespace countersign::acme
