#include "acme/check/fence.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "acme/check/chain.hpp"
#include "acme/check/query.hpp"
#include "acme/check/resolver.hpp"
#include "acme/check/zone_delegation.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using base::SocketAddress;
using dns::RecordType;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint16_t kDnsPort = 53;
constexpr milliseconds kPause{20};  // between looks at a server that lags behind
// A blackholed address costs this in every run, a slow one on another continent answers within the first.
const dns::AskOptions kPublic{{milliseconds(500), milliseconds(1000)}, milliseconds(2000)};
// More than any zone has; a hostile answer cannot make us ask the whole world.
constexpr std::size_t kMaxServers = 13;
constexpr std::size_t kMaxAddresses = 32;
constexpr std::size_t kShownValues = 4;

using Expected = std::map<Name, std::set<std::string>>;  // owner -> values

struct ZoneTask {
  Name zone;
  Expected expected;
  std::vector<SocketAddress> addresses;
  std::string no_addresses;  // why there are none
};

// One address asked for one name.
struct Look {
  const ZoneTask* task = nullptr;
  SocketAddress server;
  const Name* name = nullptr;
  bool right = false;
  std::optional<base::Error> unreachable;
  std::string said;  // when wrong
  std::size_t answers = 0;
};

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

std::string values_text(const std::vector<std::string>& values) {
  std::string out;
  for (std::size_t i = 0; i < values.size() && i < kShownValues; ++i) out += (i > 0 ? ", " : "") + quoted(values[i]);
  if (values.size() > kShownValues) out += fmt::format(" and {} more", values.size() - kShownValues);
  return out;
}

// "" when the answer is right.
std::string fault(const dns::Reply& reply, const Name& name, const std::set<std::string>& expected) {
  std::string extended = dns::extended_error_text(reply);
  if (!extended.empty()) extended = " (" + extended + ")";
  if (reply.rcode != dns::kNoError) return dns::rcode_text(reply.rcode) + extended;
  auto records = reply.answers(name, RecordType::Txt);
  std::vector<std::string> values;
  values.reserve(records.size());
  for (const dns::Record& record : records) values.push_back(record.text());
  if (values.empty())
    return (reply.authoritative ? "no TXT record" : "no TXT record, and not as an authority") + extended;
  bool complete = std::all_of(expected.begin(), expected.end(), [&](const std::string& value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  });
  if (!complete) return "TXT " + values_text(values);
  // A CA's resolver takes no answer of a server that is not an authority (a lame delegation).
  if (!reply.authoritative) return "the values, but not as an authority (AA is not set)";
  return "";
}

Result<std::vector<ZoneTask>> sort_into_zones(const std::vector<TxtValue>& values, const std::vector<Name>& zones) {
  std::map<Name, Expected> sorted;
  for (const TxtValue& value : values) {
    auto zone = zone_of(value.name, zones);
    if (!zone) return fail(ErrorCode::Invalid, "{} is in no zone of the daemon", value.name.text());
    sorted[*zone][value.name].insert(value.value);
  }
  std::vector<ZoneTask> tasks;
  tasks.reserve(sorted.size());
  for (auto& [zone, expected] : sorted) tasks.push_back({zone, std::move(expected), {}, ""});
  return tasks;
}

// The daemon may listen on another port than 53 at its own address (a test, a redirecting firewall).
SocketAddress with_port(SocketAddress address, const std::vector<SocketAddress>& daemon_listen) {
  address.set_port(kDnsPort);
  for (const SocketAddress& listen : daemon_listen)
    if (listen.address_text() == address.address_text()) address.set_port(listen.port());
  return address;
}

std::string reply_text(const base::Result<dns::Finding>& finding) {
  if (!finding) return finding.error().message;
  std::string text = dns::rcode_text(finding->reply.rcode);
  if (std::string extended = dns::extended_error_text(finding->reply); !extended.empty()) text += ", " + extended;
  return text;
}

