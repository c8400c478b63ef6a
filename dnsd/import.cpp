#include "dnsd/import.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "base/log.hpp"
#include "conf/acme_dns_config.hpp"
#include "dnsd/configuration.hpp"
#include "dnsd/privileges.hpp"
#include "dnsd/state_folder.hpp"

namespace countersign::dnsd {
namespace {

namespace fs = std::filesystem;
using base::fail;
using base::Result;

constexpr int kFailed = 1;
constexpr int kBadConfiguration = 2;
constexpr std::size_t kNamedZones = 5;  // in a message

void say(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
}

void say_problems(const fs::path& file, const std::vector<conf::Problem>& problems) {
  for (const conf::Problem& problem : problems) say(conf::format_problem(file, problem));
}

using Refused = std::map<std::size_t, std::string>;

// A complaint about all records of a name: its CNAME is what goes not with the others.
void refuse_cnames(const std::vector<std::string>& records, const conf::Problem& problem, const base::Name& apex,
                   Refused& refused) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    bool is_cname = records[i].find(" CNAME ") != std::string::npos || records[i].find(" cname ") != std::string::npos;
    auto owner = base::Name::parse(records[i].substr(0, records[i].find(' ')));
    if (!is_cname || !owner) continue;
    if (*owner == apex || problem.text.find(fmt::format("\"{}\"", owner->text())) != std::string::npos)
      refused.emplace(i, problem.text);
  }
}

// Tried out until nothing of them is refused any more.
Refused refused_records(const conf::AcmeDnsConfig& config) {
  Refused refused;
  const std::vector<std::string> records = conf::converted_records(config);
  conf::Config trial = conf::load_text(conf::converted_configuration(config, {})).config;
  if (trial.zones.size() != 1) return refused;
  conf::Zone& zone = trial.zones[0];
  zone.at = {};
  for (std::size_t before = records.size(); before != refused.size();) {
    before = refused.size();
    zone.records.clear();
    for (std::size_t i = 0; i < records.size(); ++i)
      if (!records[i].empty() && !refused.contains(i))
        zone.records.push_back({records[i], {static_cast<std::uint32_t>(i + 1), 1}});
    std::vector<conf::Problem> problems;
    static_cast<void>(zones::build_static_zones(trial, problems));
    for (const conf::Problem& problem : problems) {
      if (problem.key.find(".records") == std::string::npos) continue;
      if (problem.at.line != 0)
        refused.emplace(problem.at.line - 1, problem.text);
      else
        refuse_cnames(records, problem, zone.name, refused);
    }
  }
  return refused;
}

// Printed, and what is still wrong with it told.
void print_configuration(const conf::AcmeDnsConfig& config, std::uint64_t accounts) {
  std::string text = conf::converted_configuration(config, {accounts, refused_records(config)});
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  conf::Loaded loaded = conf::load_text(text);
  static_cast<void>(zones::build_static_zones(loaded.config, loaded.problems));
  say_problems("the printed configuration", loaded.problems);
}

std::string zone_texts(const std::vector<zones::StaticZone>& zones) {
  std::string text;
  for (std::size_t i = 0; i < zones.size() && i < kNamedZones; ++i)
    text += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", zones[i].apex.text());
  return zones.size() > kNamedZones ? text + " ..." : text;
}

const zones::StaticZone* find_zone(const Configuration& configuration, const std::optional<base::Name>& name) {
  if (!name) return configuration.zones.data();
  auto zone = std::ranges::find(configuration.zones, *name, &zones::StaticZone::apex);
  return zone == configuration.zones.end() ? nullptr : &*zone;
}

// As the daemon opens it, so that it belongs to the daemon's user: as that user.
Result<zones::Store> open_store(const conf::Config& config) {
  umask(077);
  auto account = choose_account(config.user);
  if (!account) return fail(account.error());
  auto folder = prepare_state_folder(config.state_dir, *account);
  if (!folder) return fail(folder.error());
  if (*account) {
    if (auto became = become(**account); !became) return fail(became.error());
  }
  return zones::Store::open(*folder / "store.sqlite3");
}

