#include "dnsd/api/metrics.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sstream>

#include "base/files.hpp"
#include "dnsd/api/api_counters.hpp"
#include "dnsd/net/deferred_inbox.hpp"
#include "dnsd/net/seen_stream.hpp"
#include "dnsd/net/tcp_server.hpp"

namespace countersign::dnsd {
namespace {

enum class Type { Counter, Gauge };

// Backslash, quote and newline are the three that a label's value may not have as they are.
std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

class MetricsText {
 public:
  void family(std::string name, Type type, std::string_view help) {
    name_ = std::move(name);
    text_ +=
        fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type == Type::Counter ? "counter" : "gauge");
  }
  template <class Number>
  void sample(std::string_view labels, Number value) {
    text_ += labels.empty() ? fmt::format("{} {}\n", name_, value) : fmt::format("{}{{{}}} {}\n", name_, labels, value);
  }
  template <class Number>
  void single(std::string name, Type type, std::string_view help, Number value) {
    family(std::move(name), type, help);
    sample("", value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

double unix_seconds(base::WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Names as every client library of Prometheus has them, so that its dashboards work.
void add_process(MetricsText& text, const DaemonFacts& facts) {
  text.single("process_start_time_seconds", Type::Gauge, "when this process started, in seconds since 1970",
              unix_seconds(facts.started_at));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    text.single("process_cpu_seconds_total", Type::Counter, "processor time used, in seconds",
                seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  auto statm = base::read_file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  if (!statm || !(std::istringstream(*statm) >> size >> resident)) return;
  auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  text.single("process_virtual_memory_bytes", Type::Gauge, "virtual memory", size * page);
  text.single("process_resident_memory_bytes", Type::Gauge, "memory that is really there", resident * page);
}

void add_queries(MetricsText& text, const CounterSources& counters) {
  for (const CounterFamily& family : kCounterFamilies) {
    text.family(fmt::format("countersign_dns_{}", family.name), Type::Counter, family.help);
    for (const CounterRow& row : kCounterTable)
      if (row.family == family.name) text.sample(row.labels, counters.sum(row.counter));
  }
  auto add_each = [&](const auto& table) {
    for (const auto& row : table)
      text.single(fmt::format("countersign_dns_{}_total", row.name), Type::Counter, row.help,
                  counters.sum(row.counter));
  };
  add_each(kUdpCounterTable);
  add_each(kTcpCounterTable);
}

void add_connections(MetricsText& text, const DaemonFacts& facts) {
  if (facts.tcp != nullptr)
    text.single("countersign_dns_tcp_connections", Type::Gauge, "DNS connections over TCP that are open now",
                facts.tcp->connections());
  if (facts.seen != nullptr)
    text.single("countersign_seen_queries_lost_total", Type::Counter,
                "challenge queries that a stream of seen queries had no room for", facts.seen->lost());
}

void add_faces(MetricsText& text, const DaemonFacts& facts) {
  if (facts.api != nullptr) {
    for (const ApiCounterRow& row : kApiCounterTable)
      text.single(fmt::format("countersign_api_{}_total", row.name), Type::Counter, row.help,
                  facts.api->counters().*row.counter);
    text.single("countersign_api_connections", Type::Gauge, "connections to the public API that are open now",
                facts.api->connections());
  }
  if (facts.updates != nullptr) {
    for (const UpdateCounterRow& row : kUpdateCounterTable)
      text.single(fmt::format("countersign_{}_total", row.name), Type::Counter, row.help,
                  facts.updates->counters().*row.counter);
  }
  if (facts.deferred != nullptr)
    text.single("countersign_deferred_lost_total", Type::Counter,
                "updates and signed queries over UDP that were dropped because too many waited",
                facts.deferred->lost());
}

void add_reloads(MetricsText& text, const ReloadFacts& reloads) {
  text.family("countersign_reloads_total", Type::Counter, "reloads of the configuration, by what became of them");
  text.sample(R"(result="done")", reloads.done);
  text.sample(R"(result="failed")", reloads.failed);
  text.single("countersign_config_last_reload_successful", Type::Gauge,
              "1 when the configuration in use is the one that was asked for last", reloads.last_failed ? 0 : 1);
  text.single("countersign_config_last_reload_success_timestamp_seconds", Type::Gauge,
              "when the configuration in use was read, in seconds since 1970", unix_seconds(reloads.configured_at));
}

void add_store(MetricsText& text, const zones::StoreSnapshot& store) {
  auto zone_family = [&](const char* name, std::string_view help, auto field) {
    text.family(name, Type::Gauge, help);
    for (const zones::ZoneSnapshot& zone : store.zones)
      text.sample(fmt::format("zone=\"{}\"", escaped(zone.name.text())), zone.*field);
  };
  zone_family("countersign_zone_serial", "SOA serial of the zone", &zones::ZoneSnapshot::serial);
  zone_family("countersign_zone_names", "names of the zone that have challenge values now",
              &zones::ZoneSnapshot::names);
  zone_family("countersign_zone_values", "challenge values of the zone now", &zones::ZoneSnapshot::values);
  text.single("countersign_registrations", Type::Gauge, "registrations of the HTTP API", store.registrations);
  text.single("countersign_store_commits_total", Type::Counter, "transactions that the store has committed",
              store.commits);
  text.single("countersign_store_prunes_total", Type::Counter, "values removed at the end of their lifetime",
              store.prunes);
}

void add_store_state(MetricsText& text, const StoreReport& store) {
  bool stalled = !store.problem.empty();
  bool ok = !stalled && store.snapshot && store.snapshot->store_ok;
  text.single("countersign_store_ok", Type::Gauge, "1 unless the last commit failed or the store does not answer",
              ok ? 1 : 0);
  text.single("countersign_store_stalled", Type::Gauge,
              "1 when the store did not answer in time: the zones' and its own figures are older ones",
              stalled ? 1 : 0);
}

}  // namespace

std::string metrics_document(const DaemonFacts& facts, const StoreReport& store) {
  MetricsText text;
  text.family("countersign_build_info", Type::Gauge, "1, with the version as its label");
  text.sample(fmt::format("version=\"{}\"", escaped(COUNTERSIGN_VERSION)), 1);
  add_process(text, facts);
  add_queries(text, facts.counters);
  add_connections(text, facts);
  add_faces(text, facts);
  add_reloads(text, facts.reloads);
  if (store.snapshot) add_store(text, *store.snapshot);
  add_store_state(text, store);
  return text.take();
}

}  // namespace countersign::dnsd
