// The OPT of a response (RFC 6891) and the options in it.
// Thread: the one that answers.
#pragma once

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/answer/query.hpp"
#include "dnsd/answer/settings.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {

// What the answer adds to what the query asked for.
struct OptContent {
  std::uint16_t rcode = 0;
  std::uint16_t extended_error = 0;
  // That the question's name lies in; null when in none (no EXPIRE and no ZONEVERSION then).
  const zones::ZoneAnswers* zone = nullptr;
};

// Octets of the response that records must leave for the OPT: what a client needs. NSID and the like go in when there
// is room left.
[[nodiscard]] inline std::size_t opt_room(const Query& query) {
  if ((query.flags & Query::Edns) == 0) return 0;
  std::size_t room = kOptLength;
  if (query.cookie_state != CookieState::None) room += option::kHeaderLength + kFullCookie;
  if ((query.options & Query::TcpKeepalive) != 0) room += option::kHeaderLength + 2;
  return room;
}

// Behind an OPT without options at `at`; returns where it ends then.
[[nodiscard]] std::size_t write_options(const Query& query, std::size_t at, const AnswerSettings& settings,
                                        const OptContent& content);

// Writes it at `at` of the packet; returns where it ends. Only for queries with EDNS, and where opt_room() is left.
[[nodiscard]] inline std::size_t write_opt(const Query& query, std::size_t at, const AnswerSettings& settings,
                                           const OptContent& content) {
  std::byte* opt = query.packet + at;
  opt[0] = std::byte{0};
  base::store_u16(opt + 1, zones::record_type::kOpt);
  base::store_u16(opt + 3, settings.max_udp_payload);
  opt[5] = static_cast<std::byte>(content.rcode >> 4U);
  opt[6] = std::byte{0};
  base::store_u16(opt + 7, (query.flags & Query::DnssecOk) != 0 ? 0x8000 : 0);
  base::store_u16(opt + 9, 0);
  bool plain = query.cookie_state == CookieState::None && query.options == 0 && content.extended_error == 0;
  return plain ? at + kOptLength : write_options(query, at, settings, content);
}

}  // namespace countersign::dnsd
