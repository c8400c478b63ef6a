// ACME Renewal Information: when the CA would like a certificate to be renewed (RFC 9773).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "acme/protocol/session.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct RenewalInfo {
  base::WallTime start, end;    // of the suggested window; start < end, which is within ten years
  std::string explanation_url;  // "" = none
  // When to ask again: Retry-After within 1 min to 24 h, 6 h where it is absent or broken (RFC 9773 §4.3).
  std::chrono::milliseconds ask_again{};
};

// `certificate_id`: CertificateChain::ari_id(). Unauthenticated; one request, no new tries. Error: NotFound, when the
// CA offers none; Unavailable or Timeout for what may pass (5xx, no connection); Protocol for a window that is none
// (RFC 9773 §4.2: as if there were no answer); Refused.
[[nodiscard]] base::Result<RenewalInfo> fetch_renewal_info(Session& session, const std::string& certificate_id);

}  // namespace countersign::acme
