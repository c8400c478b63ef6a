#include "tests/support/answer_fixture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace countersign::tests {

namespace {

using dnsd::Counters;
using dnsd::Transport;

struct NamedCounter {
  std::string_view name;
  base::Counter Counters::* counter;
};
// In the order in which tests name them. Types have a check of their own.
constexpr auto kCounters = std::to_array<NamedCounter>({{"queries_udp", &Counters::queries_udp},
                                                        {"queries_tcp", &Counters::queries_tcp},
                                                        {"responses", &Counters::responses},
                                                        {"dropped_short", &Counters::dropped_short},
                                                        {"dropped_response", &Counters::dropped_response},
                                                        {"dropped_rate", &Counters::dropped_rate},
                                                        {"noerror", &Counters::noerror},
                                                        {"nxdomain", &Counters::nxdomain},
                                                        {"formerr", &Counters::formerr},
                                                        {"notimp", &Counters::notimp},
                                                        {"refused", &Counters::refused},
                                                        {"notauth", &Counters::notauth},
                                                        {"badvers", &Counters::badvers},
                                                        {"badcookie", &Counters::badcookie},
                                                        {"nodata", &Counters::nodata},
                                                        {"referral", &Counters::referral},
                                                        {"truncated", &Counters::truncated},
                                                        {"edns", &Counters::edns},
                                                        {"cookies_valid", &Counters::cookies_valid},
                                                        {"cookies_invalid", &Counters::cookies_invalid},
                                                        {"cookies_client", &Counters::cookies_client},
                                                        {"rate_limited", &Counters::rate_limited},
                                                        {"slipped", &Counters::slipped}});
constexpr std::ptrdiff_t kTypeCounters = std::ranges::count_if(
    dnsd::kCounterTable, [](const dnsd::CounterRow& row) { return row.family == "questions_total"; });
static_assert(std::ssize(dnsd::kCounterTable) == std::ssize(kCounters) + kTypeCounters,
              "a counter is missing in the table");

// Of all types together: one question, one type.
std::uint64_t read_types(const Counters& counters) {
  std::uint64_t sum = 0;
  for (const dnsd::CounterRow& row : dnsd::kCounterTable)
    if (row.family == "questions_total") sum += (counters.*row.counter).read();
  return sum;
}

using CounterValues = std::array<std::uint64_t, std::size(kCounters)>;

CounterValues read_counters(const Counters& counters) {
  CounterValues values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = (counters.*kCounters[i].counter).read();
  return values;
}

std::string moved(const CounterValues& before, const CounterValues& after) {
  std::string text;
  for (std::size_t i = 0; i < before.size(); ++i) {
    std::uint64_t by = after[i] - before[i];
    if (by == 0) continue;
    if (!text.empty()) text += ' ';
    text += kCounters[i].name;
    if (by > 1) text += fmt::format("={}", by);
  }
  return text;
}

// One query in, one response or one drop out, and one RCODE for each response.
std::string find_wrong_count(const CounterValues& before, const CounterValues& after, Transport transport,
                             bool answered) {
  auto sum = [&](std::initializer_list<std::string_view> names) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < before.size(); ++i)
      if (std::ranges::find(names, kCounters[i].name) != names.end()) total += after[i] - before[i];
    return total;
  };
  std::uint64_t responses = answered ? 1 : 0;
  bool right =
      sum({transport == Transport::Udp ? "queries_udp" : "queries_tcp"}) == 1 &&
      sum({"queries_udp", "queries_tcp"}) == 1 && sum({"responses"}) == responses &&
      sum({"dropped_short", "dropped_response", "dropped_rate"}) == 1 - responses &&
      sum({"noerror", "nxdomain", "formerr", "notimp", "refused", "notauth", "badvers", "badcookie"}) == responses &&
      sum({"cookies_valid", "cookies_invalid", "cookies_client"}) <= sum({"edns"}) &&
      sum({"rate_limited"}) == sum({"dropped_rate", "slipped"}) &&
      sum({"nodata", "referral", "truncated"}) <= 1 + sum({"truncated"});
  return right ? "" : "counters do not add up: " + moved(before, after);
}

