// What holds for each response, whatever was asked: shared by the protocol tests and the fuzzer.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tests/support/answer_fixture.hpp"

namespace countersign::tests {

namespace {

constexpr std::size_t kHeader = 12;
constexpr unsigned kNoError = 0, kFormErr = 1, kNxDomain = 3, kNotImp = 4, kBadVers = 16;
constexpr unsigned kCookieOption = 10, kKeepaliveOption = 11, kExtendedErrorOption = 15;
constexpr std::uint16_t kOnlyDnssecOk = 0x8000;

unsigned octet(std::string_view packet, std::size_t at) {
  return static_cast<unsigned char>(packet[at]);
}

unsigned u16(std::string_view packet, std::size_t at) {
  return (octet(packet, at) << 8U) | octet(packet, at + 1);
}

struct QueryFacts {
  bool has_opt = false;
  std::size_t opt_size = 0;
  std::map<unsigned, std::string_view> options{};  // the first of each
};

// Nothing when they are not whole.
std::map<unsigned, std::string_view> read_options(std::string_view octets) {
  std::map<unsigned, std::string_view> options;
  while (octets.size() >= 4 && octets.size() - 4 >= u16(octets, 2)) {
    options.emplace(u16(octets, 0), octets.substr(4, u16(octets, 2)));
    octets.remove_prefix(4 + u16(octets, 2));
  }
  return options;
}

// A query that the walk cannot read gets the benefit of the doubt: the largest limit.
QueryFacts read_query(std::string_view packet) {
  auto skip_name = [&](std::size_t at) -> std::size_t {
    while (at < packet.size()) {
      unsigned first = octet(packet, at);
      if (first >= 0xc0) return at + 2;
      if (first == 0) return at + 1;
      at += first + 1;
    }
    return packet.size() + 1;
  };
  std::size_t at = kHeader;
  for (unsigned i = 0; i < u16(packet, 4) && at <= packet.size(); ++i) at = skip_name(at) + 4;
  unsigned records = u16(packet, 6) + u16(packet, 8) + u16(packet, 10);
  for (unsigned i = 0; i < records; ++i) {
    at = skip_name(at);
    if (at + 10 > packet.size()) break;
    if (u16(packet, at) == 41)
      return {.has_opt = true,
              .opt_size = u16(packet, at + 2),
              .options = read_options(packet.substr(at + 10, u16(packet, at + 8)))};
    at += 10 + u16(packet, at + 8);
    if (at > packet.size()) break;
  }
  return {};
}

bool has_type(const Lines& lines, std::string_view type) {
  std::string infix = fmt::format(" IN {} ", type);
  return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(infix) != std::string::npos; });
}

std::string check_header(std::string_view query, const Message& message) {
  if (message.id != u16(query, 0)) return "another ID";
  if (!message.qr) return "QR is clear";
  if (message.opcode != ((octet(query, 2) >> 3U) & 15U)) return "another opcode";
  if (message.ra || message.z || message.ad) return "RA, Z or AD set";
  bool asked_rd = (octet(query, 2) & 1U) != 0;
  bool asked_cd = (octet(query, 3) & 0x10U) != 0;
  if (message.opcode == 0 && message.rd != asked_rd) return "RD not copied (RFC 1035 §4.1.1)";
  if (message.cd && !asked_cd) return "CD set unasked";
  if (message.opcode != 0) {
    if (message.rcode != kNotImp && message.rcode != kBadVers && message.rcode != 1) return "an unknown opcode served";
    // RFC 8906 §8.1.4: the header alone.
    if (!message.answer.empty() || !message.authority.empty() || message.aa || message.tc)
      return "more than a header for an unknown opcode";
  }
  return "";
}

