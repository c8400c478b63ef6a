// A name table with zones and a Responder over it, asked in the words of QueryBuilder.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/socket_address.hpp"
#include "dnsd/answer/responder.hpp"
#include "tests/support/dns_message.hpp"
#include "zones/zone_records.hpp"

namespace countersign::tests {

struct ZoneText {
  std::string name;
  std::vector<std::string> nameservers;
  std::vector<std::string> records;  // master-file syntax
  std::chrono::seconds negative_ttl{1};
};

// auth.example.net with a little of everything, nested.auth.example.net below it, other.example.org beside it, and
// _acme-challenge.example.com, a zone of one challenge name.
[[nodiscard]] std::vector<ZoneText> standard_zones();

// Throws std::runtime_error with the problems when the zones are refused.
[[nodiscard]] std::vector<zones::StaticZone> build_zones(const std::vector<ZoneText>& zones);

struct Reply {
  bool answered = false;
  Packet query;
  Packet response;
  Message message;       // of `response`
  std::string counters;  // that moved, in the order of dnsd::Counters: "queries_udp responses noerror edns=2"
  // What the stream of seen queries is told; an empty name when nothing.
  std::string seen_name;
  dnsd::Seen seen;
};

// The first rule broken that holds for each response whatever was asked (ID, QR, opcode, question, size, flags, OPT,
// SOA with negatives, whole and well-formed); "" when none. `response` is empty when there was none.
[[nodiscard]] std::string find_broken_rule(std::string_view query, std::string_view response, dnsd::Transport transport,
                                           std::uint16_t max_udp_payload);

class AnswerFixture {
 public:
  explicit AnswerFixture(const std::vector<ZoneText>& zones = standard_zones(), std::uint16_t max_udp_payload = 1232);
  AnswerFixture(const std::vector<ZoneText>& zones, dnsd::AnswerSettings settings);

  // Who asks from now on ("192.0.2.1", "2001:db8::1"), and when. At first it is 192.0.2.1, at a time of its own.
  void come_from(std::string_view client);
  void set_moment(dnsd::Moment moment) { moment_ = moment; }
  // As a reload does.
  void use(dnsd::AnswerSettings settings);

  // Throws std::runtime_error when the response breaks a rule of find_broken_rule().
  Reply ask(std::string_view text, dnsd::Transport transport = dnsd::Transport::Udp);
  Reply ask_tcp(std::string_view text) { return ask(text, dnsd::Transport::Tcp); }
  Reply send(const Packet& packet, dnsd::Transport transport = dnsd::Transport::Udp);
  // The response alone, unjudged; `slot` is a query's state and `fill` lies behind the query: neither may matter.
  Packet respond(const Packet& packet, dnsd::Transport transport, dnsd::Query& slot, std::byte fill);

  // What `name` serves from now on, with the next serial of its zone. Throws std::runtime_error when it has no place.
  void publish(std::string_view name, const std::vector<std::string>& values);
  // Static errors that place() and check_limits() would give, in their words; "" when the values may go there.
  [[nodiscard]] std::string refusal(std::string_view name, const std::vector<std::string>& values) const;
  [[nodiscard]] std::uint32_t serial(std::size_t zone) const { return serials_[zone]; }

 private:
  zones::Epochs epochs_;
  zones::Epochs::Reader& reader_;
  zones::NameTable table_;
  zones::ZoneRecords records_;
  std::vector<std::uint32_t> serials_;
  std::uint16_t max_udp_payload_;
  dnsd::Responder responder_;
  base::SocketAddress client_;
  dnsd::Moment moment_{.elapsed_us = 1'000'000'000, .unix_seconds = 0x6a000000};
  dnsd::Counters counters_;
  dnsd::Seen seen_;
  std::string seen_name_;
  // One for all queries, as a worker's slot is: nothing of the query before may show.
  std::unique_ptr<dnsd::Query> slot_ = std::make_unique<dnsd::Query>();
};

}  // namespace countersign::tests
