// countersignd: the command line.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

#include "base/log.hpp"
#include "conf/load.hpp"
#include "dnsd/configuration.hpp"
#include "dnsd/daemon.hpp"
#include "dnsd/import.hpp"

namespace {

namespace base = countersign::base;
namespace conf = countersign::conf;
namespace dnsd = countersign::dnsd;

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;  // or configuration

struct Options {
  std::string config;
  bool check = false;
  std::string import_acme_dns;
  std::string acme_dns_config;
};

int run(const Options& options) {
  std::filesystem::path path = conf::config_path(options.config);
  if (!options.import_acme_dns.empty())
    return dnsd::import_acme_dns({options.import_acme_dns, options.acme_dns_config, path});
  dnsd::hold_reloads(SIG_BLOCK);
  dnsd::Configuration configuration = dnsd::read_configuration(path);
  if (options.check) dnsd::check_certificate(configuration);
  for (const conf::Problem& problem : configuration.problems)
    std::fprintf(stderr, "%s\n", conf::format_problem(path, problem).c_str());
  if (!configuration.problems.empty()) return kBadUsage;
  if (options.check) {
    std::printf("%s: no problems\n", path.c_str());
    return 0;
  }
  base::log::set_level(configuration.config.log_level);
  auto ended = dnsd::run_daemon(std::move(configuration), path);
  if (!ended) {
    base::log::error(ended.error().message);
    return kFailed;
  }
  base::log::info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char* argv[]) {
  Options options;
  CLI::App app("Authoritative DNS server for ACME dns-01 challenges");
  app.name("countersignd");
  app.set_version_flag("--version", "countersignd " COUNTERSIGN_VERSION);
  app.add_option("--config", options.config,
                 "Configuration file (default: $COUNTERSIGN_CONFIG, else /etc/countersign/countersign.toml)")
      ->option_text("FILE");
  CLI::Option* check =
      app.add_flag("--check", options.check, "Check the configuration, print every problem, and exit: 0 none, 2 some");
  auto not_empty = CLI::Validator([](std::string& text) { return std::string(text.empty() ? "is empty" : ""); }, "");
  CLI::Option* import =
      app.add_option(
             "--import-acme-dns", options.import_acme_dns,
             "Take accounts and values of an acme-dns over into the store, from its SQLite database, and exit.\n"
             "Stop both daemons first. What is there already stays as it is, so that it may be done again")
          ->option_text("FILE")
          ->check(not_empty)
          ->excludes(check);
  app.add_option("--acme-dns-config", options.acme_dns_config,
                 "With it: acme-dns' config.cfg, printed as a configuration of countersignd")
      ->option_text("FILE")
      ->check(not_empty)
      ->needs(import);
  app.footer(
      "Stays in the foreground, logs to stderr and prints \"ready ...\" to stdout when it answers.\n"
      "SIGTERM and SIGINT stop it when all that was begun is finished. SIGHUP reads the configuration again; what is\n"
      "wrong with it is logged and changes nothing.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : kBadUsage;
  }
  try {
    return run(options);
  } catch (const std::exception& error) {
    base::log::error(error.what());
    return kFailed;
  }
}
