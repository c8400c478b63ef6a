// The CNAME chains behind challenge names, followed link by link and all at once.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "acme/check/resolver.hpp"

namespace countersign::acme {

// Let's Encrypt's resolvers (unbound) give up beyond.
inline constexpr std::size_t kMaxCnames = 11;

enum class ChainEnd {
  Open,         // not at its end yet
  InZone,       // inside a zone of the daemon
  NoCname,      // the last name has no CNAME and is not ours
  Loop,         // the last name stands in the chain twice
  TooLong,      // more than kMaxCnames links
  Failed,       // the resolver answers with an error
  NotResolver,  // what answers is no recursive resolver
  NoAnswer,     // nobody answers for the last name
};

struct Chain {
  std::vector<base::Name> names;  // the challenge name, then each CNAME target
  ChainEnd end = ChainEnd::Open;
  std::optional<base::Name> zone;    // InZone: the daemon's
  std::optional<dns::Finding> last;  // what the resolver said about the last name it was asked for
  std::optional<base::Error> error;  // NoAnswer
};

// The most specific of `zones` that holds `name`.
[[nodiscard]] std::optional<base::Name> zone_of(const base::Name& name, const std::vector<base::Name>& zones);

[[nodiscard]] std::map<base::Name, Chain> follow_chains(const std::set<base::Name>& challenges,
                                                        const std::vector<base::Name>& zones, dns::Resolver& resolver);

}  // namespace countersign::acme
