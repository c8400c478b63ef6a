// What the responder is told besides the zones. A reload makes a new one.
// Thread: immutable once given to a Responder.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

using CookieSecret = std::array<std::byte, 16>;

struct AnswerSettings {
  std::uint16_t max_udp_payload = 1232;  // octets of a response over UDP at most, 512 to 1400, and what our OPT offers
  std::string nsid{};                    // RFC 5001; "" = none. At most 64 octets
  std::string version{};                 // version.bind; "" = REFUSED. At most 255 octets
  std::uint32_t responses_per_second = 0;      // rate limit, at most 1,000,000; 0 = off
  std::uint32_t slip = 2;                      // of the limited responses each so many-th goes out cut short; 0 = none
  std::vector<CookieSecret> cookie_secrets{};  // the first signs, all verify; none = cookies are ignored
  std::chrono::milliseconds tcp_idle_timeout{10'000};  // told by the keepalive option (RFC 7828)
  // There are TSIG keys: dynamic updates and whatever is signed become Fate::Deferred, instead of errors.
  bool defers_signed = false;
};

// One secret a line, as 32 hex digits; empty lines and those that begin with # are passed over. Error: Invalid, with
// the line, when one is something else, or there is none, or more than 8.
[[nodiscard]] base::Result<std::vector<CookieSecret>> parse_cookie_secrets(std::string_view text);
[[nodiscard]] CookieSecret random_cookie_secret();

}  // namespace countersign::dnsd
