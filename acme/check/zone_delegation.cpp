#include "acme/check/zone_delegation.hpp"

#include <algorithm>

namespace countersign::acme {
namespace {

using base::Name;
using dns::RecordType;
using Kind = ZoneState::Kind;

// The daemon is on this machine or near: what it does not answer in this time only makes a remedy less exact.
const dns::AskOptions kNearby{{std::chrono::milliseconds(200), std::chrono::milliseconds(400)},
                              std::chrono::milliseconds(600)};

std::string address_record(const Name& owner, const base::SocketAddress& address) {
  return fmt::format("{}. IN {} {}", owner.text(), address.family() == AF_INET6 ? "AAAA" : "A", address.address_text());
}

// The NS lines of the zone and, for servers inside it, their glue (RFC 9471), from the daemon itself.
std::string parent_records(const Name& zone, const std::vector<base::SocketAddress>& daemon_listen) {
  std::string unknown = fmt::format("{}. IN NS NAME-OF-THIS-SERVER.", zone.text());
  for (const base::SocketAddress& server : askable(daemon_listen)) {
    auto reply = dns::ask({{server, {zone, RecordType::Ns, dns::Recursion::Off}}}, kNearby).front();
    if (!reply) continue;
    auto servers = reply->answers(zone, RecordType::Ns);
    if (servers.empty()) continue;
    std::string lines;
    std::vector<dns::Query> glue;
    for (const dns::Record& record : servers) {
      lines += fmt::format("{}{}. IN NS {}.", lines.empty() ? "" : "\n", zone.text(), record.name().text());
      if (!record.name().is_within(zone)) continue;
      glue.push_back({server, {record.name(), RecordType::A, dns::Recursion::Off}});
      glue.push_back({server, {record.name(), RecordType::Aaaa, dns::Recursion::Off}});
    }
    auto addresses = dns::ask(glue, kNearby);
    for (std::size_t i = 0; i < glue.size(); ++i) {
      if (!addresses[i]) continue;
      for (const dns::Record& record : addresses[i]->answers(glue[i].question.name, glue[i].question.type))
        lines += "\n" + address_record(record.owner, record.address());
    }
    return lines;
  }
  return unknown;
}

ZoneState unsure(const Name& zone, const std::string& reason) {
  return {Kind::Unsure,
          fmt::format("the resolver gets no answer from the name servers of {} ({}); a CA may not reach them either: "
                      "see that port 53 is open over UDP and TCP",
                      zone.text(), reason),
          ""};
}

// A negative answer names the zone that it comes from in its SOA (RFC 2308 §2): an ancestor's means that there is no
// delegation below it.
ZoneState judge_negative(const Name& zone, const dns::Reply& reply) {
  for (const dns::Record& record : reply.authority) {
    if (record.type != RecordType::Soa || !zone.is_within(record.owner)) continue;
    if (record.owner == zone) return {};
    return {Kind::Missing,
            fmt::format("the daemon's zone {} is not delegated: in the DNS the zone {} says {}", zone.text(),
                        record.owner.text(),
                        reply.rcode == dns::kNxDomain ? "that no such name exists" : "that it has no NS there"),
            ""};
  }
  return {Kind::Missing,
          fmt::format("the daemon's zone {} is not delegated: the resolver finds no NS for it ({})", zone.text(),
                      dns::rcode_text(reply.rcode)),
          ""};
}

ZoneState judge(const Name& zone, const base::Result<dns::Finding>& finding) {
  if (!finding) return unsure(zone, finding.error().message);
  const dns::Reply& reply = finding->reply;
  if (!reply.answers(zone, RecordType::Ns).empty()) return {};
  if (auto alias = reply.answers(zone, RecordType::Cname); !alias.empty())
    return {
        Kind::Alias,
        fmt::format("the daemon serves the zone {}, but in the DNS that name is a CNAME to {}; remove the CNAME and "
                    "delegate the zone, or take the [[zone]] out of the configuration",
                    zone.text(), alias.front().name().text()),
        ""};
  if (reply.rcode == dns::kNoError || reply.rcode == dns::kNxDomain) {
    if (dns::is_recursive(reply)) return judge_negative(zone, reply);
    return unsure(zone, fmt::format("{} is no recursive resolver", dns::server_text(finding->resolver)));
  }
  std::string reason = dns::rcode_text(reply.rcode);
  if (std::string extended = dns::extended_error_text(reply); !extended.empty()) reason += ", " + extended;
  if (reply.rcode == dns::kServFail && dns::says_bogus(reply))
    return {Kind::Broken,
            fmt::format("DNSSEC validation of {} fails ({}), so that a CA gets no answer; if its parent has a DS "
                        "record for it, remove that: "
                        "the daemon does not sign",
                        zone.text(), reason),
            ""};
  return unsure(zone, reason);
}

}  // namespace

std::vector<base::SocketAddress> askable(const std::vector<base::SocketAddress>& daemon_listen) {
  std::vector<base::SocketAddress> addresses;
  for (const base::SocketAddress& listen : daemon_listen) {
    base::SocketAddress address = listen;
    if (listen.is_wildcard()) {
      auto loopback = base::SocketAddress::parse(listen.family() == AF_INET6 ? "[::1]" : "127.0.0.1", listen.port());
      if (!loopback) continue;
      address = *loopback;
    }
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
  }
  return addresses;
}

std::map<Name, ZoneState> look_at_zones(const std::set<Name>& zones, dns::Resolver& resolver,
                                        const std::vector<base::SocketAddress>& daemon_listen) {
  std::vector<dns::Lookup> lookups;
  lookups.reserve(zones.size());
  for (const Name& zone : zones) lookups.push_back({zone, RecordType::Ns});
  auto findings = resolver.look_up(lookups, dns::Patience::Short);
  std::map<Name, ZoneState> states;
  for (std::size_t i = 0; i < lookups.size(); ++i) {
    ZoneState state = judge(lookups[i].name, findings[i]);
    if (state.kind == Kind::Missing) state.remedy = parent_records(lookups[i].name, daemon_listen);
    states.emplace(lookups[i].name, std::move(state));
  }
  return states;
}

}  // namespace countersign::acme
