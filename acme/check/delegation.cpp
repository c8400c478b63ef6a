#include "acme/check/delegation.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "acme/check/chain.hpp"
#include "acme/check/resolver.hpp"
#include "acme/check/zone_delegation.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using dns::RecordType;

constexpr std::string_view kChallengeLabel = "_acme-challenge";    // RFC 8555 §8.4
constexpr std::string_view kPersistLabel = "_validation-persist";  // draft-ietf-acme-dns-persist
constexpr std::size_t kZonesNamed = 5;                             // more would hide the message

struct Facts {
  std::vector<Name> zones;
  std::map<Name, Chain> chains;
  std::map<Name, ZoneState> states;                // of the zones that chains end in
  std::map<Name, base::Result<dns::Finding>> txt;  // of challenge names without a CNAME
  std::string resolvers;
};

std::string zones_text(const std::vector<Name>& zones) {
  std::string out;
  for (std::size_t i = 0; i < zones.size() && i < kZonesNamed; ++i) out += (i > 0 ? ", " : "") + zones[i].text();
  if (zones.size() > kZonesNamed) out += fmt::format(" and {} more", zones.size() - kZonesNamed);
  return out.empty() ? "none" : out;
}

std::string chain_text(const std::vector<Name>& names) {
  std::string out;
  for (const Name& name : names) out += (out.empty() ? "" : " -> ") + name.text();
  return out;
}

// A record that leads a name to us, or the reason that there is none to recommend.
void recommend(Delegation& delegation, const ChallengePlace& place, const std::vector<Name>& zones) {
  auto zone = place.only ? place.only : preferred_zone(zones);
  if (!zone) {
    delegation.problem += "; the daemon has no zone to delegate it to: add a [[zone]] such as auth.example.net";
    return;
  }
  auto record = recommended_record(place, *zone);
  if (record)
    delegation.remedy = *record;
  else
    delegation.problem += "; " + record.error().message;
}

// The owner of the SOA in a negative answer: the zone that has no such name.
const Name* answering_zone(const dns::Reply& reply) {
  auto soa = std::find_if(reply.authority.begin(), reply.authority.end(),
                          [](const dns::Record& record) { return record.type == RecordType::Soa; });
  return soa == reply.authority.end() ? nullptr : &soa->owner;
}

void explain_missing(Delegation& delegation, const ChallengePlace& place, const Chain& chain, const Facts& facts) {
  const Name& last = chain.names.back();
  const dns::Reply& reply = chain.last->reply;
  if (chain.names.size() > 1) {
    delegation.problem = fmt::format("{} leads to {}, which is in no zone of the daemon ({})",
                                     chain.names.front().text(), last.text(), zones_text(facts.zones));
    if (chain.names.size() > 2) delegation.problem += fmt::format("; the chain is {}", chain_text(chain.names));
    return recommend(delegation, place, facts.zones);
  }
  auto txt = facts.txt.find(last);
  if (txt != facts.txt.end() && txt->second) {
    if (auto records = txt->second->reply.answers(last, RecordType::Txt); !records.empty()) {
      delegation.problem = fmt::format(
          "{} has {} TXT record{} of its own, put there by hand or by another ACME client; remove {} (a CNAME cannot "
          "stand beside other records) and add the CNAME",
          last.text(), records.size(), records.size() == 1 ? "" : "s", records.size() == 1 ? "it" : "them");
      return recommend(delegation, place, facts.zones);
    }
  }
  const Name* zone = answering_zone(reply);
  if (zone != nullptr && *zone == last) {
    delegation.problem = fmt::format(
        "{} is delegated as a zone of its own, to name servers that know it, but the daemon has no such zone; "
        "add it as a [[zone]] and delegate it to this daemon, or replace its NS records by the CNAME",
        last.text());
  } else if (reply.rcode == dns::kNxDomain) {
    delegation.problem = fmt::format("{} does not exist", last.text());
  } else {
    delegation.problem = fmt::format("{} has no CNAME", last.text());
  }
  recommend(delegation, place, facts.zones);
}

