// From query to response, in place: pure, without sockets, locks, allocation or clock. UDP, TCP, tests, fuzzers and
// benchmarks all call this.
// Thread: any, each with Counters and an online Epochs::Reader of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/counters.hpp"
#include "base/name.hpp"
#include "base/wire.hpp"
#include "zones/name_table.hpp"

namespace countersign::dnsd {

enum class Transport : std::uint8_t { Udp, Tcp };

// Owned by the thread that answers.
struct Counters {
  base::Counter queries_udp, queries_tcp;
  base::Counter responses;
  base::Counter dropped_short;     // fewer than 12 octets
  base::Counter dropped_response;  // QR set: never answered, or two servers could talk for ever
  base::Counter noerror, nxdomain, formerr, notimp, refused, badvers;
  base::Counter nodata, referral;  // of the NOERRORs
  base::Counter truncated;
  base::Counter edns;
};

// What a challenge query was told, for the stream of seen queries. `name` points into the query's own state.
struct Seen {
  std::string_view name;  // lower-case wire
  std::uint16_t type = 0;
  std::uint16_t rcode = 0;
  std::uint16_t values = 0;  // TXT records in the answer
};

// One query on its way through parse(), find() and compose(). Kept by the caller, one for each slot of a batch, and
// never cleared: parse() sets what the others read.
struct Query {
  std::byte* packet = nullptr;  // query in, response out
  std::size_t capacity = 0;     // octets at `packet`
  std::size_t length = 0;       // octets of the query
  Transport transport = Transport::Udp;

  enum class Fate : std::uint8_t { Drop, Answer, Error };
  Fate fate = Fate::Drop;
  std::uint16_t rcode = 0;  // for Fate::Error, extended (RFC 6891 §6.1.3)
  std::uint16_t type = 0;
  std::uint16_t question_length = 0;  // octets of the question kept in the response; 0 = none
  std::uint16_t limit = 512;          // octets of the response
  std::uint8_t name_length = 0;
  std::uint8_t labels = 0;
  std::uint8_t opcode = 0;
  enum Flag : std::uint8_t { RecursionDesired = 1, CheckingDisabled = 2, Edns = 4, DnssecOk = 8 };
  std::uint8_t flags = 0;
  std::uint64_t hash = 0;
  const zones::Node* guess = nullptr;
  // 8 octets more than a name needs: it is lowered a word at a time.
  alignas(8) std::array<char, 264> name{};
};

class Responder {
 public:
  // `max_udp_payload`: octets of a UDP response at most, 512 to 1400, and what our OPT offers.
  Responder(const zones::NameTable& table, std::uint16_t max_udp_payload)
      : table_(table), max_udp_payload_(max_udp_payload) {}

  // Reads header, question and OPT of query.packet[0, query.length); hashes the name; prefetches its slot.
  void parse(Query& query, Counters& counters) const;
  // Reads the slot, prefetches the node.
  void find(Query& query) const;
  // Writes the response over the query; returns its octets, 0 = send nothing. `seen` is filled when the query was for
  // TXT in a zone of ours (seen.name is empty otherwise). capacity must be at least max_udp_payload, for TCP 65535.
  [[nodiscard]] std::size_t compose(Query& query, Counters& counters, Seen& seen) const;

  // All three, for one query.
  [[nodiscard]] std::size_t respond(Query& query, Counters& counters, Seen& seen) const {
    parse(query, counters);
    find(query);
    return compose(query, counters, seen);
  }

 private:
  const zones::NameTable& table_;
  std::uint16_t max_udp_payload_;
};

}  // namespace countersign::dnsd
