// Cookies (RFC 7873, RFC 9018) of every length, address and time, and the file of secrets. What we sign is ours, at
// once and for half an hour; one bit less and it is not.
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "dnsd/answer/cookie.hpp"

namespace {

using namespace countersign::dnsd;  // NOLINT(google-build-using-namespace): nothing else is in here

constexpr std::size_t kAddress = 17;  // family, octets
constexpr std::size_t kHeader = kAddress + 4;

const std::array<CookieSecret, 2> kSecrets{CookieSecret{std::byte{1}}, CookieSecret{std::byte{2}}};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(parse_cookie_secrets({reinterpret_cast<const char*>(data), size}));
  if (size < kHeader) return 0;
  sockaddr_storage storage{};
  storage.ss_family = (data[0] & 1U) != 0 ? AF_INET6 : AF_INET;
  if (storage.ss_family == AF_INET6)
    std::memcpy(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, data + 1, 16);
  else
    std::memcpy(&reinterpret_cast<sockaddr_in&>(storage).sin_addr, data + 1, 4);
  const auto& client = reinterpret_cast<const sockaddr&>(storage);
  std::uint32_t now = 0;
  std::memcpy(&now, data + kAddress, sizeof now);
  countersign::base::Bytes cookie(reinterpret_cast<const std::byte*>(data) + kHeader, size - kHeader);
  if (!is_cookie_length(cookie.size())) return 0;

  CookieState state = judge_cookie(cookie, client, now, kSecrets);
  if (state == CookieState::None) throw std::runtime_error("a cookie that is none");
  if ((state == CookieState::ClientAlone) != (cookie.size() == kClientCookie))
    throw std::runtime_error("a client cookie alone");
  FullCookie full{};
  std::copy_n(cookie.begin(), kClientCookie, full.begin());
  sign_cookie(full, client, now, kSecrets[0]);
  if (judge_cookie(full, client, now, kSecrets) != CookieState::Valid ||
      judge_cookie(full, client, now + 1800, kSecrets) != CookieState::Valid ||
      judge_cookie(full, client, now + 1801, kSecrets) != CookieState::Renew ||
      judge_cookie(full, client, now + 3601, kSecrets) != CookieState::Invalid)
    throw std::runtime_error("our own cookie refused, or kept too long");
  full[now % full.size()] ^= std::byte{1};
  CookieState flipped = judge_cookie(full, client, now, kSecrets);
  if (flipped != CookieState::Invalid) throw std::runtime_error("a changed cookie accepted");
  sign_cookie(full, client, now, kSecrets[1]);
  if (judge_cookie(full, client, now, kSecrets) == CookieState::Valid)
    throw std::runtime_error("a cookie of the secret before is not renewed");
  return 0;
}
