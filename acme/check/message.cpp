#include "acme/check/message.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "acme/check/ldns.hpp"
#include "base/handle.hpp"

namespace countersign::acme::dns {
namespace {

using Packet = base::Handle<ldns_pkt, ldns_pkt_free>;

constexpr std::size_t kHeaderLength = 12;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kOptionEde = 15;
constexpr std::uint16_t kUdpPayload = 1232;  // fits every path without fragments (RFC 9715)
// Longer texts of resolvers are cut: they end in a message for a person.
constexpr std::size_t kMaxEdeText = 200;
constexpr std::size_t kMaxExtendedErrors = 8;

constexpr std::array<std::string_view, 31> kEdeNames{"other error",
                                                     "unsupported DNSKEY algorithm",
                                                     "unsupported DS digest type",
                                                     "stale answer",
                                                     "forged answer",
                                                     "DNSSEC indeterminate",
                                                     "DNSSEC bogus",
                                                     "signature expired",
                                                     "signature not yet valid",
                                                     "DNSKEY missing",
                                                     "RRSIGs missing",
                                                     "no zone key bit set",
                                                     "NSEC missing",
                                                     "cached error",
                                                     "not ready",
                                                     "blocked",
                                                     "censored",
                                                     "filtered",
                                                     "prohibited",
                                                     "stale NXDOMAIN answer",
                                                     "not authoritative",
                                                     "not supported",
                                                     "no reachable authority",
                                                     "network error",
                                                     "invalid data",
                                                     "signature expired before valid",
                                                     "too early",
                                                     "unsupported NSEC3 iterations",
                                                     "unable to conform to policy",
                                                     "synthesized",
                                                     "invalid query type"};

base::Bytes bytes_of(const ldns_rdf* rdf) {
  if (rdf == nullptr || ldns_rdf_data(rdf) == nullptr) return {};
  return {reinterpret_cast<const std::byte*>(ldns_rdf_data(rdf)), ldns_rdf_size(rdf)};
}

std::optional<base::Name> name_of(const ldns_rdf* rdf) {
  auto name = base::Name::from_wire(bytes_of(rdf));
  if (!name) return std::nullopt;
  return *std::move(name);
}

std::optional<base::SocketAddress> address_of(base::Bytes data) {
  if (data.size() == 4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, data.data(), data.size());
    return base::SocketAddress::from(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
  }
  if (data.size() == 16) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, data.data(), data.size());
    return base::SocketAddress::from(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
  }
  return std::nullopt;
}

// Each string is a length octet and its text (RFC 1035 §3.3.14); a validating CA joins them.
std::optional<std::string> joined_strings(const ldns_rr* rr) {
  std::string joined;
  for (std::size_t i = 0; i < ldns_rr_rd_count(rr); ++i) {
    auto part = base::as_text(bytes_of(ldns_rr_rdf(rr, i)));
    if (part.empty() || part.size() - 1 != static_cast<unsigned char>(part[0])) return std::nullopt;
    joined += part.substr(1);
  }
  return joined;
}

std::optional<Record> record_of(const ldns_rr* rr) {
  if (rr == nullptr || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN || ldns_rr_rd_count(rr) == 0) return std::nullopt;
  auto owner = name_of(ldns_rr_owner(rr));
  if (!owner) return std::nullopt;
  auto made = [&](auto data) -> std::optional<Record> {
    if (!data) return std::nullopt;
    return Record{*owner, static_cast<RecordType>(ldns_rr_get_type(rr)), *std::move(data)};
  };
  const ldns_rdf* first = ldns_rr_rdf(rr, 0);
  auto type = static_cast<std::uint16_t>(ldns_rr_get_type(rr));
  if (type == static_cast<std::uint16_t>(RecordType::Txt)) return made(joined_strings(rr));
  if (type == static_cast<std::uint16_t>(RecordType::A) || type == static_cast<std::uint16_t>(RecordType::Aaaa))
    return made(address_of(bytes_of(first)));
  if (type == static_cast<std::uint16_t>(RecordType::Ns) || type == static_cast<std::uint16_t>(RecordType::Cname) ||
      type == static_cast<std::uint16_t>(RecordType::Soa))
    return made(name_of(first));
  return std::nullopt;
}

std::vector<Record> records_of(const ldns_rr_list* list) {
  std::vector<Record> records;
  if (list == nullptr) return records;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(list); ++i) {
    if (auto record = record_of(ldns_rr_list_rr(list, i))) records.push_back(*std::move(record));
  }
  return records;
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kMaxEdeText));
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::vector<ExtendedError> extended_errors(const ldns_pkt* packet) {
  std::vector<ExtendedError> errors;
  base::WireReader options(bytes_of(ldns_pkt_edns_data(packet)));
  while (options.ok() && options.left() > 0 && errors.size() < kMaxExtendedErrors) {
    std::uint16_t code = options.u16();
    base::WireReader option(options.bytes(options.u16()));
    if (!options.ok() || code != kOptionEde || option.left() < 2) continue;
    unsigned info = option.u16();
    errors.push_back({info, printable(base::as_text(option.bytes(option.left())))});
  }
  return errors;
}

}  // namespace

