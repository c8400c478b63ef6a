#include "dnsd/answer/refusal.hpp"

#include <algorithm>
#include <cstring>

#include "dnsd/answer/opt.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::store_u16;
using base::store_u32;
namespace record_type = zones::record_type;
using namespace std::string_view_literals;

bool has_edns(const Query& query) {
  return (query.flags & Query::Edns) != 0;
}

// Two names, and the fields around them.
using TsigOctets = std::array<std::byte, 2 * base::kMaxNameLength + 32>;

void copy_name(base::WireReader& from, base::WireWriter& to) {
  std::uint8_t label = 0;
  do {
    label = from.u8();
    to.u8(label);
    to.bytes(from.bytes(label));
  } while (label != 0 && from.ok() && to.ok());
}

// The refusal of a TSIG (RFC 8945 §5.3.2): the client's own record with an empty MAC and BADKEY. Read before the
// response is written over the query. Empty when the record is not what parse() lets through.
base::Bytes make_tsig_refusal(const Query& query, TsigOctets& octets) {
  base::WireReader reader(base::Bytes(query.packet, query.length).subspan(query.tsig_at));
  base::WireWriter record(octets);
  copy_name(reader, record);
  reader.skip(2 + 2 + 4 + 2);  // type, class, TTL, RDLENGTH
  record.u16(record_type::kTsig);
  record.u16(kClassAny);
  record.u32(0);
  std::size_t length_at = record.position();
  record.u16(0);
  copy_name(reader, record);          // algorithm
  record.bytes(reader.bytes(6 + 2));  // time signed, fudge
  reader.skip(reader.u16());
  record.u16(0);                  // MAC size
  record.bytes(reader.bytes(2));  // original ID
  record.u16(rcode::kBadKey);
  record.u16(0);  // other length
  if (!reader.ok() || !record.ok()) return {};
  store_u16(octets.data() + length_at, static_cast<std::uint16_t>(record.position() - length_at - 2));
  return base::Bytes(octets).first(record.position());
}

std::size_t write_tsig_error(Query& query, const AnswerSettings& settings) {
  TsigOctets octets;
  base::Bytes record = make_tsig_refusal(query, octets);
  query.options = 0;  // they would take the record's room
  std::size_t limit = std::min<std::size_t>(query.limit, query.capacity);
  // Rather without the question than without the reason.
  if (kHeaderLength + query.question_length + opt_room(query) + record.size() > limit) query.question_length = 0;
  std::size_t end = write_bare(query, settings, 0, query.rcode);
  if (record.empty() || end + record.size() > limit) return end;
  std::memcpy(query.packet + end, record.data(), record.size());
  store_u16(query.packet + 10, has_edns(query) ? 2 : 1);
  return end + record.size();
}

constexpr std::string_view kIdServer = "\2id\6server\0"sv;
constexpr std::string_view kHostnameBind = "\10hostname\4bind\0"sv;
constexpr std::string_view kVersionServer = "\7version\6server\0"sv;
constexpr std::string_view kVersionBind = "\7version\4bind\0"sv;

// Empty: not configured, or another question.
std::string_view chaos_text(std::string_view name, const AnswerSettings& settings) {
  if (name == kIdServer || name == kHostnameBind) return settings.nsid;
  if (name == kVersionServer || name == kVersionBind) return settings.version;
  return {};
}

}  // namespace

std::size_t write_bare(const Query& query, const AnswerSettings& settings, std::uint16_t flags, std::uint16_t rcode) {
  write_header(query, flags, rcode, {});
  std::size_t at = kHeaderLength + query.question_length;
  if (!has_edns(query)) return at;
  return write_opt(query, at, settings, {.rcode = rcode, .extended_error = query.extended_error});
}

std::size_t write_error(Query& query, const AnswerSettings& settings) {
  if (query.tsig_at != 0) return write_tsig_error(query, settings);
  return write_bare(query, settings, 0, query.rcode);
}

std::size_t write_chaos(Query& query, const AnswerSettings& settings) {
  std::string_view text = chaos_text({query.name.data(), query.name_length}, settings);
  std::size_t at = kHeaderLength + query.question_length;
  constexpr std::size_t kRecord = 2 + 10 + 1;  // pointer, fields, the string's length
  std::size_t limit = std::min<std::size_t>(query.limit, query.capacity);
  query.rcode = rcode::kNoError;
  if (text.empty()) query.rcode = rcode::kRefused;
  if (text.empty() || text.size() > 255 || at + kRecord + text.size() + opt_room(query) > limit)
    return write_bare(query, settings, text.empty() ? 0 : header::kTc, query.rcode);
  write_header(query, header::kAa, rcode::kNoError, {.answers = 1});
  std::byte* record = query.packet + at;
  store_u16(record, 0xc000U | kHeaderLength);
  store_u16(record + 2, record_type::kTxt);
  store_u16(record + 4, kClassChaos);
  store_u32(record + 6, 0);
  store_u16(record + 10, static_cast<std::uint16_t>(text.size() + 1));
  record[12] = static_cast<std::byte>(text.size());
  std::memcpy(record + kRecord, text.data(), text.size());
  at += kRecord + text.size();
  return has_edns(query) ? write_opt(query, at, settings, {}) : at;
}

}  // namespace countersign::dnsd
