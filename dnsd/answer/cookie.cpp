#include "dnsd/answer/cookie.hpp"

#include <algorithm>
#include <cstring>

#include "base/socket_address.hpp"
#include "dnsd/answer/siphash.hpp"

namespace countersign::dnsd {
namespace {

// RFC 9018 §4.3.
constexpr std::int32_t kOldest = 3600;
constexpr std::int32_t kRenewAfter = 1800;
constexpr std::int32_t kMostFuture = 300;

constexpr std::size_t kHashAt = 16;       // of the full cookie; before it version, reserved and timestamp
constexpr std::size_t kTimestampAt = 12;  // likewise
constexpr std::byte kVersion{1};

// RFC 9018 §4.4: over the client cookie, the first eight octets of the server cookie as they are, and the address.
std::array<std::byte, 8> hash_cookie(base::Bytes unsigned_cookie, base::Bytes address, const CookieSecret& secret) {
  std::array<std::byte, kHashAt + 16> message;
  std::memcpy(message.data(), unsigned_cookie.data(), kHashAt);
  std::memcpy(message.data() + kHashAt, address.data(), address.size());
  std::uint64_t hash = siphash(secret, base::Bytes(message).first(kHashAt + address.size()));
  std::array<std::byte, 8> octets;
  for (unsigned i = 0; i < octets.size(); ++i) octets[i] = static_cast<std::byte>(hash >> (8 * i));
  return octets;
}

// Without an early end: the time must not tell how much of a guess was right.
bool are_equal(base::Bytes a, base::Bytes b) {
  std::byte difference{0};
  for (std::size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[i];
  return difference == std::byte{0};
}

}  // namespace

CookieState judge_cookie(base::Bytes cookie, const sockaddr& client, std::uint32_t now,
                         std::span<const CookieSecret> secrets) {
  if (cookie.size() == kClientCookie) return CookieState::ClientAlone;
  if (cookie.size() != kFullCookie || cookie[kClientCookie] != kVersion) return CookieState::Invalid;
  // Serial arithmetic (RFC 1982), so that 2106 is no different.
  auto age = static_cast<std::int32_t>(now - base::load_u32(cookie.data() + kTimestampAt));
  if (age > kOldest || age < -kMostFuture) return CookieState::Invalid;
  base::Bytes address = base::ip_octets(client);
  for (const CookieSecret& secret : secrets) {
    auto hash = hash_cookie(cookie, address, secret);
    if (!are_equal(hash, cookie.subspan(kHashAt))) continue;
    bool current = &secret == &secrets.front() && age <= kRenewAfter;
    return current ? CookieState::Valid : CookieState::Renew;
  }
  return CookieState::Invalid;
}

void sign_cookie(FullCookie& cookie, const sockaddr& client, std::uint32_t now, const CookieSecret& secret) {
  base::store_u32(cookie.data() + kClientCookie, 0x01000000U);  // version 1, reserved 0
  base::store_u32(cookie.data() + kTimestampAt, now);
  auto hash = hash_cookie(cookie, base::ip_octets(client), secret);
  std::copy(hash.begin(), hash.end(), cookie.begin() + kHashAt);
}

}  // namespace countersign::dnsd
