// Responses without records from the zones: errors, and questions about the server itself.
// Thread: the one that answers.
#pragma once

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/answer/query.hpp"
#include "dnsd/answer/settings.hpp"

namespace countersign::dnsd {

struct Counts {
  std::uint16_t answers = 0;
  std::uint16_t authorities = 0;
  std::uint16_t additionals = 0;
};

// The ID stays; all else of the header is written. `flags`: AA and TC, in their places.
inline void write_header(const Query& query, std::uint16_t flags, std::uint16_t rcode, Counts counts) {
  bool edns = (query.flags & Query::Edns) != 0;
  base::store_u16(query.packet + 2, static_cast<std::uint16_t>(query.echoed | header::kQr | flags | (rcode & 0xfU)));
  base::store_u16(query.packet + 4, query.question_length > 0 ? 1 : 0);
  base::store_u16(query.packet + 6, counts.answers);
  base::store_u16(query.packet + 8, counts.authorities);
  base::store_u16(query.packet + 10, static_cast<std::uint16_t>(counts.additionals + (edns ? 1 : 0)));
}

// Header, question and OPT with `rcode`, and `flags` in the header; returns the octets.
[[nodiscard]] std::size_t write_bare(const Query& query, const AnswerSettings& settings, std::uint16_t flags,
                                     std::uint16_t rcode);

// For Fate::Error; with a TSIG that names the reason when the query had one.
[[nodiscard]] std::size_t write_error(Query& query, const AnswerSettings& settings);

// For Fate::Chaos: what id.server and version.bind are told (RFC 4892). Sets query.rcode.
[[nodiscard]] std::size_t write_chaos(Query& query, const AnswerSettings& settings);

}  // namespace countersign::dnsd
