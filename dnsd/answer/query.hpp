// One query on its way through the responder.
// Thread: the one that answers it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dnsd/answer/cookie.hpp"
#include "zones/name_table.hpp"

namespace countersign::dnsd {

enum class Transport : std::uint8_t { Udp, Tcp };

// Read once for a batch (read_moment() of dnsd/net): no query reads a clock.
struct Moment {
  std::uint64_t elapsed_us = 0;    // of a clock that never goes back, for rate limits
  std::uint32_t unix_seconds = 0;  // modulo 2^32, for cookies
};

// What a challenge query was told, for the stream of seen queries. `name` points into the query's own state.
struct Seen {
  std::string_view name;  // lower-case wire
  std::uint16_t type = 0;
  std::uint16_t rcode = 0;
  std::uint16_t values = 0;  // TXT records in the answer
};

// Kept by the caller, one for each slot of a batch, and never cleared: parse() sets what the others read.
struct Query {
  std::byte* packet = nullptr;       // query in, response out
  std::size_t capacity = 0;          // octets at `packet`
  std::size_t length = 0;            // octets of the query
  const sockaddr* client = nullptr;  // IPv4 or IPv6; null: no cookies and no rate limit
  Moment moment;
  Transport transport = Transport::Udp;

  enum class Fate : std::uint8_t {
    Drop,
    Deferred,  // another's work (AnswerSettings::defers_signed); the packet is as it came
    Answer,    // from the zones
    Chaos,     // about the server itself, in class CH
    Error,     // `rcode`, without records
  };
  enum Flag : std::uint8_t { Edns = 1, DnssecOk = 2 };
  enum Option : std::uint8_t { Nsid = 1, Expire = 2, TcpKeepalive = 4, ZoneVersion = 8 };
  // Side by side, so that clearing them for the next query is a few wide stores.
  Fate fate = Fate::Drop;
  std::uint8_t flags = 0;
  std::uint8_t options = 0;  // that the client asked for
  CookieState cookie_state = CookieState::None;
  std::uint16_t rcode = 0;            // for Fate::Error, extended (RFC 6891 §6.1.3)
  std::uint16_t extended_error = 0;   // RFC 8914 INFO-CODE; 0 = none
  std::uint16_t question_length = 0;  // octets of the question kept in the response; 0 = none
  std::uint16_t tsig_at = 0;          // of a TSIG record to be refused (RFC 8945 §5.2.1); 0 = none
  std::uint16_t echoed = 0;           // opcode, RD and CD, where they stand in the header
  std::uint16_t limit = 512;          // octets of the response
  std::uint16_t type = 0;
  std::uint8_t name_length = 0;
  std::uint8_t labels = 0;
  FullCookie cookie{};  // as it will be sent back
  std::uint64_t hash = 0;
  zones::NameTable::View names;  // of one generation from find() to the end, whatever is reloaded meanwhile
  const zones::Node* guess = nullptr;
  // 8 octets more than a name needs: it is lowered a word at a time.
  alignas(8) std::array<char, 264> name{};
};

}  // namespace countersign::dnsd
