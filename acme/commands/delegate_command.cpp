#include <boost/json.hpp>
#include <set>

#include "acme/commands/commands.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

struct Line {
  std::string owner;
  std::string target;
  std::string record;
};

std::string document(const std::vector<Line>& lines) {
  json::array records;
  for (const Line& line : lines)
    records.push_back({{"name", line.owner}, {"type", "CNAME"}, {"value", line.target}, {"record", line.record}});
  return json::serialize(records);
}

}  // namespace

Result<std::string> delegation_records(const std::vector<DnsIdentifier>& identifiers,
                                       const std::vector<base::Name>& zones, RecordFormat format) {
  auto zone = preferred_zone(zones);
  if (!zone)
    return fail(ErrorCode::NotFound,
                "there is no zone to delegate to; add a [[zone]] such as auth.example.net to the configuration");
  std::vector<Line> lines;
  std::set<base::Name> seen;
  std::string problems;
  for (const DnsIdentifier& identifier : identifiers) {
    // A name and its wildcard have one challenge name.
    if (!seen.insert(identifier.challenge_name()).second) continue;
    auto record = recommended_record(identifier, *zone);
    if (!record) {
      problems += (problems.empty() ? "" : "; ") + record.error().message;
      continue;
    }
    lines.push_back({identifier.challenge_name().text() + ".", record->substr(record->rfind(' ') + 1), *record});
  }
  if (!problems.empty()) return fail(ErrorCode::Invalid, "{}", problems);
  if (format == RecordFormat::Json) return document(lines);
  std::string out;
  for (const Line& line : lines) out += (out.empty() ? "" : "\n") + line.record;
  return out;
}

ExitStatus run(const Context& context, const DelegateCommand& command) {
  auto identifiers = parse_identifiers(command.names);
  std::vector<base::Name> zones;
  zones.reserve(context.config.zones.size());
  for (const conf::Zone& zone : context.config.zones) zones.push_back(zone.name);
  RecordFormat format = context.options.json ? RecordFormat::Json : command.format;
  auto records =
      identifiers ? delegation_records(*identifiers, zones, format) : Result<std::string>(fail(identifiers.error()));
  if (!records) {
    ExitStatus status = fail_with(context.terminal, context.options, records.error());
    return records.error().code == ErrorCode::Invalid ? ExitStatus::Usage : status;
  }
  if (format == RecordFormat::Text)
    context.terminal.note("add to the DNS, once; then `countersign issue` can prove these names:");
  context.terminal.result(*records);
  return ExitStatus::Done;
}

}  // namespace countersign::acme