Result<ImportCounts> import_into_store(zones::AcmeDnsDatabase& source, const Configuration& configuration,
                                       const zones::StaticZone& zone) {
  auto store = open_store(configuration.config);
  if (!store) return fail(store.error());
  const conf::Challenge& challenge = configuration.config.challenge;
  return import_accounts(source, *store, {zone, challenge.lifetime, challenge.max_values, base::SystemClock().wall()});
}

void tell_counts(const ImportCounts& counts, const base::Name& zone) {
  base::log::info("imported from acme-dns", {{"zone", zone.text()},
                                             {"accounts", std::to_string(counts.taken)},
                                             {"there_already", std::to_string(counts.there)},
                                             {"of_these_with_another_key", std::to_string(counts.other_key)},
                                             {"skipped", std::to_string(counts.skipped)},
                                             {"values", std::to_string(counts.values)},
                                             {"skipped_values", std::to_string(counts.skipped_values)}});
}

class ImportRun {
 public:
  explicit ImportRun(const ImportRequest& request) : request_(request) {}

  int run() {
    if (!read_acme_dns_config()) return kBadConfiguration;
    auto source = zones::AcmeDnsDatabase::open(request_.database);
    if (!source) return failed(source.error());
    auto accounts = source->count_accounts();
    if (!accounts) return failed(accounts.error());
    accounts_ = *accounts;
    const zones::StaticZone* zone = read_our_configuration();
    if (zone == nullptr) return kBadConfiguration;
    auto counts = import_into_store(*source, configuration_, *zone);
    if (!counts) return failed(counts.error());
    if (theirs_) print_configuration(*theirs_, accounts_);
    tell_counts(*counts, zone->apex);
    warn_of_room();
    return 0;
  }

 private:
  bool read_acme_dns_config() {
    if (request_.acme_dns_config.empty()) return true;
    conf::AcmeDnsLoaded loaded = conf::load_acme_dns_config(request_.acme_dns_config);
    say_problems(request_.acme_dns_config, loaded.problems);
    if (!loaded.problems.empty()) return false;
    theirs_ = std::move(loaded.config);
    return true;
  }

  // The zone to import into; null, and all is said, when the configuration cannot be used yet.
  const zones::StaticZone* read_our_configuration() {
    std::error_code ignored;
    if (theirs_ && fs::status(request_.config, ignored).type() == fs::file_type::not_found) {
      print_configuration(*theirs_, accounts_);
      say(
          fmt::format("{} does not exist, so nothing was imported: save what was printed as this file, look at its "
                      "remarks, and run this again",
                      request_.config.string()));
      return nullptr;
    }
    configuration_ = read_configuration(request_.config);
    say_problems(request_.config, configuration_.problems);
    if (!configuration_.problems.empty()) return nullptr;
    std::optional<base::Name> wanted = configuration_.config.api.zone;
    if (theirs_) wanted = base::Name::parse(theirs_->domain).value_or(base::Name());
    const zones::StaticZone* zone = find_zone(configuration_, wanted);
    if (zone == nullptr) {
      print_configuration(*theirs_, accounts_);
      say(
          fmt::format("{} has no [[zone]] \"{}\", where the names of acme-dns' accounts are, but {}; nothing was "
                      "imported: add the [[zone]] that was printed, and run this again",
                      request_.config.string(), wanted->text(), zone_texts(configuration_.zones)));
    }
    return zone;
  }

  void warn_of_room() const {
    std::uint64_t most = configuration_.config.api.max_registrations;
    if (accounts_ >= most)
      base::log::warn("no new registrations will be accepted",
                      {{"api.max_registrations", std::to_string(most)}, {"accounts", std::to_string(accounts_)}});
  }

  static int failed(const base::Error& error) {
    base::log::error(error.message);
    return kFailed;
  }

  const ImportRequest& request_;
  std::optional<conf::AcmeDnsConfig> theirs_;
  std::uint64_t accounts_ = 0;
  Configuration configuration_;
};

}  // namespace

int import_acme_dns(const ImportRequest& request) {
  return ImportRun(request).run();
}

}  // namespace countersign::dnsd
