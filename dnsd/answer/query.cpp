// Responder::parse: header, question, OPT and TSIG, read in place.
#include <algorithm>

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
enum class Owner : std::uint8_t { Broken, Root, Plain, Compressed };

Owner skip_owner(base::WireReader& reader) {
  std::size_t begin = reader.position();
  for (Owner owner = Owner::Root;; owner = Owner::Plain) {
    std::uint8_t length = reader.u8();
    if (!reader.ok() || reader.position() - begin > base::kMaxNameLength) return Owner::Broken;
    if (length == 0) return owner;
    if ((length & 0xc0U) == 0xc0U) {
      reader.skip(1);
      return reader.ok() ? Owner::Compressed : Owner::Broken;
    }
    if (length > base::kMaxLabelLength) return Owner::Broken;
    reader.skip(length);
  }
}

bool read_cookie(Query& query, base::Bytes cookie, const AnswerSettings& settings) {
  // All but the first are ignored (RFC 7873 §5.2).
  bool ignored = query.client == nullptr || settings.cookie_secrets.empty();
  if (ignored || query.cookie_state != CookieState::None) return true;
  if (!is_cookie_length(cookie.size())) return false;  // RFC 7873 §5.2.2
  std::uint32_t now = query.moment.unix_seconds;
  query.cookie_state = judge_cookie(cookie, *query.client, now, settings.cookie_secrets);
  // The packet will be written over. A valid one goes back as it came.
  std::copy_n(cookie.begin(), std::min(cookie.size(), kFullCookie), query.cookie.begin());
  if (query.cookie_state != CookieState::Valid)
    sign_cookie(query.cookie, *query.client, now, settings.cookie_secrets.front());
  return true;
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

// False: FORMERR.
bool read_options(Query& query, base::Bytes rdata, const AnswerSettings& settings) {
  base::WireReader reader(rdata);
  while (reader.left() > 0) {
    std::uint16_t code = reader.u16();
    base::Bytes data = reader.bytes(reader.u16());
    if (!reader.ok()) return false;
    switch (code) {
      case option::kCookie:
        if (!read_cookie(query, data, settings)) return false;
        break;
      case option::kNsid:
        query.options |= Query::Nsid;
        break;
      case option::kExpire:
        query.options |= Query::Expire;
        break;
      case option::kZoneVersion:
        query.options |= Query::ZoneVersion;
        break;
      case option::kTcpKeepalive:
        if (query.transport == Transport::Udp) break;  // RFC 7828 §3.2.1: ignored
        if (!data.empty()) return false;
        query.options |= Query::TcpKeepalive;
        break;
      default:
        break;
    }
  }
  return true;
}

struct Opt {
  bool present = false;
  std::uint8_t version = 0;
};

// Names within a TSIG are never compressed (RFC 8945 §4.2).
bool is_whole_tsig(base::Bytes rdata) {
  base::WireReader reader(rdata);
  Owner algorithm = skip_owner(reader);
  reader.skip(6 + 2);         // time signed, fudge
  reader.skip(reader.u16());  // MAC
  reader.skip(2 + 2);         // original ID, error
  reader.skip(reader.u16());  // other data
  return algorithm == Owner::Plain && reader.ok() && reader.left() == 0;
}

// The records behind the question; false: FORMERR.
class RecordReader {
 public:
  RecordReader(Query& query, std::size_t start, const AnswerSettings& settings)
      : query_(query), settings_(settings), start_(start) {}

  // `before`: records of the answer and authority sections, which are passed over.
  [[nodiscard]] bool read(std::uint32_t before, std::uint32_t additional) {
    if (before == 0 && (additional == 0 || (additional == 1 && read_lone_opt()))) return true;
    base::WireReader reader({query_.packet + start_, query_.length - start_});
    for (; before > 0; --before) {
      Record record = read_record(reader);
      if (!reader.ok() || record.type == record_type::kOpt || record.type == record_type::kTsig) return false;
    }
    for (; additional > 0; --additional) {
      Record record = read_record(reader);
      if (!reader.ok() || !take(record, additional)) return false;
    }
    return true;
  }
  [[nodiscard]] const Opt& opt() const { return opt_; }

 private:
  // What nearly every query ends with: an OPT without options, and nothing else. False: read it step by step.
  bool read_lone_opt() {
    const std::byte* record = query_.packet + start_;
    if (query_.length - start_ != kOptLength || record[0] != std::byte{0} ||
        load_u16(record + 1) != record_type::kOpt || load_u16(record + 9) != 0)
      return false;
    take_opt(load_u16(record + 3), base::load_u32(record + 5));
    return true;
  }

  void take_opt(std::uint16_t payload, std::uint32_t ttl) {
    opt_.present = true;
    opt_.version = static_cast<std::uint8_t>((ttl >> 16U) & 0xffU);
    query_.flags |= Query::Edns;
    if ((ttl & 0x8000U) != 0) query_.flags |= Query::DnssecOk;
    // RFC 6891 §6.2.3
    if (query_.transport == Transport::Udp)
      query_.limit = std::clamp(payload, kMinUdpPayload, settings_.max_udp_payload);
  }

  struct Record {
    std::size_t at = 0;  // in the packet
    Owner owner = Owner::Broken;
    std::uint16_t type = 0;
    std::uint16_t type_class = 0;
    std::uint32_t ttl = 0;
    base::Bytes rdata;
  };

  Record read_record(base::WireReader& reader) const {
    Record record;
    record.at = start_ + reader.position();
    record.owner = skip_owner(reader);
    if (record.owner == Owner::Broken) reader.fail();
    record.type = reader.u16();
    record.type_class = reader.u16();
    record.ttl = reader.u32();
    record.rdata = reader.bytes(reader.u16());
    return record;
  }

  // `left`: records from this one on.
  bool take(const Record& record, std::uint32_t left) {
    if (record.type == record_type::kTsig) {
      // RFC 8945 §5.2: the last record, and the only one.
      bool plain = record.owner != Owner::Compressed && record.type_class == kClassAny && record.ttl == 0;
      if (left != 1 || !plain || !is_whole_tsig(record.rdata)) return false;
      query_.tsig_at = static_cast<std::uint16_t>(record.at);
      return true;
    }
    if (record.type != record_type::kOpt) return true;
    if (opt_.present || record.owner != Owner::Root) return false;  // RFC 6891 §6.1.1
    take_opt(record.type_class, record.ttl);                        // the class is the payload size
    // What options mean in another version is not ours to judge (RFC 6891 §6.1.3).
    if (opt_.version != 0) return options_are_whole(record.rdata);
    return record.rdata.empty() || read_options(query_, record.rdata, settings_);
  }

  Query& query_;
  const AnswerSettings& settings_;
  std::size_t start_;
  Opt opt_;
};

void count_cookie(const Query& query, Counters& counters) {
  switch (query.cookie_state) {
    case CookieState::None:
      return;
    case CookieState::ClientAlone:
      return counters.cookies_client.add();
    case CookieState::Invalid:
      return counters.cookies_invalid.add();
    case CookieState::Valid:
    case CookieState::Renew:
      return counters.cookies_valid.add();
  }
}

// Another opcode than QUERY.
void route_opcode(Query& query, const AnswerSettings& settings) {
  if (query.echoed == opcode::kUpdate && settings.defers_signed) {
    query.fate = Query::Fate::Deferred;
    return;
  }
  set_error(query, rcode::kNotImp);  // RFC 8906 §8.1.4: nothing but the opcode is echoed
}

// What would be an error is not, or is a signed one, where somebody knows the key.
void refuse_or_defer(Query& query, std::uint16_t rcode, const AnswerSettings& settings) {
  if (query.tsig_at == 0 || !settings.defers_signed) return set_error(query, rcode);
  query.fate = Query::Fate::Deferred;
}

void refuse_type(Query& query, std::uint16_t rcode, std::uint16_t extended_error) {
  query.extended_error = extended_error;
  set_error(query, rcode);
}

// Counts what may be looked up; refuses types that are no data: RFC 6895 §3.1, RFC 9824 §3.4 (NXNAME).
void admit_type(Query& query, Counters& counters) {
  switch (query.type) {
    case record_type::kA:
      return counters.type_a.add();
    case record_type::kNs:
      return counters.type_ns.add();
    case record_type::kCname:
      return counters.type_cname.add();
    case record_type::kSoa:
      return counters.type_soa.add();
    case record_type::kMx:
      return counters.type_mx.add();
    case record_type::kTxt:
      return counters.type_txt.add();
    case record_type::kAaaa:
      return counters.type_aaaa.add();
    case record_type::kDs:
      return counters.type_ds.add();
    case record_type::kDnskey:
      return counters.type_dnskey.add();
    case record_type::kHttps:
      return counters.type_https.add();
    case record_type::kCaa:
      return counters.type_caa.add();
    case record_type::kAny:
      return counters.type_any.add();
    case record_type::kOpt:
    case record_type::kTsig:
    case record_type::kTkey:
    case record_type::kNxname:
      return refuse_type(query, rcode::kFormErr, extended_error::kInvalidQueryType);
    case record_type::kAxfr:
      // RFC 5936 §4.2, §5
      return refuse_type(query, query.transport == Transport::Udp ? rcode::kFormErr : rcode::kRefused,
                         extended_error::kNotSupported);
    case record_type::kIxfr:
      return refuse_type(query, rcode::kRefused, extended_error::kNotSupported);
    default:
      return counters.type_other.add();
  }
}

// Class CH: questions about the server itself; others: nothing of ours.
void route_class(Query& query, std::uint16_t query_class) {
  bool text = query.type == record_type::kTxt || query.type == record_type::kAny;
  if (query_class == kClassChaos && text) {
    query.fate = Query::Fate::Chaos;
    return;
  }
  set_error(query, rcode::kRefused);
}

}  // namespace

