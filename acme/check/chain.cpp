#include "acme/check/chain.hpp"

#include <algorithm>

namespace countersign::acme {
namespace {

using dns::RecordType;

// Goes to `target`, and says whether the chain ends there.
void step_to(Chain& chain, const base::Name& target, const std::vector<base::Name>& zones) {
  bool seen = std::find(chain.names.begin(), chain.names.end(), target) != chain.names.end();
  chain.names.push_back(target);
  if (seen) {
    chain.end = ChainEnd::Loop;
    return;
  }
  chain.zone = zone_of(target, zones);
  if (chain.zone)
    chain.end = ChainEnd::InZone;
  else if (chain.names.size() > kMaxCnames + 1)
    chain.end = ChainEnd::TooLong;
}

// The question was for CNAME, so that a resolver gives one link; some give more, and a DNAME comes with the CNAME made
// from it (RFC 6672 §3.1). So every link that the answer holds is taken.
void learn(Chain& chain, base::Result<dns::Finding> finding, const std::vector<base::Name>& zones) {
  if (!finding) {
    chain.end = ChainEnd::NoAnswer;
    chain.error = finding.error();
    return;
  }
  chain.last = *std::move(finding);
  const dns::Reply& reply = chain.last->reply;
  if (!dns::is_recursive(reply) && reply.rcode != dns::kRefused) {
    chain.end = ChainEnd::NotResolver;
    return;
  }
  if (reply.rcode != dns::kNoError && reply.rcode != dns::kNxDomain) {
    chain.end = ChainEnd::Failed;
    return;
  }
  auto link = reply.answers(chain.names.back(), RecordType::Cname);
  if (link.empty()) chain.end = ChainEnd::NoCname;
  while (chain.end == ChainEnd::Open && !link.empty()) {
    step_to(chain, link.front().name(), zones);
    link = reply.answers(chain.names.back(), RecordType::Cname);
  }
}

}  // namespace

std::optional<base::Name> zone_of(const base::Name& name, const std::vector<base::Name>& zones) {
  std::optional<base::Name> best;
  for (const base::Name& zone : zones)
    if (name.is_within(zone) && (!best || zone.label_count() > best->label_count())) best = zone;
  return best;
}

std::map<base::Name, Chain> follow_chains(const std::set<base::Name>& challenges, const std::vector<base::Name>& zones,
                                          dns::Resolver& resolver) {
  std::map<base::Name, Chain> chains;
  for (const base::Name& challenge : challenges) {
    Chain chain;
    chain.names.push_back(challenge);
    chain.zone = zone_of(challenge, zones);
    if (chain.zone) chain.end = ChainEnd::InZone;
    chains.emplace(challenge, std::move(chain));
  }
  for (;;) {
    std::vector<Chain*> open;
    std::vector<dns::Lookup> lookups;
    for (auto& [challenge, chain] : chains) {
      if (chain.end != ChainEnd::Open) continue;
      open.push_back(&chain);
      lookups.push_back({chain.names.back(), RecordType::Cname});
    }
    if (open.empty()) return chains;
    auto findings = resolver.look_up(lookups, dns::Patience::Full);
    for (std::size_t i = 0; i < open.size(); ++i) learn(*open[i], std::move(findings[i]), zones);
  }
}

}  // namespace countersign::acme
