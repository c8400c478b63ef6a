// Responder::parse: header, question and OPT, read in place.
#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/answer/responder.hpp"
#include "zones/name_hash.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::load_u16;
namespace record_type = zones::record_type;

constexpr std::uint16_t kUdpLimitWithoutEdns = 512;  // RFC 1035 §2.3.4

void set_error(Query& query, std::uint16_t rcode) {
  query.fate = Query::Fate::Error;
  query.rcode = rcode;
}

// Walks the labels of the question's name; false when it is none. A pointer cannot be there: nothing precedes it.
bool measure_name(Query& query) {
  std::size_t at = kHeaderLength;
  std::uint8_t labels = 0;
  while (at < query.length) {
    auto length = std::to_integer<std::size_t>(query.packet[at]);
    if (length > base::kMaxLabelLength) return false;
    at += 1 + length;
    if (at - kHeaderLength > base::kMaxNameLength) return false;
    if (length == 0) {
      query.name_length = static_cast<std::uint8_t>(at - kHeaderLength);
      query.labels = labels;
      return query.length - at >= 4 && at <= query.length;
    }
    ++labels;
  }
  return false;
}

// Lowers and hashes in one pass, a word at a time. The packet's header lies before the name, so that load_tail() may
// look back.
void lower_and_hash(Query& query, zones::HashSeed seed) {
  const std::byte* from = query.packet + kHeaderLength;
  char* to = query.name.data();
  std::size_t left = query.name_length;
  zones::NameHasher hasher(seed, query.name_length);
  for (; left >= 8; left -= 8, from += 8, to += 8) {
    std::uint64_t word = zones::lower_word(zones::load_word(from));
    std::memcpy(to, &word, sizeof word);
    hasher.add(word);
  }
  if (left > 0) {
    std::uint64_t word = zones::lower_word(zones::load_tail(from + left, left));
    std::memcpy(to, &word, sizeof word);
    hasher.add(word);
  }
  query.hash = hasher.finish();
}

// The owner name of a record behind the question: labels, or a pointer backwards, which is not followed.
bool skip_owner(base::WireReader& reader) {
  for (;;) {
    std::uint8_t length = reader.u8();
    if (!reader.ok()) return false;
    if (length == 0) return true;
    if ((length & 0xc0U) == 0xc0U) {
      reader.skip(1);
      return reader.ok();
    }
    if (length > base::kMaxLabelLength) return false;
    reader.skip(length);
  }
}

// RFC 6891 §6.1.2: options fill RDATA exactly.
bool options_are_whole(base::Bytes rdata) {
  base::WireReader reader(rdata);
  while (reader.ok() && reader.left() > 0) {
    reader.u16();
    reader.skip(reader.u16());
  }
  return reader.ok();
}

struct Opt {
  bool present = false;
  std::uint8_t version = 0;
};

// The records behind the question; false: FORMERR.
bool read_records(Query& query, std::size_t start, std::uint32_t count, Opt& opt) {
  base::WireReader reader({query.packet + start, query.length - start});
  for (; count > 0; --count) {
    std::size_t before = reader.position();
    if (!skip_owner(reader)) return false;
    bool owner_is_root = reader.position() - before == 1;
    std::uint16_t type = reader.u16();
    std::uint16_t payload = reader.u16();
    std::uint32_t ttl = reader.u32();
    std::uint16_t length = reader.u16();
    base::Bytes rdata = reader.bytes(length);
    if (!reader.ok()) return false;
    if (type != record_type::kOpt) continue;
    if (opt.present || !owner_is_root || !options_are_whole(rdata)) return false;  // RFC 6891 §6.1.1
    opt.present = true;
    opt.version = static_cast<std::uint8_t>((ttl >> 16U) & 0xffU);
    query.flags |= Query::Edns;
    if ((ttl & 0x8000U) != 0) query.flags |= Query::DnssecOk;
    query.limit = payload < kMinUdpPayload ? kMinUdpPayload : payload;  // RFC 6891 §6.2.3
  }
  return true;
}

// Types that are no data: RFC 6895 §3.1, RFC 9824 §3.4 (NXNAME). 0: it may be looked up.
std::uint16_t refuse_type(const Query& query) {
  switch (query.type) {
    case record_type::kOpt:
    case record_type::kTsig:
    case record_type::kTkey:
    case record_type::kNxname:
      return rcode::kFormErr;
    case record_type::kAxfr:
      return query.transport == Transport::Udp ? rcode::kFormErr : rcode::kRefused;  // RFC 5936 §4.2, §5
    case record_type::kIxfr:
      return rcode::kRefused;
    default:
      return 0;
  }
}

}  // namespace

void Responder::parse(Query& query, Counters& counters) const {
  query.fate = Query::Fate::Drop;
  query.question_length = 0;
  query.flags = 0;
  query.guess = nullptr;
  query.limit = kUdpLimitWithoutEdns;
  if (query.transport == Transport::Udp)
    counters.queries_udp.add();
  else
    counters.queries_tcp.add();
  if (query.length < kHeaderLength) return counters.dropped_short.add();
  const std::byte* packet = query.packet;
  std::uint16_t flags = load_u16(packet + 2);
  if ((flags & header::kQr) != 0) return counters.dropped_response.add();
  query.opcode = static_cast<std::uint8_t>((flags >> header::kOpcodeShift) & 0xfU);
  if (query.opcode != 0) return set_error(query, rcode::kNotImp);
  if ((flags & header::kRd) != 0) query.flags |= Query::RecursionDesired;
  if ((flags & header::kCd) != 0) query.flags |= Query::CheckingDisabled;
  // RFC 9619: exactly one question.
  if (load_u16(packet + 4) != 1 || !measure_name(query)) return set_error(query, rcode::kFormErr);
  std::size_t end = kHeaderLength + query.name_length;
  query.type = load_u16(packet + end);
  std::uint16_t query_class = load_u16(packet + end + 2);
  query.question_length = static_cast<std::uint16_t>(query.name_length + 4U);
  // IXFR carries the client's SOA in the authority section (RFC 1995 §3); all else has nothing to say there.
  std::uint16_t authorities = load_u16(packet + 8);
  if (load_u16(packet + 6) != 0 || (authorities != 0 && query.type != record_type::kIxfr))
    return set_error(query, rcode::kFormErr);
  Opt opt;
  if (!read_records(query, end + 4, std::uint32_t{authorities} + load_u16(packet + 10), opt))
    return set_error(query, rcode::kFormErr);
  if (query.transport == Transport::Tcp)
    query.limit = 0xffff;
  else if (query.limit > max_udp_payload_)
    query.limit = max_udp_payload_;
  if (opt.present) counters.edns.add();
  if (opt.version != 0) return set_error(query, rcode::kBadVers);
  if (std::uint16_t refused = refuse_type(query); refused != 0) return set_error(query, refused);
  if (query_class != kClassIn) return set_error(query, rcode::kRefused);
  query.fate = Query::Fate::Answer;
  lower_and_hash(query, table_.seed());
  table_.prefetch(query.hash);
}

void Responder::find(Query& query) const {
  if (query.fate != Query::Fate::Answer) return;
  query.guess = table_.guess(query.hash);
  if (query.guess == nullptr) return;
  // A node with one TXT value takes up to three lines.
  const char* node = reinterpret_cast<const char*>(query.guess);
  __builtin_prefetch(node);
  __builtin_prefetch(node + 64);
  __builtin_prefetch(node + 128);
}

}  // namespace countersign::dnsd
