#include "acme/protocol/nonces.hpp"

#include <algorithm>
#include <iterator>

namespace countersign::acme {
namespace {

constexpr std::chrono::minutes kLifetime{5};  // a server may forget a nonce at any time; older ones mostly cost a retry
constexpr std::size_t kLongest = 512;         // octets; nonces in use have 20 to 100

bool is_base64url(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

void NoncePool::keep(const HttpResponse& response, Time now) {
  std::string nonce = response.header("replay-nonce");
  if (!nonce.empty() && nonce.size() <= kLongest && is_base64url(nonce)) nonces_.push_back({std::move(nonce), now});
}

void NoncePool::add(NoncePool fresh) {
  std::move(fresh.nonces_.begin(), fresh.nonces_.end(), std::back_inserter(nonces_));
}

std::optional<std::string> NoncePool::take(Time now) {
  drop_stale(now);
  if (nonces_.empty()) return std::nullopt;
  std::string nonce = std::move(nonces_.back().text);
  nonces_.pop_back();
  return nonce;
}

std::size_t NoncePool::size(Time now) {
  drop_stale(now);
  return nonces_.size();
}

void NoncePool::drop_stale(Time now) {
  auto fresh =
      std::find_if(nonces_.begin(), nonces_.end(), [&](const Nonce& n) { return now - n.received < kLifetime; });
  nonces_.erase(nonces_.begin(), fresh);
}

}  // namespace countersign::acme
