// A dynamic update's message (RFC 2136): from wire data to prerequisites and changes, with the checks that need no zone
// data. ldns reads RDATA; names and frames are read here, within bounds that ldns does not set.
// Thread: any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "base/wire.hpp"
#include "dnsd/update/tsig.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

// Refused before any zone was looked at: `rcode` 1 FORMERR, 5 REFUSED, 9 NOTAUTH, 10 NOTZONE; `reason` for the log.
struct UpdateRefusal {
  std::uint16_t rcode = 1;
  std::string reason;
};

struct UpdateRequest {
  base::Name zone;
  zones::TxtUpdate update;
};

// `message`: opcode UPDATE, without its TSIG record (ARCOUNT decremented), at least a header. `zones`: apexes of ours.
// `key`: who asks; its changes are owned by "key:NAME" and limited to its patterns and to TXT (REFUSED otherwise). The
// order of the checks is RFC 2136's §3.1 to §3.4.1, with permission after the prescan. Deletions of an RRset or of all
// RRsets of a name take the key's own values alone, so that clients that clear a name first (lego does) do not take
// another client's; the deletion of one record takes that value whoever put it there. The lifetime of an added value is
// the configured one, whatever its TTL.
[[nodiscard]] std::variant<UpdateRequest, UpdateRefusal> parse_update(base::Bytes message,
                                                                      std::span<const base::Name> zones,
                                                                      const TsigKey& key);

}  // namespace countersign::dnsd
