#include "tests/support/dns_message.hpp"

#include <ldns/ldns.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "base/handle.hpp"
#include "base/wire.hpp"

namespace countersign::tests {

namespace {

using LdnsPacket = base::Handle<ldns_pkt, ldns_pkt_free>;
using LdnsText = base::Handle<char, std::free>;

constexpr std::uint16_t kOptType = 41;
constexpr std::uint16_t kOpcodeShift = 11;

[[noreturn]] void reject(std::string_view what, std::string_view text) {
  throw std::invalid_argument(std::string(what) + ": \"" + std::string(text) + "\"");
}

std::uint16_t number(std::string_view text) {
  int base = 10;
  std::string_view digits = text;
  if (digits.starts_with("0x")) {
    base = 16;
    digits.remove_prefix(2);
  }
  std::uint16_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) reject("not a 16-bit number", text);
  return value;
}

Packet wire_u32(std::uint32_t value) {
  return wire_u16(static_cast<std::uint16_t>(value >> 16U)) + wire_u16(static_cast<std::uint16_t>(value & 0xffffU));
}

struct HeaderBit {
  std::string_view name;
  std::uint16_t bit;
};
constexpr auto kHeaderBits = std::to_array<HeaderBit>({{"qr", 0x8000},
                                                       {"aa", 0x0400},
                                                       {"tc", 0x0200},
                                                       {"rd", 0x0100},
                                                       {"ra", 0x0080},
                                                       {"z", 0x0040},
                                                       {"ad", 0x0020},
                                                       {"cd", 0x0010}});

}  // namespace

Packet wire_u16(std::uint16_t value) {
  return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)};
}

Packet wire_name(std::string_view text) {
  Packet wire;
  std::string label;
  auto close_label = [&] {
    if (label.empty() || label.size() > 63) reject("bad label in a name", text);
    wire += static_cast<char>(label.size());
    wire += label;
    label.clear();
  };
  if (text == ".") text = "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.') {
      close_label();
    } else if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '2') {
      label += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 3))));
      i += 3;
    } else {
      if (text[i] == '\\') ++i;
      if (i == text.size()) reject("name ends in a backslash", text);
      label += text[i];
    }
  }
  if (!label.empty()) close_label();
  return wire + '\0';
}

std::uint16_t type_number(std::string_view text) {
  ldns_rr_type type = ldns_get_rr_type_by_name(std::string(text).c_str());
  if (type == 0 && text != "TYPE0") reject("no such type", text);
  return static_cast<std::uint16_t>(type);
}

Packet from_hex(std::string_view text) {
  Packet octets;
  std::string digits;
  for (char c : text) {
    if (c == ' ' || c == '\n') continue;
    digits += c;
    if (digits.size() < 2) continue;
    octets += static_cast<char>(std::stoi(digits, nullptr, 16));
    digits.clear();
  }
  if (!digits.empty()) reject("odd number of digits", text);
  return octets;
}

std::string to_hex(std::string_view octets) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (char c : octets) {
    text += kDigits[static_cast<unsigned char>(c) >> 4U];
    text += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return text;
}

Packet RawRecord::wire() const {
  return owner + wire_u16(type) + wire_u16(klass) + wire_u32(ttl) + wire_u16(static_cast<std::uint16_t>(rdata.size())) +
         rdata;
}

Packet RawOpt::wire() const {
  std::uint32_t ttl = (static_cast<std::uint32_t>(version) << 16U) | flags;
  return RawRecord{.type = kOptType, .klass = size, .ttl = ttl, .rdata = options}.wire();
}

QueryBuilder::QueryBuilder(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string name;
  std::string type;
  if (!(words >> name)) reject("a query needs a name or -", text);
  std::uint16_t klass = 1;
  if (name != "-" && !(words >> type)) reject("a query needs a type", text);
  for (std::string word; words >> word;) {
    if (word.starts_with("class="))
      klass = word == "class=CH" ? 3 : word == "class=ANY" ? 255 : number(std::string_view(word).substr(6));
    else
      read_word(word);
  }
  if (name != "-") question(wire_name(name) + wire_u16(type_number(type)) + wire_u16(klass));
}

