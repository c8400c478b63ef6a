// The store's memory of a TSIG key, against replays (RFC 8945 §10.1).
#pragma once

#include <cstdint>
#include <string>

namespace countersign::zones {

// When the newest update of a TSIG key that was applied had been signed: after a restart nothing older is applied
// again.
struct SignedMark {
  std::string key;                // its name, lower-case wire
  std::uint64_t time_signed = 0;  // seconds since 1970
};

}  // namespace countersign::zones