std::string check_negative(const Message& message) {
  // The answer to a question for a cookie alone (RFC 7873 §5.4).
  if (message.question.empty() && message.rcode == kNoError)
    return message.answer.empty() && message.authority.empty() && !message.aa ? "" : "an answer to no question";
  bool soa = has_type(message.authority, "SOA");
  bool referral = has_type(message.authority, "NS");
  if (message.rcode == kNxDomain) {
    if (!message.aa) return "NXDOMAIN without AA";
    if (!soa && !message.tc) return "NXDOMAIN without SOA (RFC 2308 §2.1)";
  }
  if (message.rcode == kNoError && message.answer.empty() && !message.tc) {
    if (soa == referral) return "neither data, nor SOA, nor referral (RFC 2308 §2.2)";
    if (soa != message.aa) return "AA is for our data only";
  }
  if (!message.answer.empty() && !message.aa) return "an answer without AA";
  if (message.rcode != kNoError && message.rcode != kNxDomain) {
    if (!message.answer.empty() || !message.authority.empty()) return "records with an error";
    if (message.aa) return "AA with an error";
  }
  return "";
}

std::string check_opt(const QueryFacts& facts, const Message& message, dnsd::Transport transport) {
  // RFC 6891 §6.1.1. A query that could not be read to its end may have had one that nobody saw.
  if (!message.opt && facts.has_opt && message.opcode == 0 && message.rcode != kFormErr) return "an OPT unanswered";
  if (!message.opt) return message.rcode > 15 ? "an extended RCODE without OPT" : "";
  if (!facts.has_opt) return "OPT unasked (RFC 6891 §7)";
  if (message.opt->version != 0) return "another EDNS version than 0";
  if ((message.opt->flags & ~kOnlyDnssecOk) != 0) return "unknown EDNS flags echoed";
  std::size_t octets = 0;
  for (const auto& [code, data] : read_options(message.opt->options)) {
    octets += 4 + data.size();
    auto asked = facts.options.find(code);
    if (asked == facts.options.end() && code != kExtendedErrorOption)
      return fmt::format("EDNS option {} unasked", code);
    if (code == kExtendedErrorOption && data.size() < 2) return "an extended error without code (RFC 8914 §2)";
    if (code == kKeepaliveOption && transport == dnsd::Transport::Udp) return "keepalive over UDP (RFC 7828 §3.2.2)";
    // Client cookie and server cookie of RFC 9018.
    if (code == kCookieOption && (data.size() != 24 || data.substr(0, 8) != asked->second.substr(0, 8)))
      return "another client's cookie (RFC 7873 §5.2)";
  }
  return octets == message.opt->options.size() ? "" : "an EDNS option twice, or not whole";
}

}  // namespace

std::string find_broken_rule(std::string_view query, std::string_view response, dnsd::Transport transport,
                             std::uint16_t max_udp_payload) {
  bool drop = query.size() < kHeader || (octet(query, 2) & 0x80U) != 0;
  if (drop) return response.empty() ? "" : "an answer to what must be dropped";
  if (response.empty()) return "no answer to a query (RFC 8906 §3)";

  auto message = decode(response);
  if (!message) return "malformed: " + message.error().message;
  if (std::string broken = check_header(query, *message); !broken.empty()) return broken;

  if (!message->question.empty() && query.substr(kHeader, message->question.size()) != message->question)
    return "another question";
  if (message->question.empty() && u16(query, 4) != 0 && (message->rcode == kNoError || message->rcode == kNxDomain))
    return "no question";
  if (std::string broken = check_negative(*message); !broken.empty()) return broken;

  QueryFacts facts = read_query(query);
  if (std::string broken = check_opt(facts, *message, transport); !broken.empty()) return broken;
  if (transport == dnsd::Transport::Tcp) return message->tc ? "TC over TCP" : "";
  std::size_t offered = facts.has_opt ? std::max<std::size_t>(facts.opt_size, 512) : 512;
  std::size_t limit = std::min<std::size_t>(offered, max_udp_payload);
  if (response.size() > limit) return fmt::format("{} octets, {} fit", response.size(), limit);
  return "";
}

}  // namespace countersign::tests
