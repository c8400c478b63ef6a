#include <algorithm>
#include <boost/json.hpp>

#include "acme/commands/commands.hpp"
#include "acme/control/json_members.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;

std::string uptime_text(std::uint64_t seconds) {
  std::uint64_t days = seconds / 86'400;
  std::uint64_t hours = seconds / 3600 % 24;
  std::uint64_t minutes = seconds / 60 % 60;
  if (days > 0) return fmt::format("{} d {} h", days, hours);
  if (hours > 0) return fmt::format("{} h {} min", hours, minutes);
  if (minutes > 0) return fmt::format("{} min {} s", minutes, seconds % 60);
  return fmt::format("{} s", seconds);
}

// Whatever counters this daemon has, those that stand at zero left out.
void add_counters(const json::object& document, std::vector<std::vector<std::string>>& rows) {
  const json::value* value = document.if_contains("queries");
  const json::object* counters = value == nullptr ? nullptr : value->if_object();
  if (counters == nullptr) return;
  for (const json::key_value_pair& counter : *counters) {
    auto count = number_member(*counters, counter.key());
    if (count && *count > 0) rows.push_back({"  " + harmless(std::string_view(counter.key())), std::to_string(*count)});
  }
}

std::string store_text(const json::object& document) {
  const json::value* value = document.if_contains("store");
  const json::object* store = value == nullptr ? nullptr : value->if_object();
  const json::value* ok = store == nullptr ? nullptr : store->if_contains("ok");
  if (ok == nullptr || !ok->is_bool()) return "unknown";
  if (ok->get_bool()) return "ok";
  return "FAILING: " + harmless(string_member(*store, "error").value_or("see the daemon's log"));
}

}  // namespace

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      out += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    out += '\n';
  }
  return out;
}

base::Result<std::string> status_text(const DaemonStatus& status) {
  boost::system::error_code error;
  json::value parsed = json::parse(status.document, error);
  const json::object* document = error ? nullptr : parsed.if_object();
  if (document == nullptr) return base::fail(base::ErrorCode::Protocol, "the daemon's status is no JSON object");
  std::string listen;
  for (const base::SocketAddress& address : status.listen) listen += (listen.empty() ? "" : " ") + address.text();
  std::vector<std::vector<std::string>> rows{
      {"countersignd", harmless(status.version)},
      {"up", uptime_text(number_member(*document, "uptime_s").value_or(0))},
      {"listens on", listen},
      {"values", std::to_string(number_member(*document, "values").value_or(0))},
      {"registrations", std::to_string(number_member(*document, "registrations").value_or(0))},
      {"store", store_text(*document)},
      {"queries", ""}};
  add_counters(*document, rows);
  if (rows.back().front() == "queries") rows.back().back() = "none";
  std::vector<std::vector<std::string>> zones{{"ZONE", "SERIAL", "NAMES", "VALUES"}};
  for (const ServedZone& zone : status.zones)
    zones.push_back(
        {zone.name.text(), std::to_string(zone.serial), std::to_string(zone.names), std::to_string(zone.values)});
  return table_text(rows) + "\n" + table_text(zones);
}

ExitStatus run(const Context& context, const StatusCommand&) {
  auto status = Daemon(context.config.control_socket).status();
  if (!status) return fail_with(context.terminal, context.options, status.error());
  if (context.options.json) {
    context.terminal.result(status->document);
    return ExitStatus::Done;
  }
  auto text = status_text(*status);
  if (!text) return fail_with(context.terminal, context.options, text.error());
  text->pop_back();
  context.terminal.result(*text);
  return ExitStatus::Done;
}

}  // namespace countersign::acme
