#include "dnsd/answer/settings.hpp"

#include <algorithm>

#include "base/encoding.hpp"
#include "base/random.hpp"

namespace countersign::dnsd {
namespace {

// The current one and the one before or after it during a change (RFC 9018 §5), with room to spare.
constexpr std::size_t kMaxSecrets = 8;

}  // namespace

base::Result<std::vector<CookieSecret>> parse_cookie_secrets(std::string_view text) {
  std::vector<CookieSecret> secrets;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    auto octets = base::hex_decode(line);
    CookieSecret secret;
    // The line itself is a secret, so it is not quoted.
    if (!octets || octets->size() != secret.size())
      return base::fail(base::ErrorCode::Invalid,
                        "line {} is no cookie secret; write 32 hex digits, as `openssl rand -hex 16` does", number);
    std::copy(octets->begin(), octets->end(), secret.begin());
    secrets.push_back(secret);
  }
  if (secrets.empty())
    return base::fail(base::ErrorCode::Invalid,
                      "there is no cookie secret; write 32 hex digits, as `openssl rand -hex 16` does");
  if (secrets.size() > kMaxSecrets)
    return base::fail(base::ErrorCode::Invalid, "there are more than {} cookie secrets; remove old ones", kMaxSecrets);
  return secrets;
}

CookieSecret random_cookie_secret() {
  CookieSecret secret;
  base::fill_random(secret);
  return secret;
}

}  // namespace countersign::dnsd
