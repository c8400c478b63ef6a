#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "acme/commands/ca.hpp"
#include "acme/commands/commands.hpp"
#include "acme/issue/credentials.hpp"
#include "acme/protocol/experimental_challenges.hpp"

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

// draft-ietf-acme-dns-account-label: the label is a hash of the account's URL, so that there must be an account first.
Result<std::string> account_labels(const Context& context, const std::string& ca) {
  auto directory = chosen_directory(context, ca);
  if (!directory) return fail(directory.error());
  auto store = open_accounts(context, *directory);
  if (!store) return fail(store.error());
  auto account = store->stored();
  if (!account && account.error().code != ErrorCode::NotFound) return fail(account.error());
  if (!account || account->url.empty())
    return fail(ErrorCode::NotFound,
                "dns-account-01 has the account in its names, and there is none at {} yet; run `countersign account "
                "register{}` first",
                *directory, ca.empty() ? "" : " --ca " + ca);
  return dns_account_label(account->url) + "._acme-challenge";
}

conf::ChallengeType challenge_of(const Context& context, const DelegateCommand& command) {
  return command.challenge.value_or(context.config.acme.challenge);
}

Result<std::vector<ChallengePlace>> places_of(const Context& context, const DelegateCommand& command,
                                              const std::vector<DnsIdentifier>& identifiers) {
  std::string labels;
  switch (challenge_of(context, command)) {
    case conf::ChallengeType::Dns01:
      return dns01_places(identifiers);
    case conf::ChallengeType::DnsAccount01: {
      auto account = account_labels(context, command.ca);
      if (!account) return fail(account.error());
      labels = *std::move(account);
      break;
    }
    case conf::ChallengeType::DnsPersist01:
      labels = "_validation-persist";
      break;
  }
  std::vector<ChallengePlace> places;
  std::string problems;
  for (const DnsIdentifier& identifier : identifiers) {
    auto place = place_of(identifier, labels);
    if (place)
      places.push_back(*std::move(place));
    else
      problems += (problems.empty() ? "" : "; ") + place.error().message;
  }
  if (!problems.empty()) return fail(ErrorCode::Invalid, "{}", problems);
  return places;
}

// To a registration's own name, which is all that its credentials may change.
Result<void> bind_to(const std::string& file, std::vector<ChallengePlace>& places) {
  auto credentials = Credentials::load(file);
  if (!credentials) return fail(credentials.error());
  std::set<std::string> unknown;
  std::string names;
  for (ChallengePlace& place : places) {
    std::string domain = place.identifier.base_text();
    const Registration* registration = credentials->find(domain);
    if (registration != nullptr)
      place.only = registration->fulldomain;
    else if (unknown.insert(domain).second)
      names += (names.empty() ? "" : ", ") + domain;
  }
  if (unknown.empty()) return {};
  return fail(ErrorCode::NotFound, "the credentials \"{}\" have no registration for {}; register one and add it", file,
              names);
}

}  // namespace

Result<std::vector<ChallengePlace>> delegation_places(const Context& context, const DelegateCommand& command) {
  auto identifiers = parse_identifiers(command.names);
  if (!identifiers) return fail(identifiers.error());
  auto places = places_of(context, command, *identifiers);
  std::string credentials = command.credentials.empty() ? context.config.acme.credentials : command.credentials;
  if (!places || credentials.empty()) return places;
  if (challenge_of(context, command) == conf::ChallengeType::DnsPersist01)
    return fail(ErrorCode::Usage,
                "dns-persist-01 needs a standing record, which a remote daemon's API does not keep; leave the "
                "credentials out, and run the client at the daemon itself");
  if (auto bound = bind_to(credentials, *places); !bound) return fail(bound.error());
  return places;
}

Result<std::string> delegation_records(const std::vector<ChallengePlace>& places, const std::vector<base::Name>& zones,
                                       RecordFormat format) {
  auto zone = preferred_zone(zones);
  bool needs_zone = std::any_of(places.begin(), places.end(), [](const ChallengePlace& place) { return !place.only; });
  if (!zone && needs_zone)
    return fail(ErrorCode::NotFound,
                "there is no zone to delegate to; add a [[zone]] such as auth.example.net to the configuration");
  std::vector<Line> lines;
  std::set<base::Name> seen;
  std::string problems;
  for (const ChallengePlace& place : places) {
    // A name and its wildcard have one challenge name.
    if (!seen.insert(place.name).second) continue;
    auto record = recommended_record(place, place.only ? *place.only : *zone);
    if (!record) {
      problems += (problems.empty() ? "" : "; ") + record.error().message;
      continue;
    }
    lines.push_back({place.name.text() + ".", record->substr(record->rfind(' ') + 1), *record});
  }
  if (!problems.empty()) return fail(ErrorCode::Invalid, "{}", problems);
  if (format == RecordFormat::Json) return document(lines);
  std::string out;
  for (const Line& line : lines) out += (out.empty() ? "" : "\n") + line.record;
  return out;
}

ExitStatus run(const Context& context, const DelegateCommand& command) {
  auto places = delegation_places(context, command);
  std::vector<base::Name> zones;
  zones.reserve(context.config.zones.size());
  for (const conf::Zone& zone : context.config.zones) zones.push_back(zone.name);
  RecordFormat format = context.options.json ? RecordFormat::Json : command.format;
  auto records = places ? delegation_records(*places, zones, format) : Result<std::string>(fail(places.error()));
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