// The addresses of each zone's name servers, as the world sees them.
void find_addresses(std::vector<ZoneTask>& tasks, dns::Resolver& resolver,
                    const std::vector<SocketAddress>& daemon_listen) {
  std::vector<dns::Lookup> lookups;
  lookups.reserve(tasks.size());
  for (const ZoneTask& task : tasks) lookups.push_back({task.zone, RecordType::Ns});
  auto found = resolver.look_up(lookups, dns::Patience::Short);

  std::set<Name> servers;
  std::vector<std::vector<Name>> of_task(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (found[i])
      for (const dns::Record& record : found[i]->reply.answers(tasks[i].zone, RecordType::Ns))
        if (of_task[i].size() < kMaxServers) of_task[i].push_back(record.name());
    if (of_task[i].empty())
      tasks[i].no_addresses = fmt::format("the resolver finds no NS of it ({})", reply_text(found[i]));
    servers.insert(of_task[i].begin(), of_task[i].end());
  }
  lookups.clear();
  for (const Name& server : servers) {
    lookups.push_back({server, RecordType::A});
    lookups.push_back({server, RecordType::Aaaa});
  }
  auto addresses = resolver.look_up(lookups, dns::Patience::Short);
  std::map<Name, std::vector<SocketAddress>> known;
  for (std::size_t i = 0; i < lookups.size(); ++i) {
    if (!addresses[i]) continue;
    // A name server's name is no alias (RFC 2181 §10.3), but resolvers follow one that is.
    for (const dns::Record& record : addresses[i]->reply.answer)
      if (record.type == lookups[i].type) known[lookups[i].name].push_back(record.address());
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    ZoneTask& task = tasks[i];
    for (const Name& server : of_task[i]) {
      std::vector<SocketAddress> candidates = known[server];
      if (candidates.empty() && found[i])
        for (const dns::Record& record : found[i]->reply.additional)
          if (record.owner == server && (record.type == RecordType::A || record.type == RecordType::Aaaa))
            candidates.push_back(record.address());
      for (const SocketAddress& candidate : candidates) {
        SocketAddress address = with_port(candidate, daemon_listen);
        bool is_new = std::find(task.addresses.begin(), task.addresses.end(), address) == task.addresses.end();
        if (is_new && task.addresses.size() < kMaxAddresses) task.addresses.push_back(address);
      }
    }
    if (task.addresses.empty() && task.no_addresses.empty())
      task.no_addresses = fmt::format("the resolver finds no address of {}", of_task[i].front().text());
  }
}

void look(std::vector<Look*>& looks, const dns::AskOptions& options) {
  std::vector<dns::Query> queries;
  queries.reserve(looks.size());
  for (const Look* look : looks) queries.push_back({look->server, {*look->name, RecordType::Txt, dns::Recursion::Off}});
  auto replies = dns::ask(queries, options);
  for (std::size_t i = 0; i < looks.size(); ++i) {
    Look& look = *looks[i];
    look.unreachable.reset();
    look.said.clear();
    if (replies[i]) ++look.answers;
    if (!replies[i]) {
      // A malformed answer is an answer: the server is there, and wrong.
      if (replies[i].error().code == ErrorCode::Protocol)
        look.said = replies[i].error().message;
      else
        look.unreachable = replies[i].error();
      continue;
    }
    look.said = fault(*replies[i], *look.name, look.task->expected.at(*look.name));
    look.right = look.said.empty();
  }
}

std::vector<Look> looks_at(const ZoneTask& task, const std::vector<SocketAddress>& servers) {
  std::vector<Look> looks;
  for (const SocketAddress& server : servers)
    for (const auto& [name, values] : task.expected) looks.push_back({&task, server, &name, false, {}, "", 0});
  return looks;
}

bool same_server(const Look& a, const Look& b) {
  return a.task == b.task && a.server == b.server;
}

// Nothing came from this server for any name of the zone.
bool is_unreachable(const Look& look, const std::vector<Look>& looks) {
  return std::all_of(looks.begin(), looks.end(),
                     [&](const Look& other) { return !same_server(look, other) || other.unreachable.has_value(); });
}

