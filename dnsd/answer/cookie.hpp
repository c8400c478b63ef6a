// DNS cookies (RFC 7873) with the interoperable server cookie of RFC 9018: who returns one has proved its address.
// Thread: any.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/wire.hpp"
#include "dnsd/answer/settings.hpp"

namespace countersign::dnsd {

inline constexpr std::size_t kClientCookie = 8;
inline constexpr std::size_t kServerCookie = 16;  // RFC 9018 §4: version, reserved, timestamp, hash
inline constexpr std::size_t kFullCookie = kClientCookie + kServerCookie;

using FullCookie = std::array<std::byte, kFullCookie>;

enum class CookieState : std::uint8_t {
  None,
  ClientAlone,
  Invalid,  // a server cookie that is not ours, of another address, or too old
  Valid,
  Renew,  // valid, but the client should get a new one (RFC 9018 §4.3)
};

// RFC 7873 §4: 8 octets of the client's, then none or 8 to 32 of a server's.
[[nodiscard]] constexpr bool is_cookie_length(std::size_t octets) {
  return octets == kClientCookie || (octets >= 16 && octets <= 40);
}

// `cookie` has a length as above. `now` is in seconds since 1970, modulo 2^32.
[[nodiscard]] CookieState judge_cookie(base::Bytes cookie, const sockaddr& client, std::uint32_t now,
                                       std::span<const CookieSecret> secrets);

// Signs the client cookie at the beginning of `cookie` for this address and time.
void sign_cookie(FullCookie& cookie, const sockaddr& client, std::uint32_t now, const CookieSecret& secret);

}  // namespace countersign::dnsd