void explain_failure(Delegation& delegation, const Chain& chain) {
  const dns::Reply& reply = chain.last->reply;
  std::string resolver = dns::server_text(chain.last->resolver);
  std::string name = chain.names.back().text();
  std::string extended = dns::extended_error_text(reply);
  if (!extended.empty()) extended = " (" + extended + ")";
  if (reply.rcode == dns::kRefused) {
    delegation.problem =
        fmt::format("the resolver {} refuses to answer for {}{}; set acme.resolver to one that serves this host",
                    resolver, name, extended);
  } else if (reply.rcode == dns::kServFail && dns::says_bogus(reply)) {
    delegation.problem = fmt::format(
        "DNSSEC validation of {} fails at the resolver {}{}; a CA will refuse it too: repair the zone's signatures or "
        "its "
        "DS record",
        name, resolver, extended);
  } else if (reply.rcode == dns::kServFail) {
    delegation.problem = fmt::format(
        "the resolver {} answers SERVFAIL for {}{}; see that the zone's name servers answer and that its DNSSEC is "
        "valid",
        resolver, name, extended);
  } else {
    delegation.problem = fmt::format("the resolver {} answers {} for {}{}; set acme.resolver to another one", resolver,
                                     dns::rcode_text(reply.rcode), name, extended);
  }
}

void explain_zone(Delegation& delegation, const ZoneState& state) {
  switch (state.kind) {
    case ZoneState::Kind::Delegated:
      return;
    case ZoneState::Kind::Unsure:
      delegation.warning = state.words;
      return;
    case ZoneState::Kind::Broken:
    case ZoneState::Kind::Missing:
    case ZoneState::Kind::Alias:
      delegation.zone.reset();
      delegation.problem = state.words;
      delegation.remedy = state.remedy;
      return;
  }
}

// In a zone of the daemon, but at a name that may not be changed.
void explain_elsewhere(Delegation& delegation, const ChallengePlace& place, const Facts& facts) {
  delegation.zone.reset();
  delegation.problem =
      delegation.chain.size() == 1
          ? fmt::format("{} is itself in the zone, but the registration may change {} only", delegation.target.text(),
                        place.only->text())
          : fmt::format("{} leads to {}, but the registration may change {} only", delegation.challenge_name.text(),
                        delegation.target.text(), place.only->text());
  recommend(delegation, place, facts.zones);
}

void explain(Delegation& delegation, const ChallengePlace& place, const Chain& chain, const Facts& facts) {
  switch (chain.end) {
    case ChainEnd::Open:
      return;
    case ChainEnd::InZone:
      if (place.only && delegation.target != *place.only) return explain_elsewhere(delegation, place, facts);
      return explain_zone(delegation, facts.states.at(*chain.zone));
    case ChainEnd::NoCname:
      return explain_missing(delegation, place, chain, facts);
    case ChainEnd::Loop:
      delegation.problem =
          fmt::format("the CNAMEs of {} run in a circle: {}", chain.names.front().text(), chain_text(chain.names));
      return recommend(delegation, place, facts.zones);
    case ChainEnd::TooLong:
      delegation.problem = fmt::format(
          "{} is followed by more than {} CNAMEs, so that a CA's resolver gives up; the last one seen is {}",
          chain.names.front().text(), kMaxCnames, chain.names.back().text());
      return recommend(delegation, place, facts.zones);
    case ChainEnd::Failed:
      return explain_failure(delegation, chain);
    case ChainEnd::NotResolver:
      delegation.problem =
          fmt::format("{} is no recursive resolver; set acme.resolver to one", dns::server_text(chain.last->resolver));
      return;
    case ChainEnd::NoAnswer:
      delegation.problem = fmt::format("{} cannot be looked up: {}; its name servers may be down",
                                       chain.names.back().text(), chain.error->message);
      return;
  }
}

// An error only when nothing at all came back: one broken domain among many is that name's own problem.
Result<void> somebody_answered(const std::map<Name, Chain>& chains, const std::string& resolvers) {
  const base::Error* error = nullptr;
  for (const auto& [challenge, chain] : chains) {
    if (chain.error) error = &*chain.error;
    if (chain.last) return {};
  }
  if (error == nullptr) return {};
  return fail(error->code, "no resolver answers ({}): {}; set acme.resolver to one that does", resolvers,
              error->message);
}