std::vector<Record> Reply::answers(const base::Name& owner, RecordType type) const {
  std::vector<Record> found;
  for (const Record& record : answer)
    if (record.type == type && record.owner == owner) found.push_back(record);
  return found;
}

std::vector<std::byte> encode_query(std::uint16_t id, const Question& question, Edns edns) {
  std::vector<std::byte> message(kHeaderLength + base::kMaxNameLength + 4 + 11);
  base::WireWriter writer(message);
  writer.u16(id);
  writer.u16(question.recursion == Recursion::Desired ? 0x0100 : 0);
  writer.u16(1);
  writer.u16(0);
  writer.u16(0);
  writer.u16(edns == Edns::On ? 1 : 0);
  writer.bytes(base::as_bytes(question.name.wire()));
  writer.u16(static_cast<std::uint16_t>(question.type));
  writer.u16(kClassIn);
  if (edns == Edns::On) {
    writer.u8(0);
    writer.u16(kTypeOpt);
    writer.u16(kUdpPayload);
    writer.u32(0);
    writer.u16(0);
  }
  message.resize(writer.position());
  return message;
}

Relation relation(base::Bytes message, std::uint16_t id, const Question& question) {
  base::WireReader reader(message);
  bool same_id = reader.u16() == id;
  std::uint16_t flags = reader.u16();
  std::uint16_t questions = reader.u16();
  reader.skip(6);
  bool is_reply = (flags & 0x8000U) != 0 && (flags & 0x7800U) == 0;
  if (!reader.ok() || !same_id || !is_reply) return Relation::Stranger;
  unsigned rcode = flags & 0x000fU;
  if (questions == 0) return rcode == kFormErr || rcode == kNotImp ? Relation::NoEdns : Relation::Stranger;
  if (questions != 1) return Relation::Stranger;
  // The question is the first name of the message, so that it cannot be compressed.
  auto echoed = base::Name::from_wire(reader.bytes(question.name.wire().size()));
  if (!echoed || *echoed != question.name || reader.u16() != static_cast<std::uint16_t>(question.type) ||
      reader.u16() != kClassIn || !reader.ok())
    return Relation::Stranger;
  return rcode == kFormErr || rcode == kNotImp ? Relation::NoEdns : Relation::Reply;
}

base::Result<Reply> parse_reply(base::Bytes message) {
  ldns_pkt* parsed = nullptr;
  ldns_status status = ldns_wire2pkt(&parsed, reinterpret_cast<const std::uint8_t*>(message.data()), message.size());
  Packet packet(parsed);
  Reply reply;
  // A truncated message may end anywhere: what its header says is all that is needed to go on over TCP.
  reply.truncated = message.size() >= kHeaderLength && (base::load_u16(message.data() + 2) & 0x0200U) != 0;
  if (reply.truncated && (status != LDNS_STATUS_OK || packet == nullptr)) return reply;
  if (status != LDNS_STATUS_OK || packet == nullptr) {
    const char* reason = ldns_get_errorstr_by_id(status);
    return base::fail(base::ErrorCode::Protocol, "a malformed DNS message ({})",
                      reason != nullptr ? reason : "unknown");
  }
  reply.rcode = static_cast<unsigned>(ldns_pkt_get_rcode(packet.get()));
  if (ldns_pkt_edns(packet.get()))
    reply.rcode |= static_cast<unsigned>(ldns_pkt_edns_extended_rcode(packet.get())) << 4U;
  reply.authoritative = ldns_pkt_aa(packet.get());
  reply.recursion_available = ldns_pkt_ra(packet.get());
  reply.answer = records_of(ldns_pkt_answer(packet.get()));
  reply.authority = records_of(ldns_pkt_authority(packet.get()));
  reply.additional = records_of(ldns_pkt_additional(packet.get()));
  reply.extended_errors = extended_errors(packet.get());
  return reply;
}

std::string_view type_text(RecordType type) {
  switch (type) {
    case RecordType::A:
      return "A";
    case RecordType::Ns:
      return "NS";
    case RecordType::Cname:
      return "CNAME";
    case RecordType::Soa:
      return "SOA";
    case RecordType::Txt:
      return "TXT";
    case RecordType::Aaaa:
      return "AAAA";
  }
  return "";
}

std::string rcode_text(unsigned rcode) {
  constexpr std::array<std::string_view, 11> kNames{"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
                                                    "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE"};
  if (rcode < kNames.size()) return std::string(kNames[rcode]);
  if (rcode == 16) return "BADVERS";
  return fmt::format("RCODE{}", rcode);
}

std::string extended_error_text(const Reply& reply) {
  std::string out;
  for (const ExtendedError& error : reply.extended_errors) {
    if (!out.empty()) out += "; ";
    out += fmt::format("EDE {}", error.code);
    if (error.code < kEdeNames.size()) out += fmt::format(", {}", kEdeNames[error.code]);
    if (!error.text.empty()) out += fmt::format(": {}", error.text);
  }
  return out;
}

bool says_bogus(const Reply& reply) {
  return std::any_of(reply.extended_errors.begin(), reply.extended_errors.end(), [](const ExtendedError& error) {
    return error.code == 1 || error.code == 2 || (error.code >= 5 && error.code <= 12);
  });
}

}  // namespace countersign::acme::dns
