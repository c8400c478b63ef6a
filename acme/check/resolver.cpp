#include "acme/check/resolver.hpp"

#include <algorithm>

namespace countersign::acme::dns {
namespace {

using base::Result;
using std::chrono::milliseconds;

// A resolver with a cold cache walks down from the root and may meet dead servers: it gets seven seconds in all. With
// several of them the first pass is short, so that a dead one costs three seconds and not the run.
const std::vector<milliseconds> kOnlyOne{milliseconds(1000), milliseconds(2000), milliseconds(4000)};
const std::vector<milliseconds> kFirstPass{milliseconds(1000), milliseconds(2000)};
const std::vector<milliseconds> kSecondPass{milliseconds(4000)};

const std::vector<milliseconds>& waits(std::size_t turn, std::size_t resolvers, Patience patience) {
  if (turn >= resolvers) return kSecondPass;
  return resolvers == 1 && patience == Patience::Full ? kOnlyOne : kFirstPass;
}

bool is_usable(const Reply& reply) {
  return reply.rcode != kRefused && reply.rcode != kNotImp && is_recursive(reply);
}

}  // namespace

bool is_recursive(const Reply& reply) {
  return reply.recursion_available || !reply.answer.empty() || reply.rcode == kServFail;
}

std::vector<Result<Finding>> Resolver::look_up(const std::vector<Lookup>& lookups, Patience patience) {
  std::vector<Result<Finding>> findings(
      lookups.size(), base::fail(base::ErrorCode::Unavailable, "no resolver is known; set acme.resolver"));
  std::vector<std::size_t> open(lookups.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  std::vector<base::SocketAddress> turns = addresses_;
  if (addresses_.size() > 1 && patience == Patience::Full)
    turns.insert(turns.end(), addresses_.begin(), addresses_.end());

  for (std::size_t turn = 0; turn < turns.size() && !open.empty(); ++turn) {
    std::vector<Query> queries;
    queries.reserve(open.size());
    for (std::size_t i : open) queries.push_back({turns[turn], {lookups[i].name, lookups[i].type, Recursion::Desired}});
    AskOptions options;
    options.waits = waits(turn, addresses_.size(), patience);
    auto replies = ask(queries, options);
    std::vector<std::size_t> still_open;
    for (std::size_t i = 0; i < open.size(); ++i) {
      auto& finding = findings[open[i]];
      if (!replies[i] || !is_usable(*replies[i])) still_open.push_back(open[i]);
      // A refusal is worth more than silence: it stays when nobody says anything better.
      if (replies[i])
        finding = Finding{*std::move(replies[i]), turns[turn]};
      else if (!finding)
        finding = base::fail(replies[i].error());
    }
    if (still_open.size() == open.size() && addresses_.size() > 1 && addresses_.front() == turns[turn])
      std::rotate(addresses_.begin(), addresses_.begin() + 1, addresses_.end());
    open = std::move(still_open);
  }
  return findings;
}

std::string Resolver::text() const {
  std::string out;
  for (const auto& address : addresses_) out += (out.empty() ? "" : ", ") + server_text(address);
  return out;
}

}  // namespace countersign::acme::dns