Result<Facts> gather(const std::set<Name>& challenges, const std::vector<Name>& zones,
                     const std::vector<base::SocketAddress>& resolvers,
                     const std::vector<base::SocketAddress>& daemon_listen) {
  dns::Resolver resolver(resolvers);
  Facts facts;
  facts.zones = zones;
  facts.resolvers = resolver.text();
  facts.chains = follow_chains(challenges, zones, resolver);
  if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted while following the delegations");
  if (auto answered = somebody_answered(facts.chains, facts.resolvers); !answered) return fail(answered.error());

  std::set<Name> reached;
  std::vector<dns::Lookup> suspects;
  for (const auto& [challenge, chain] : facts.chains) {
    if (chain.zone) reached.insert(*chain.zone);
    if (chain.end == ChainEnd::NoCname && chain.names.size() == 1) suspects.push_back({challenge, RecordType::Txt});
  }
  facts.states = look_at_zones(reached, resolver, daemon_listen);
  auto findings = resolver.look_up(suspects, dns::Patience::Short);
  for (std::size_t i = 0; i < suspects.size(); ++i) facts.txt.emplace(suspects[i].name, std::move(findings[i]));
  if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted while following the delegations");
  return facts;
}

}  // namespace

std::vector<ChallengePlace> dns01_places(const std::vector<DnsIdentifier>& identifiers) {
  std::vector<ChallengePlace> places;
  places.reserve(identifiers.size());
  for (const DnsIdentifier& identifier : identifiers) places.push_back({identifier, identifier.challenge_name(), {}});
  return places;
}

Result<ChallengePlace> place_of(const DnsIdentifier& identifier, std::string_view labels) {
  auto prefix = Name::parse(labels);
  if (!prefix || prefix->is_root())
    return fail(ErrorCode::Invalid, "\"{}\" cannot stand in front of {}: {}", labels, identifier.base_text(),
                prefix ? "it has no label" : prefix.error().message);
  auto base_name = Name::parse(identifier.base_text());
  if (!base_name) return fail(base_name.error());
  auto name = base_name->prepend(*prefix);
  if (!name)
    return fail(ErrorCode::Invalid, "\"{}\" is too long: with {}. in front it exceeds 255 octets",
                identifier.base_text(), labels);
  return ChallengePlace{identifier, *std::move(name), {}};
}

Result<std::vector<Delegation>> follow_delegations(const std::vector<ChallengePlace>& places,
                                                   const std::vector<Name>& zones,
                                                   const std::vector<base::SocketAddress>& resolvers,
                                                   const std::vector<base::SocketAddress>& daemon_listen) {
  std::set<Name> challenges;
  for (const ChallengePlace& place : places) challenges.insert(place.name);
  auto facts = gather(challenges, zones, resolvers, daemon_listen);
  if (!facts) return fail(facts.error());

  std::vector<Delegation> delegations;
  delegations.reserve(places.size());
  for (const ChallengePlace& place : places) {
    const Chain& chain = facts->chains.at(place.name);
    Delegation& delegation = delegations.emplace_back();
    delegation.identifier = place.identifier;
    delegation.challenge_name = place.name;
    delegation.chain = chain.names;
    delegation.target = chain.names.back();
    delegation.zone = chain.zone;
    explain(delegation, place, chain, *facts);
  }
  return delegations;
}

std::optional<Name> preferred_zone(const std::vector<Name>& zones) {
  auto found = std::find_if(zones.begin(), zones.end(), [](const Name& zone) {
    return zone.first_label() != kChallengeLabel && zone.first_label() != kPersistLabel &&
           zone.parent().first_label() != kChallengeLabel;
  });
  if (found == zones.end()) return std::nullopt;
  return *found;
}

Result<std::string> recommended_record(const ChallengePlace& place, const Name& zone) {
  if (place.only) return fmt::format("{}. IN CNAME {}.", place.name.text(), place.only->text());
  std::string base_text = place.identifier.base_text();
  auto target = Name::parse(base_text);
  // Two challenge types of one name have different values, so that they need different places.
  if (target && place.name.first_label() != kChallengeLabel) target = target->child(place.name.first_label());
  if (target) target = zone.prepend(*target);
  if (!target)
    return fail(
        ErrorCode::Invalid,
        "\"{}.{}\" is too long for a domain name (255 octets), so that {} cannot be delegated under its own name; "
        "register a short name for it, or choose a shorter [[zone]] name",
        base_text, zone.text(), base_text);
  return fmt::format("{}. IN CNAME {}.", place.name.text(), target->text());
}

}  // namespace countersign::acme