void Responder::parse(Query& query, Counters& counters) const {
  query.fate = Query::Fate::Drop;
  query.flags = 0;
  query.options = 0;
  query.cookie_state = CookieState::None;
  query.rcode = rcode::kNoError;
  query.extended_error = extended_error::kNone;
  query.question_length = 0;
  query.tsig_at = 0;
  query.guess = nullptr;
  bool udp = query.transport == Transport::Udp;
  query.limit = udp ? kUdpLimitWithoutEdns : std::uint16_t{0xffff};
  (udp ? counters.queries_udp : counters.queries_tcp).add();
  if (query.length < kHeaderLength) return counters.dropped_short.add();
  const std::byte* packet = query.packet;
  std::uint16_t flags = load_u16(packet + 2);
  if ((flags & header::kQr) != 0) return counters.dropped_response.add();
  query.echoed = flags & header::kOpcode;
  if (query.echoed != 0) return route_opcode(query, settings());
  query.echoed = flags & (header::kRd | header::kCd);  // RFC 1035 §4.1.1, RFC 4035 §3.1.6
  std::uint16_t questions = load_u16(packet + 4);
  std::size_t end = kHeaderLength;
  std::uint16_t query_class = 0;
  if (questions == 1) {
    if (!measure_name(query)) return set_error(query, rcode::kFormErr);
    end += query.name_length + std::size_t{4};
    query.type = load_u16(packet + end - 4);
    query_class = load_u16(packet + end - 2);
    query.question_length = static_cast<std::uint16_t>(query.name_length + 4U);
  } else if (questions != 0) {
    return set_error(query, rcode::kFormErr);  // RFC 9619: never more than one
  }
  std::uint32_t before = std::uint32_t{load_u16(packet + 6)} + load_u16(packet + 8);
  const AnswerSettings& settings = this->settings();
  RecordReader records(query, end, settings);
  bool whole = records.read(before, load_u16(packet + 10));
  // IXFR carries the client's SOA in the authority section (RFC 1995 §3); all else has nothing to say before the
  // additional one.
  bool ixfr = questions == 1 && query.type == record_type::kIxfr && load_u16(packet + 6) == 0;
  if (before != 0 && !ixfr) whole = false;
  if (records.opt().present) counters.edns.add();
  if (query.cookie_state != CookieState::None) count_cookie(query, counters);
  if (!whole) {
    query.tsig_at = 0;
    return set_error(query, rcode::kFormErr);
  }
  if (records.opt().version != 0) return refuse_or_defer(query, rcode::kBadVers, settings);
  if (query.tsig_at != 0) return refuse_or_defer(query, rcode::kNotAuth, settings);  // no key: RFC 8945 §5.2.1
  if (questions == 0) {
    // RFC 7873 §5.4: who asks nothing asks for a cookie, or whether its own is good.
    if (query.cookie_state == CookieState::None) return set_error(query, rcode::kFormErr);
    return set_error(query, query.cookie_state == CookieState::Invalid ? rcode::kBadCookie : rcode::kNoError);
  }
  query.fate = Query::Fate::Answer;
  lower_and_hash(query, table_.seed());
  if (query_class != kClassIn) return route_class(query, query_class);
  admit_type(query, counters);
  table_.prefetch(query.hash);
}

void Responder::find(Query& query) const {
  if (query.fate != Query::Fate::Answer) return;
  query.names = table_.view();
  query.guess = query.names.guess(query.hash);
  if (query.guess == nullptr) return;
  // A node with one TXT value takes up to three lines.
  const char* node = reinterpret_cast<const char*>(query.guess);
  __builtin_prefetch(node);
  __builtin_prefetch(node + 64);
  __builtin_prefetch(node + 128);
}

}  // namespace countersign::dnsd
