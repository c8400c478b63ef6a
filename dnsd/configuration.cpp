#include "dnsd/configuration.hpp"

#include <fmt/ranges.h>

#include "base/files.hpp"
#include "conf/texts.hpp"

namespace countersign::dnsd {
namespace {

constexpr const char* kSecretKey = "dns.cookie_secret_file";
// Eight secrets with a page of remarks.
constexpr std::size_t kMaxSecretFile = 4096;

void read_cookie_secrets(Configuration& configuration) {
  const std::string& file = configuration.config.dns.cookie_secret_file;
  if (file.empty()) return;
  auto text = base::read_file(file, kMaxSecretFile);
  if (!text) {
    // base's message names the file again.
    std::string reason = text.error().code == base::ErrorCode::Full
                             ? fmt::format("larger than {} octets", kMaxSecretFile)
                             : text.error().message.substr(text.error().message.rfind(": ") + 2);
    configuration.problems.push_back({{},
                                      kSecretKey,
                                      fmt::format("{} cannot be read: {}; write 32 hex digits to it, as `openssl rand "
                                                  "-hex 16` does, readable by `user` alone",
                                                  conf::in_quotes(file), reason)});
    return;
  }
  auto secrets = parse_cookie_secrets(*text);
  if (secrets)
    configuration.cookie_secrets = std::move(*secrets);
  else
    configuration.problems.push_back(
        {{}, kSecretKey, fmt::format("{}: {}", conf::in_quotes(file), secrets.error().message)});
}

}  // namespace

Configuration read_configuration(const std::filesystem::path& path) {
  conf::Loaded loaded = conf::load_file(path);
  if (loaded.problems.empty() && loaded.config.zones.empty())
    loaded.problems.push_back({{}, "zone", "no zone is configured, only acme.server; add a [[zone]] for a daemon"});
  Configuration configuration;
  configuration.zones = zones::build_static_zones(loaded.config, loaded.problems);
  configuration.config = std::move(loaded.config);
  configuration.problems = std::move(loaded.problems);
  read_cookie_secrets(configuration);
  return configuration;
}

std::unique_ptr<const AnswerSettings> answer_settings(const Configuration& configuration, const CookieSecret& random) {
  const conf::Dns& dns = configuration.config.dns;
  auto settings = std::make_unique<AnswerSettings>();
  settings->max_udp_payload = dns.max_udp_payload;
  settings->nsid = dns.nsid;
  settings->version = dns.version;
  settings->responses_per_second = dns.rate_limit.responses_per_second;
  settings->slip = dns.rate_limit.slip;
  settings->cookie_secrets = configuration.cookie_secrets;
  if (settings->cookie_secrets.empty()) settings->cookie_secrets.push_back(random);
  settings->tcp_idle_timeout = dns.tcp_idle_timeout;
  return settings;
}

std::string restart_keys(const conf::Config& started, const conf::Config& wanted, HandedOver handed_over) {
  std::vector<std::string_view> keys;
  auto compare = [&keys](std::string_view key, const auto& before, const auto& now) {
    if (!(before == now)) keys.push_back(key);
  };
  compare("state_dir", started.state_dir, wanted.state_dir);
  if (!handed_over.control) compare("control_socket", started.control_socket, wanted.control_socket);
  compare("user", started.user, wanted.user);
  if (!handed_over.dns) compare("dns.listen", started.dns.listen, wanted.dns.listen);
  compare("dns.workers", started.dns.workers, wanted.dns.workers);
  return fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace countersign::dnsd