base::Name name_of(std::string_view text) {
  auto name = base::Name::parse(text);
  if (!name) throw std::runtime_error(name.error().message);
  return *name;
}

constexpr std::uint32_t kFirstSerial = 2026112200;

}  // namespace

std::vector<ZoneText> standard_zones() {
  return {
      {"auth.example.net",
       {"ns1.auth.example.net", "ns.outside.test"},
       {"ns1 300 A 203.0.113.5", "ns1 300 AAAA 2001:db8::5",
        // The apex.
        "@ 300 CAA 0 issue \"ca.example\"", "@ 300 MX 10 mail", "@ 300 MX 20 mx.outside.test.",
        "@ 300 TXT \"v=spf1 -all\"",
        // Plain names.
        "mail 300 A 203.0.113.25", "www 300 A 203.0.113.80", "www 300 A 203.0.113.81", "www 300 AAAA 2001:db8::80",
        "_sip._tcp 300 SRV 1 2 5060 www", "opaque 300 TYPE65400 \\# 4 0a000001", "texts 300 TXT \"one\" \"two\"",
        "texts 300 TXT \"\"", "texts 300 HINFO \"cpu\" \"os\"",
        // Aliases.
        "alias 300 CNAME www", "chain 200 CNAME alias", "across 300 CNAME www.other.example.org.",
        "outside 300 CNAME www.outside.test.", "dangling 300 CNAME missing", "to-nodata 300 CNAME mail",
        "to-cut 300 CNAME www.child", "to-nested 300 CNAME www.nested", "to-wild 300 CNAME some.wild",
        "to-challenge 300 CNAME _acme-challenge.example.com.", "self 300 CNAME self", "loop-a 300 CNAME loop-b",
        "loop-b 300 CNAME loop-a",
        // Wildcards: an ordinary one, an alias, one without data of its own, one below another.
        "*.wild 300 A 203.0.113.99", "*.wild 300 TXT \"any\"", "host.wild 300 A 203.0.113.98",
        "sub.empty.wild 300 A 203.0.113.97", "*.alias-wild 300 CNAME www", "x.*.mid 300 A 203.0.113.96",
        "*.deep.wild 300 TXT \"deeper\"",
        // Empty non-terminals: c and b.c.
        "a.b.c 300 TXT \"deep\"",
        // A delegation, with one name server inside, one outside, and data that it hides.
        "child 600 NS ns.child", "child 600 NS ns.outside.test.", "ns.child 600 A 203.0.113.53",
        "ns.child 600 AAAA 2001:db8::53",
        // Octets that are no host name (RFC 2181 §11, RFC 4343 §2).
        "nul\\000dot\\.label 300 TXT \"odd\"", "\\228 300 TXT \"small a umlaut\"", "\\091x 300 TXT \"bracket\""}},
      {"nested.auth.example.net", {"ns1.auth.example.net"}, {"@ 300 A 203.0.113.90", "www 300 A 203.0.113.91"}},
      {"other.example.org",
       {"ns1.auth.example.net"},
       {"www 300 A 198.51.100.80", "back 300 CNAME www.auth.example.net."},
       std::chrono::seconds(30)},
      {"_acme-challenge.example.com", {"ns1.auth.example.net"}, {}},
  };
}

std::vector<zones::StaticZone> build_zones(const std::vector<ZoneText>& zones) {
  conf::Config config;
  for (const ZoneText& text : zones) {
    conf::Zone zone;
    zone.name = name_of(text.name);
    for (const std::string& server : text.nameservers) zone.nameservers.push_back(name_of(server));
    zone.hostmaster = name_of("hostmaster.example.net");
    std::uint32_t line = 0;
    for (const std::string& record : text.records) zone.records.push_back({.text = record, .at = {.line = ++line}});
    zone.negative_ttl = text.negative_ttl;
    config.zones.push_back(std::move(zone));
  }
  std::vector<conf::Problem> problems;
  std::vector<zones::StaticZone> built = zones::build_static_zones(config, problems);
  std::string all;
  for (const conf::Problem& problem : problems) all += fmt::format("record {}: {}\n", problem.at.line, problem.text);
  if (!all.empty()) throw std::runtime_error(all);
  return built;
}

