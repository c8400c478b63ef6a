#include "dnsd/api/rate_buckets.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace countersign::dnsd {
namespace {

double refilled(double tokens, base::ElapsedTime since, RateBuckets::Limit limit) {
  double seconds = std::chrono::duration<double>(since).count();
  return std::min(limit.burst, tokens + std::max(seconds, 0.0) * limit.per_second);
}

bool has_no_limit(RateBuckets::Limit limit) {
  return limit.per_second <= 0 || limit.burst <= 0;
}

// What thousands of additions of fractions lose must not cost somebody a token.
constexpr double kRounding = 1e-6;

std::chrono::milliseconds wait_for_token(double tokens, RateBuckets::Limit limit) {
  constexpr double kDay = 86'400'000;  // a wait for a person; the slowest rate there is gives a token a minute
  double wait = std::ceil((1 - tokens) / limit.per_second * 1000);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(wait, kDay)));
}

}  // namespace

std::optional<std::chrono::milliseconds> RateBuckets::take(std::string_view key, Limit limit, base::ElapsedTime now) {
  if (has_no_limit(limit)) return std::nullopt;
  limit.burst = std::max(limit.burst, 1.0);  // a bucket that can never hold one token would let nobody through
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= capacity_) make_room(limit, now);
    found = buckets_.emplace(std::string(key), Bucket{limit.burst, now}).first;
  }
  Bucket& bucket = found->second;
  bucket.tokens = refilled(bucket.tokens, now - bucket.at, limit);
  bucket.at = now;
  if (bucket.tokens + kRounding >= 1) {
    bucket.tokens = std::max(bucket.tokens - 1, 0.0);
    return std::nullopt;
  }
  return wait_for_token(bucket.tokens, limit);
}

std::optional<std::chrono::milliseconds> RateBuckets::look(std::string_view key, Limit limit,
                                                           base::ElapsedTime now) const {
  auto found = buckets_.find(key);
  if (has_no_limit(limit) || found == buckets_.end()) return std::nullopt;
  limit.burst = std::max(limit.burst, 1.0);
  double tokens = refilled(found->second.tokens, now - found->second.at, limit);
  if (tokens + kRounding >= 1) return std::nullopt;
  return wait_for_token(tokens, limit);
}

void RateBuckets::give_back(std::string_view key, Limit limit, base::ElapsedTime now) {
  auto found = buckets_.find(key);
  if (has_no_limit(limit) || found == buckets_.end()) return;  // forgotten ones are full
  limit.burst = std::max(limit.burst, 1.0);
  Bucket& bucket = found->second;
  bucket.tokens = std::min(limit.burst, refilled(bucket.tokens, now - bucket.at, limit) + 1);
  bucket.at = now;
}

// A quarter goes at once, so that a stream of new keys pays for one look at all of them every so many keys.
void RateBuckets::make_room(Limit limit, base::ElapsedTime now) {
  std::erase_if(buckets_, [&](const auto& entry) {
    return refilled(entry.second.tokens, now - entry.second.at, limit) >= limit.burst;
  });
  std::size_t target = capacity_ - capacity_ / 4 - (capacity_ < 4 ? 1 : 0);
  if (buckets_.size() <= target) return;
  std::vector<double> fill;
  fill.reserve(buckets_.size());
  for (const auto& [key, bucket] : buckets_) fill.push_back(refilled(bucket.tokens, now - bucket.at, limit));
  std::size_t surplus = buckets_.size() - target;
  auto cut = fill.begin() + static_cast<std::ptrdiff_t>(fill.size() - surplus);
  std::nth_element(fill.begin(), cut, fill.end());
  double bound = *cut;
  auto above = static_cast<std::size_t>(std::count_if(fill.begin(), fill.end(), [&](double f) { return f > bound; }));
  std::size_t equal = surplus - above;  // of those exactly at the bound, so many
  std::erase_if(buckets_, [&](const auto& entry) {
    double tokens = refilled(entry.second.tokens, now - entry.second.at, limit);
    if (tokens > bound) return true;
    if (tokens < bound || equal == 0) return false;
    --equal;
    return true;
  });
}

}  // namespace countersign::dnsd