void QueryBuilder::read_word(std::string_view word) {
  for (const HeaderBit& known : kHeaderBits)
    if (word == known.name) {
      flags_ |= known.bit;
      return;
    }
  if (word == "edns") {
    opt();
    return;
  }
  if (word == "do") {
    opt().flags |= 0x8000U;
    return;
  }
  std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) reject("unknown word in a query", word);
  std::string_view key = word.substr(0, equals);
  std::string_view value = word.substr(equals + 1);
  if (key == "id") {
    id_ = number(value);
  } else if (key == "opcode") {
    flags_ = static_cast<std::uint16_t>((flags_ & 0x87ffU) | (static_cast<unsigned>(number(value)) << kOpcodeShift));
  } else if (key == "size") {
    opt().size = number(value);
  } else if (key == "version") {
    opt().version = static_cast<std::uint8_t>(number(value));
  } else if (key == "ednsflags") {
    opt().flags |= number(value);
  } else if (key == "option") {
    std::size_t colon = value.find(':');
    Packet data = colon == std::string_view::npos ? "" : from_hex(value.substr(colon + 1));
    opt().options +=
        wire_u16(number(value.substr(0, colon))) + wire_u16(static_cast<std::uint16_t>(data.size())) + data;
  } else {
    reject("unknown word in a query", word);
  }
}

RawOpt& QueryBuilder::opt() {
  if (!opt_) opt_.emplace();
  return *opt_;
}

QueryBuilder& QueryBuilder::section(std::size_t index, std::string_view octets) {
  sections_[index] += octets;
  ++counts_[index];
  return *this;
}

QueryBuilder& QueryBuilder::append(std::string_view octets) {
  tail_ += octets;
  return *this;
}

QueryBuilder& QueryBuilder::claim_count(std::size_t section, std::uint16_t count) {
  claimed_[section] = count;
  return *this;
}

Packet QueryBuilder::build() const {
  Packet packet = wire_u16(id_) + wire_u16(flags_);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    unsigned count = counts_[i] + (i == 3 && opt_ ? 1U : 0U);
    packet += wire_u16(claimed_[i].value_or(static_cast<std::uint16_t>(count)));
  }
  for (const Packet& section : sections_) packet += section;
  if (opt_) packet += opt_->wire();
  return packet + tail_;
}

Packet query(std::string_view text) {
  return QueryBuilder(text).build();
}

std::string Message::flags() const {
  const auto set = std::to_array<bool>({qr, aa, tc, rd, ra, z, ad, cd});
  std::string text;
  for (std::size_t i = 0; i < std::size(set); ++i)
    if (set[i]) text += (text.empty() ? "" : " ") + std::string(kHeaderBits[i].name);
  return text;
}

std::optional<Packet> Message::option(unsigned code) const {
  std::string_view octets = opt ? std::string_view(opt->options) : std::string_view();
  auto u16 = [&](std::size_t at) {
    return (static_cast<unsigned char>(octets[at]) << 8U) | static_cast<unsigned char>(octets[at + 1]);
  };
  while (octets.size() >= 4) {
    if (u16(0) == static_cast<int>(code)) return Packet(octets.substr(4, static_cast<std::size_t>(u16(2))));
    octets.remove_prefix(4 + static_cast<std::size_t>(u16(2)));
  }
  return std::nullopt;
}

namespace {

Lines section_lines(const ldns_rr_list* records) {
  Lines lines;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
    LdnsText text(ldns_rr2str(ldns_rr_list_rr(records, i)));
    std::string line = text.get();
    while (!line.empty() && (line.back() == '\n' || line.back() == '\t' || line.back() == ' ')) line.pop_back();
    for (char& c : line)
      if (c == '\t') c = ' ';
    lines.push_back(std::move(line));
  }
  return lines;
}

