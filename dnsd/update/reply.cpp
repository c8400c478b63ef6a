#include "dnsd/update/reply.hpp"

#include <array>

#include "base/name.hpp"
#include "dnsd/answer/dns_constants.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

// RFC 6891 §6.2.5 says 4096, but fragments get lost; nothing we answer an update with is near to it.
constexpr std::uint16_t kPayload = 1232;

std::byte* octets(std::string& text) {
  return reinterpret_cast<std::byte*>(text.data());
}

// Pointers end a name; they are not followed.
void skip_name(base::WireReader& reader) {
  for (std::uint8_t length = 1; length != 0 && reader.ok();) {
    length = reader.u8();
    if ((length & 0xc0U) == 0xc0U) return reader.skip(1);
    if (length > base::kMaxLabelLength) return reader.fail();
    reader.skip(length);
  }
}

// Of the one question behind the header; 0 when there is none, or more, or its name is none.
std::size_t question_length(base::Bytes message) {
  if (base::load_u16(message.data() + 4) != 1) return 0;
  base::WireReader reader(message.subspan(kHeaderLength));
  for (std::uint8_t length = 1; length != 0;) {
    length = reader.u8();
    if (length > base::kMaxLabelLength || !reader.ok()) return 0;
    reader.skip(length);
  }
  if (reader.position() > base::kMaxNameLength) return 0;
  reader.skip(4);
  return reader.ok() ? reader.position() : 0;
}

std::uint16_t reply_flags(base::Bytes message) {
  std::uint16_t flags = base::load_u16(message.data() + 2);
  std::uint16_t kept = header::kOpcode;
  // RFC 1035 §4.1.1, RFC 4035 §3.1.6; an update has no such bits (RFC 2136 §2.2).
  if ((flags & header::kOpcode) == 0) kept |= header::kRd | header::kCd;
  return static_cast<std::uint16_t>(header::kQr | (flags & kept));
}

}  // namespace

std::string without_tsig(base::Bytes message, std::size_t tsig_at) {
  std::string rest(base::as_text(message.first(tsig_at)));
  std::uint16_t additional = base::load_u16(message.data() + 10);
  base::store_u16(octets(rest) + 10, static_cast<std::uint16_t>(additional - 1));
  return rest;
}

std::optional<std::uint8_t> find_edns_version(base::Bytes message) {
  base::WireReader reader(message);
  reader.skip(4);
  std::uint32_t questions = reader.u16();
  std::uint32_t before = reader.u16();
  before += reader.u16();
  std::uint32_t additional = reader.u16();
  for (; questions > 0 && reader.ok(); --questions) {
    skip_name(reader);
    reader.skip(4);
  }
  for (std::uint32_t left = before + additional; left > 0 && reader.ok(); --left) {
    skip_name(reader);
    std::uint16_t type = reader.u16();
    reader.skip(2 + 1);  // class, extended RCODE
    std::uint8_t version = reader.u8();
    reader.skip(2);
    reader.skip(reader.u16());
    if (left <= additional && reader.ok() && type == zones::record_type::kOpt) return version;
  }
  return std::nullopt;
}

std::string bare_reply(base::Bytes message, const Reply& reply) {
  std::size_t question = question_length(message);
  std::size_t rest = kHeaderLength + (reply.edns ? kOptLength : 0);
  if (rest + question > reply.limit) question = 0;
  std::string answer(base::as_text(message.first(kHeaderLength + question)));
  answer.resize(rest + question);
  std::byte* packet = octets(answer);
  base::store_u16(packet + 2, static_cast<std::uint16_t>(reply_flags(message) | (reply.rcode & 0xfU)));
  base::store_u16(packet + 4, question > 0 ? 1 : 0);
  base::store_u32(packet + 6, 0);
  base::store_u16(packet + 10, reply.edns ? 1 : 0);
  if (!reply.edns) return answer;
  std::byte* opt = packet + kHeaderLength + question;
  opt[0] = std::byte{0};
  base::store_u16(opt + 1, zones::record_type::kOpt);
  base::store_u16(opt + 3, kPayload);
  base::store_u32(opt + 5, static_cast<std::uint32_t>(reply.rcode >> 4U) << 24U);
  base::store_u16(opt + 9, 0);
  return answer;
}

void set_rcode(std::string& answer, std::uint16_t rcode) {
  std::byte* flags = octets(answer) + 2;
  base::store_u16(flags, static_cast<std::uint16_t>((base::load_u16(flags) & ~0xfU) | (rcode & 0xfU)));
}

void cut_short(std::string& answer, std::size_t limit) {
  std::size_t question = question_length(base::as_bytes(answer));
  if (kHeaderLength + question > limit) question = 0;
  answer.resize(kHeaderLength + question);
  std::byte* packet = octets(answer);
  base::store_u16(packet + 2, static_cast<std::uint16_t>(base::load_u16(packet + 2) | header::kTc));
  base::store_u16(packet + 4, question > 0 ? 1 : 0);
  base::store_u32(packet + 6, 0);
  base::store_u16(packet + 10, 0);
}

}  // namespace countersign::dnsd