AnswerFixture::AnswerFixture(const std::vector<ZoneText>& zones, std::uint16_t max_udp_payload)
    : AnswerFixture(zones, dnsd::AnswerSettings{.max_udp_payload = max_udp_payload}) {}

AnswerFixture::AnswerFixture(const std::vector<ZoneText>& zones, dnsd::AnswerSettings settings)
    : reader_(epochs_.add_reader()),
      table_(epochs_),
      records_(build_zones(zones), {.ttl = 1, .max_values = 16, .max_udp_payload = settings.max_udp_payload}, table_),
      serials_(zones.size(), kFirstSerial),
      max_udp_payload_(settings.max_udp_payload),
      responder_(table_, std::make_unique<dnsd::AnswerSettings>(std::move(settings))) {
  come_from("192.0.2.1");
  records_.publish_static();
  for (std::size_t zone = 0; zone < serials_.size(); ++zone) records_.publish_serial(zone, serials_[zone]);
}

void AnswerFixture::come_from(std::string_view client) {
  auto address = base::SocketAddress::parse(client, 40'000);
  if (!address) throw std::runtime_error(address.error().message);
  client_ = *address;
}

void AnswerFixture::use(dnsd::AnswerSettings settings) {
  max_udp_payload_ = settings.max_udp_payload;
  static_cast<void>(responder_.use(std::make_unique<dnsd::AnswerSettings>(std::move(settings))));
}

Reply AnswerFixture::ask(std::string_view text, Transport transport) {
  return send(query(text), transport);
}

Packet AnswerFixture::respond(const Packet& packet, Transport transport, dnsd::Query& slot, std::byte fill) {
  // Exactly what the contract asks for, so that a sanitizer sees an octet too many.
  std::size_t capacity = transport == Transport::Tcp ? 65535 : std::max<std::size_t>(packet.size(), max_udp_payload_);
  std::vector<std::byte> buffer(capacity, fill);
  std::ranges::copy(base::as_bytes(packet), buffer.begin());
  slot.packet = buffer.data();
  slot.capacity = capacity;
  slot.length = packet.size();
  slot.transport = transport;
  slot.client = client_.data();
  slot.moment = moment_;
  zones::ReadScope scope(reader_);
  std::size_t length = responder_.respond(slot, counters_, seen_);
  if (length > capacity) throw std::runtime_error("a response longer than its buffer");
  seen_name_ = seen_.name;
  return Packet(base::as_text(base::Bytes(buffer).first(length)));
}

Reply AnswerFixture::send(const Packet& packet, Transport transport) {
  Reply reply;
  reply.query = packet;
  CounterValues before = read_counters(counters_);
  std::uint64_t types_before = read_types(counters_);
  reply.response = respond(packet, transport, *slot_, std::byte{0xa5});
  CounterValues after = read_counters(counters_);
  reply.counters = moved(before, after);
  reply.answered = !reply.response.empty();
  reply.seen = seen_;
  reply.seen.name = {};
  reply.seen_name = seen_name_;
  bool limited = reply.counters.find("dropped_rate") != std::string::npos;
  std::string broken = limited ? "" : find_broken_rule(packet, reply.response, transport, max_udp_payload_);
  if (read_types(counters_) - types_before > 1) broken = "one question counted as two types";
  if (broken.empty()) broken = find_wrong_count(before, after, transport, reply.answered);
  if (!broken.empty())
    throw std::runtime_error(
        fmt::format("{}\n  query    {}\n  response {}", broken, to_hex(packet), to_hex(reply.response)));
  if (reply.answered) reply.message = *decode(reply.response);
  return reply;
}

void AnswerFixture::publish(std::string_view name, const std::vector<std::string>& values) {
  base::Name owner = name_of(name);
  auto zone = records_.place(owner);
  if (!zone) throw std::runtime_error(zone.error().message);
  records_.publish(owner, values);
  records_.publish_serial(*zone, ++serials_[*zone]);
  records_.reclaim();
}

std::string AnswerFixture::refusal(std::string_view name, const std::vector<std::string>& values) const {
  base::Name owner = name_of(name);
  if (auto zone = records_.place(owner); !zone) return zone.error().message;
  if (auto fits = records_.check_limits(owner, values); !fits) return fits.error().message;
  return "";
}

}  // namespace countersign::tests