// RFC 2181 §5: a section has no record twice, and one TTL for each RRset.
std::string find_rrset_defect(const ldns_rr_list* records) {
  std::set<std::string> seen;
  std::map<std::string, std::uint32_t> ttls;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
    const ldns_rr* record = ldns_rr_list_rr(records, i);
    LdnsText text(ldns_rr2str(record));
    if (!seen.insert(text.get()).second) return std::string("twice in one section: ") + text.get();
    if (ldns_rr_ttl(record) > 0x7fffffffU) return std::string("a TTL with its first bit set: ") + text.get();
    LdnsText owner(ldns_rdf2str(ldns_rr_owner(record)));
    std::string set = std::string(owner.get()) + ' ' + std::to_string(ldns_rr_get_type(record));
    auto [at, fresh] = ttls.emplace(set, ldns_rr_ttl(record));
    if (!fresh && at->second != ldns_rr_ttl(record)) return "two TTLs in the RRset " + set;
  }
  return "";
}

Opt read_opt(const ldns_pkt* packet) {
  Opt opt{.version = ldns_pkt_edns_version(packet),
          .size = ldns_pkt_edns_udp_size(packet),
          .flags = ldns_pkt_edns_z(packet),
          .options = {}};
  if (const ldns_rdf* data = ldns_pkt_edns_data(packet))
    opt.options.assign(reinterpret_cast<const char*>(ldns_rdf_data(data)), ldns_rdf_size(data));
  return opt;
}

}  // namespace

base::Result<Message> decode(std::string_view packet) {
  if (std::string defect = find_wire_defect(packet); !defect.empty())
    return base::fail(base::ErrorCode::Protocol, "{}", defect);
  ldns_pkt* raw = nullptr;
  ldns_status status = ldns_wire2pkt(&raw, reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size());
  if (status != LDNS_STATUS_OK)
    return base::fail(base::ErrorCode::Protocol, "ldns: {}", ldns_get_errorstr_by_id(status));
  LdnsPacket parsed(raw);
  for (const ldns_rr_list* section : {ldns_pkt_answer(raw), ldns_pkt_authority(raw), ldns_pkt_additional(raw)})
    if (std::string defect = find_rrset_defect(section); !defect.empty())
      return base::fail(base::ErrorCode::Protocol, "{}", defect);

  Message message{.id = ldns_pkt_id(raw),
                  .qr = ldns_pkt_qr(raw),
                  .aa = ldns_pkt_aa(raw),
                  .tc = ldns_pkt_tc(raw),
                  .rd = ldns_pkt_rd(raw),
                  .ra = ldns_pkt_ra(raw),
                  .z = (static_cast<unsigned char>(packet[3]) & 0x40U) != 0,  // ldns has no word for it
                  .ad = ldns_pkt_ad(raw),
                  .cd = ldns_pkt_cd(raw),
                  .opcode = static_cast<unsigned>(ldns_pkt_get_opcode(raw)),
                  .rcode = static_cast<unsigned>(ldns_pkt_get_rcode(raw)),
                  .question = {},
                  .answer = section_lines(ldns_pkt_answer(raw)),
                  .authority = section_lines(ldns_pkt_authority(raw)),
                  .additional = section_lines(ldns_pkt_additional(raw)),
                  .opt = {},
                  .tsig = {},
                  .size = packet.size()};
  if (const ldns_rr* tsig = ldns_pkt_tsig(raw)) {
    LdnsText text(ldns_rr2str(tsig));
    message.tsig = text.get();
  }
  if (ldns_pkt_edns(raw)) {
    message.opt = read_opt(raw);
    message.rcode |= static_cast<unsigned>(ldns_pkt_edns_extended_rcode(raw)) << 4U;
  }
  if (ldns_pkt_qdcount(raw) == 1) {
    // The walk has seen that the question is whole and uncompressed.
    std::size_t end = packet.find('\0', 12);
    std::size_t at = 12;
    while (packet[at] != '\0') at += static_cast<unsigned char>(packet[at]) + 1U;
    end = at + 5;
    message.question = packet.substr(12, end - 12);
  }
  return message;
}

}  // namespace countersign::tests
