// Answers to deferred messages before they are signed, and what of a message they depend on.
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/wire.hpp"

namespace countersign::dnsd {

// Without its TSIG record, which is its last and begins at `tsig_at` (RFC 8945 §5.2).
[[nodiscard]] std::string without_tsig(base::Bytes message, std::size_t tsig_at);

// The version that the OPT record of a message speaks of; absent when there is none, or it cannot be read.
[[nodiscard]] std::optional<std::uint8_t> find_edns_version(base::Bytes message);

struct Reply {
  std::uint16_t rcode = 0;  // extended (RFC 6891 §6.1.3); its upper bits need `edns`
  bool edns = false;        // with an OPT record, because the message had one (RFC 6891 §7)
  std::size_t limit = 512;  // octets; the question is left out when it does not fit
};
// Header, question (of an update: the zone) as far as `message`, which has a whole header, lets it be read, and OPT.
[[nodiscard]] std::string bare_reply(base::Bytes message, const Reply& reply);
// For RCODEs below 16.
void set_rcode(std::string& answer, std::uint16_t rcode);
// Header and question alone, with TC.
void cut_short(std::string& answer, std::size_t limit);

}  // namespace countersign::dnsd