// Asks until every server that is there is right about every name, or patience ends.
Result<void> look_until_right(std::vector<Look>& looks, milliseconds patience) {
  auto end = Clock::now() + patience;
  std::vector<Look*> open;
  open.reserve(looks.size());
  for (Look& one : looks) open.push_back(&one);
  for (;;) {
    look(open, kPublic);
    if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted while asking the name servers for the values");
    std::erase_if(open, [&](const Look* one) { return one->right || is_unreachable(*one, looks); });
    if (open.empty()) return {};
    if (Clock::now() >= end) break;
    if (!sleep_unless_interrupted(kPause))
      return fail(ErrorCode::Interrupted, "interrupted while asking the name servers for the values");
  }
  const Look& wrong = *open.front();
  const auto& expected = wrong.task->expected.at(*wrong.name);
  std::string others = open.size() > 1 ? fmt::format(" (and {} more such answers)", open.size() - 1) : "";
  std::string said = wrong.unreachable ? "nothing" : wrong.said;
  return fail(
      ErrorCode::Protocol,
      "the name server {} of {} answers {} TXT with {}, expected {}{}; a CA may ask it as well: take it out of the "
      "zone's NS records, or make it serve what the daemon serves",
      dns::server_text(wrong.server), wrong.task->zone.text(), wrong.name->text(), said,
      values_text({expected.begin(), expected.end()}), others);
}

void note_answers(const std::vector<Look>& looks, FenceReport& report) {
  for (const Look& one : looks) {
    report.questions[*one.name] += one.answers;
    if (one.right && std::find(report.asked.begin(), report.asked.end(), one.server) == report.asked.end())
      report.asked.push_back(one.server);
  }
}

// Warns of the addresses that gave no answer. True when at least one of the zone's did.
bool judge_reach(const ZoneTask& task, const std::vector<Look>& looks, FenceReport& report) {
  bool reached = false;
  std::set<std::string> warned;
  for (const Look& one : looks) {
    if (one.task != &task) continue;
    if (one.right) reached = true;
    if (!one.unreachable || !warned.insert(one.server.text()).second) continue;
    report.warnings.push_back(
        fmt::format("the name server {} of {} cannot be asked from here ({}); a CA must be able to",
                    dns::server_text(one.server), task.zone.text(), one.unreachable->message));
  }
  return reached;
}

// No public address answers: the daemon itself must at least be right.
Result<void> ask_daemon(const ZoneTask& task, const std::vector<SocketAddress>& daemon, milliseconds patience,
                        FenceReport& report) {
  std::string why = task.no_addresses.empty() ? "none of its name servers can be asked from here" : task.no_addresses;
  auto looks = looks_at(task, daemon);
  if (looks.empty())
    return fail(ErrorCode::Unavailable, "nobody can be asked whether {} has the values: {}", task.zone.text(), why);
  if (auto right = look_until_right(looks, patience); !right) return right;
  note_answers(looks, report);
  if (std::none_of(looks.begin(), looks.end(), [](const Look& one) { return one.right; }))
    return fail(ErrorCode::Unavailable,
                "nobody answers for {}: {}, and the daemon does not either ({}); see dns.listen", task.zone.text(), why,
                looks.front().unreachable->message);
  report.warnings.push_back(fmt::format("{}: {}; only the daemon itself was asked, so that a CA may see something else",
                                        task.zone.text(), why));
  return {};
}

}  // namespace

Result<FenceReport> await_visibility(const std::vector<TxtValue>& values, const std::vector<Name>& zones,
                                     const std::vector<SocketAddress>& resolvers,
                                     const std::vector<SocketAddress>& daemon_listen, milliseconds patience) {
  auto tasks = sort_into_zones(values, zones);
  if (!tasks) return fail(tasks.error());
  dns::Resolver resolver(resolvers);
  find_addresses(*tasks, resolver, daemon_listen);
  if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted while looking up the name servers");

  std::vector<Look> looks;
  for (const ZoneTask& task : *tasks) {
    auto more = looks_at(task, task.addresses);
    looks.insert(looks.end(), more.begin(), more.end());
  }
  if (auto right = look_until_right(looks, patience); !right) return fail(right.error());

  FenceReport report;
  note_answers(looks, report);
  auto daemon = askable(daemon_listen);
  for (const ZoneTask& task : *tasks) {
    if (judge_reach(task, looks, report)) continue;
    if (auto right = ask_daemon(task, daemon, patience, report); !right) return fail(right.error());
  }
  return report;
}

}  // namespace countersign::acme
