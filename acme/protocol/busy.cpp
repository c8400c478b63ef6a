#include "acme/protocol/busy.hpp"

#include <array>

#include "acme/protocol/reply_headers.hpp"

namespace countersign::acme {
namespace {

using Milliseconds = std::chrono::milliseconds;

// How long to wait before each new try where the CA does not say.
constexpr std::array<Milliseconds, 2> kDelays = {Milliseconds(250), Milliseconds(1000)};
// A longer Retry-After is for a person to decide about.
constexpr Milliseconds kLongestWait{10'000};

}  // namespace

std::optional<Milliseconds> busy_delay(const base::Result<HttpResponse>& answer, unsigned tries) {
  if (tries >= kDelays.size()) return std::nullopt;
  if (!answer) {
    if (answer.error().code != base::ErrorCode::Unavailable) return std::nullopt;
    return kDelays[tries];
  }
  long status = answer->status;
  if (status != 429 && status != 502 && status != 503 && status != 504) return std::nullopt;
  auto said = retry_after(*answer);
  // A 429 without a time is a limit for hours or days (RFC 8555 §6.6), not a busy server.
  if (status == 429 && !said) return std::nullopt;
  Milliseconds delay = said.value_or(kDelays[tries]);
  if (delay > kLongestWait) return std::nullopt;
  return delay;
}

}  // namespace countersign::acme
