// The CA's suggestions for renewals (RFC 9773), kept in CERT.json: when to ask for one, and what to make of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "acme/protocol/renewal_info.hpp"
#include "acme/state/certificate_record.hpp"
#include "base/clock.hpp"

namespace countersign::acme {

// False as long as the last answer's Retry-After wants it so.
[[nodiscard]] bool is_time_to_ask(const std::optional<RenewalState>& state, const std::string& certificate_id,
                                  base::WallTime now);

// RFC 9773 §4.2: the time is drawn from the window, uniformly (`random`: any number), and again only when the window
// changes: a new draw at each look would prefer early times.
[[nodiscard]] RenewalState taken_up(const std::optional<RenewalState>& before, const std::string& certificate_id,
                                    const RenewalInfo& info, base::WallTime now, std::uint64_t random);

// After a question that had no answer, and will not have one soon: what is known of a window stays.
[[nodiscard]] RenewalState put_off(const std::optional<RenewalState>& before, const std::string& certificate_id,
                                   base::WallTime ask_at);

// RFC 9773 §4.3.3: what is not over soon (no such certificate, no renewal information at all, an answer that is none).
[[nodiscard]] bool is_long_term(base::ErrorCode error);
// RFC 9773 §4.3.3: how long to wait after so many answers in a row that were none; `error` is the last one's.
[[nodiscard]] std::chrono::milliseconds wait_after(base::ErrorCode error, unsigned failures);

}  // namespace countersign::acme
