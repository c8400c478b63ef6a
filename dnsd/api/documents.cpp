#include "dnsd/api/documents.hpp"

#include <array>
#include <boost/json.hpp>
#include <utility>

#include "base/duration.hpp"
#include "dnsd/api/api_counters.hpp"
#include "dnsd/api/api_server.hpp"

namespace countersign::dnsd {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::Result;

struct Mnemonic {
  std::uint16_t number;
  std::string_view text;
};
// Those that a query for a challenge can meet; others are written as RFC 3597 §5 says.
constexpr std::array<Mnemonic, 13> kTypes{{{1, "A"},
                                           {2, "NS"},
                                           {5, "CNAME"},
                                           {6, "SOA"},
                                           {15, "MX"},
                                           {16, "TXT"},
                                           {28, "AAAA"},
                                           {43, "DS"},
                                           {48, "DNSKEY"},
                                           {64, "SVCB"},
                                           {65, "HTTPS"},
                                           {255, "ANY"},
                                           {257, "CAA"}}};
constexpr std::array<Mnemonic, 7> kRcodes{
    {{0, "NOERROR"}, {1, "FORMERR"}, {2, "SERVFAIL"}, {3, "NXDOMAIN"}, {4, "NOTIMP"}, {5, "REFUSED"}, {16, "BADVERS"}}};

template <std::size_t N>
std::string mnemonic(const std::array<Mnemonic, N>& table, std::uint16_t number, std::string_view prefix) {
  for (const Mnemonic& row : table)
    if (row.number == number) return std::string(row.text);
  return fmt::format("{}{}", prefix, number);
}

// RFC 3339 with milliseconds: who asked first is the point of the stream.
std::string precise_time(base::WallTime time) {
  std::string text = base::format_rfc3339(time);
  auto fraction = time - std::chrono::floor<std::chrono::seconds>(time);
  text.insert(text.size() - 1, fmt::format(".{:03}", fraction.count()));
  return text;
}

json::array addresses_of(const std::vector<base::SocketAddress>& addresses) {
  json::array texts;
  for (const base::SocketAddress& address : addresses) texts.emplace_back(address.text());
  return texts;
}

std::string compact_name(std::string_view wire) {
  auto name = base::Name::from_wire(base::as_bytes(wire));
  return name ? name->text() : std::string();
}

}  // namespace

std::string status_document(const DaemonFacts& facts, base::ElapsedTime now, const zones::StoreSnapshot& store,
                            const std::string& problem) {
  json::array zone_list;
  for (const zones::ZoneSnapshot& zone : store.zones)
    zone_list.push_back(
        {{"name", zone.name.text()}, {"serial", zone.serial}, {"names", zone.names}, {"values", zone.values}});
  json::object queries;
  for (const CounterRow& row : kCounterTable) queries[row.name] = facts.counters.sum(row.counter);
  for (const UdpCounterRow& row : kUdpCounterTable) queries[row.name] = facts.counters.sum(row.counter);
  for (const TcpCounterRow& row : kTcpCounterTable) queries[row.name] = facts.counters.sum(row.counter);
  json::object api{{"listen", addresses_of(facts.api_listen)}};
  if (facts.api != nullptr) {
    api["connections"] = facts.api->connections();
    for (const ApiCounterRow& row : kApiCounterTable) api[row.name] = facts.api->counters().*row.counter;
  }
  json::object updates;
  if (facts.updates != nullptr) {
    for (const UpdateCounterRow& row : kUpdateCounterTable) updates[row.name] = facts.updates->counters().*row.counter;
  }
  bool ok = store.store_ok && problem.empty();
  json::object store_state{{"ok", ok}, {"commits", store.commits}, {"prunes", store.prunes}};
  if (!ok) store_state["error"] = problem.empty() ? store.store_error : problem;
  json::object document{{"version", COUNTERSIGN_VERSION},
                        {"uptime_s", std::chrono::duration_cast<std::chrono::seconds>(now - facts.started).count()},
                        {"zones", std::move(zone_list)},
                        {"listen", addresses_of(facts.listen)},
                        {"values", store.values},
                        {"registrations", store.registrations},
                        {"queries", std::move(queries)},
                        {"api", std::move(api)},
                        {"updates", std::move(updates)},
                        {"store", std::move(store_state)}};
  return json::serialize(document);
}

std::string values_document(const std::vector<zones::PublishedValue>& values) {
  json::array list;
  list.reserve(values.size());
  for (const zones::PublishedValue& value : values) {
    json::value expires = nullptr;
    if (value.expires) expires = base::format_rfc3339(*value.expires);
    list.push_back(
        {{"name", value.name.text()}, {"value", value.value}, {"owner", value.owner}, {"expires", std::move(expires)}});
  }
  return json::serialize(list);
}

std::string error_document(std::string_view code, std::string_view message) {
  return json::serialize(json::object{{"error", json::object{{"code", code}, {"message", message}}}});
}

std::string query_line(const SeenEvent& event, base::WallTime time) {
  json::object line{{"time", precise_time(time)},
                    {"client", event.client.unmapped().address_text()},
                    {"transport", event.transport == Transport::Udp ? "udp" : "tcp"},
                    {"name", compact_name(event.wire())},
                    {"type", mnemonic(kTypes, event.type, "TYPE")},
                    {"rcode", mnemonic(kRcodes, event.rcode, "RCODE")},
                    {"values", event.values}};
  return json::serialize(line) + "\n";
}

Result<TxtRequest> parse_txt_request(std::string_view body) {
  boost::system::error_code error;
  json::value document = json::parse({body.data(), body.size()}, error);
  if (error)
    return base::fail(ErrorCode::Invalid, "the body is not JSON ({}); send {{\"value\":\"...\"}}", error.message());
  const json::object* object = document.if_object();
  if (object == nullptr)
    return base::fail(ErrorCode::Invalid, "the body is not a JSON object; send {{\"value\":\"...\"}}");
  const json::string* value = nullptr;
  std::optional<std::chrono::milliseconds> lifetime;
  for (const json::key_value_pair& member : *object) {
    std::string_view key(member.key().data(), member.key().size());
    const json::string* text = member.value().if_string();
    if (key != "value" && key != "lifetime")
      return base::fail(ErrorCode::Invalid, "unknown member \"{}\"; there are \"value\" and \"lifetime\"", key);
    if (text == nullptr) return base::fail(ErrorCode::Invalid, "\"{}\" is not a string; put it in quotes", key);
    if (key == "value") {
      value = text;
      continue;
    }
    auto parsed = base::parse_duration({text->data(), text->size()});
    if (!parsed) return base::fail(ErrorCode::Invalid, "lifetime {}", parsed.error().message);
    lifetime = *parsed;
  }
  if (value == nullptr) return base::fail(ErrorCode::Invalid, "\"value\" is missing; send {{\"value\":\"...\"}}");
  auto parsed = zones::TxtValue::parse({value->data(), value->size()});
  if (!parsed) return base::fail(parsed.error());
  return TxtRequest{std::move(*parsed), lifetime};
}

}  // namespace countersign::dnsd
