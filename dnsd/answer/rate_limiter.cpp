#include "dnsd/answer/rate_limiter.hpp"

#include <algorithm>
#include <cstring>

#include "base/socket_address.hpp"

namespace countersign::dnsd {
namespace {

constexpr std::uint32_t kSecond = 1'000'000;
// A second's share may come at once: the resolvers of a CA ask in bursts.
constexpr std::uint64_t kBurst = kSecond;
// Who goes on over the limit stays over it: a share that came back each second would go to the victim in full. After
// the flood it takes so long until answers pass again; until then there are slips, cookies and TCP.
constexpr std::uint64_t kMemory = 5 * std::uint64_t{kSecond};

// IPv4 /24 and IPv6 /56, the networks that one customer can forge from or be attacked in.
std::uint64_t network_of(const sockaddr& client) {
  base::Bytes octets = base::ip_octets(client);
  std::size_t kept = octets.size() == 4 ? 3 : 7;
  std::uint64_t network = 0;
  std::memcpy(&network, octets.data(), kept);
  return network | (static_cast<std::uint64_t>(kept) << 56U);  // no IPv6 network is an IPv4 one
}

}  // namespace

RateLimiter::RateLimiter(zones::HashSeed seed) : seed_(seed), sets_(std::make_unique<std::array<Set, kSets>>()) {}

RateLimiter::Bucket& RateLimiter::find(std::uint64_t hash) {
  auto tag = static_cast<std::uint32_t>(hash >> 32U) | 1U;  // 0 is nobody's
  Set& set = (*sets_)[hash % kSets];
  Bucket* oldest = set.ways.data();
  std::uint64_t oldest_until = UINT64_MAX;
  for (Bucket& bucket : set.ways) {
    if (bucket.tag.load(std::memory_order_relaxed) == tag) return bucket;
    std::uint64_t until = bucket.used_until.load(std::memory_order_relaxed);
    if (until >= oldest_until) continue;
    oldest = &bucket;
    oldest_until = until;
  }
  // Taken from the one that has used least: those under a flood stay.
  oldest->tag.store(tag, std::memory_order_relaxed);
  oldest->limited.store(0, std::memory_order_relaxed);
  oldest->used_until.store(0, std::memory_order_relaxed);
  return *oldest;
}

RateLimiter::Verdict RateLimiter::judge(const sockaddr& client, std::uint64_t answer, Limit limit, std::uint64_t now) {
  zones::NameHasher hasher(seed_, sizeof answer);
  hasher.add(network_of(client));
  hasher.add(answer);
  Bucket& bucket = find(hasher.finish());
  // In 32 bits: a wider division costs three times as much.
  std::uint64_t share = std::max<std::uint32_t>(kSecond / limit.responses_per_second, 1);
  std::uint64_t used_until = std::max(bucket.used_until.load(std::memory_order_relaxed), now);
  bool over = used_until - now > kBurst - share;
  bucket.used_until.store(std::min(used_until + share, now + kMemory), std::memory_order_relaxed);
  if (!over) return Verdict::Pass;
  std::uint32_t limited = bucket.limited.load(std::memory_order_relaxed) + 1;
  bucket.limited.store(limited, std::memory_order_relaxed);
  return limit.slip != 0 && limited % limit.slip == 0 ? Verdict::Slip : Verdict::Drop;
}

}  // namespace countersign::dnsd
