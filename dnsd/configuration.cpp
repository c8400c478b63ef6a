#include "dnsd/configuration.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/files.hpp"
#include "conf/texts.hpp"
#include "dnsd/api/tls_context.hpp"

namespace countersign::dnsd {
namespace {

// Eight cookie secrets, or a key, with a page of remarks.
constexpr std::size_t kMaxSecretFile = 4096;
// What a person makes up is guessed; 16 characters of `openssl rand -base64 24` are not.
constexpr std::size_t kMinTokenLength = 16;

// Reads the files that hold secrets. No message shows what is in one.
class SecretReader {
 public:
  SecretReader(Configuration& configuration, const conf::Loaded& loaded)
      : configuration_(configuration), places_(loaded.places) {}

  void read_cookie_secrets() {
    constexpr const char* kKey = "dns.cookie_secret_file";
    const std::string& file = configuration_.config.dns.cookie_secret_file;
    if (file.empty()) return;
    auto text = read(kKey, place_of(kKey), file,
                     "write 32 hex digits to it, as `openssl rand -hex 16` does, readable by `user` alone");
    if (!text) return;
    auto secrets = parse_cookie_secrets(*text);
    if (secrets)
      configuration_.cookie_secrets = std::move(*secrets);
    else
      problem(kKey, place_of(kKey), fmt::format("{}: {}", conf::in_quotes(file), secrets.error().message));
  }

  void read_registration_token() {
    constexpr const char* kKey = "api.registration_token_file";
    const conf::Api& api = configuration_.config.api;
    const std::string& file = api.registration_token_file;
    if (api.registration != conf::RegistrationMode::Token || file.empty()) return;
    auto text = read(kKey, place_of(kKey), file,
                     "write the token to it, as `openssl rand -base64 24` makes one, readable by `user` alone");
    if (!text) return;
    std::string_view token = std::string_view(*text).substr(0, text->find('\n'));
    constexpr std::string_view kBlanks = " \t\r";
    token.remove_prefix(std::min(token.find_first_not_of(kBlanks), token.size()));
    token = token.substr(0, token.find_last_not_of(kBlanks) + 1);
    // It comes in a header field.
    bool plain = std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
    if (!plain)
      problem(kKey, place_of(kKey),
              fmt::format("the first line of {} has a character in it that is not printable ASCII, or a blank; write "
                          "the token alone",
                          conf::in_quotes(file)));
    else if (token.size() < kMinTokenLength)
      problem(kKey, place_of(kKey),
              fmt::format("the first line of {} has {} characters, and a token needs {}; write one as `openssl rand "
                          "-base64 24` makes it",
                          conf::in_quotes(file), token.size(), kMinTokenLength));
    else
      configuration_.registration_token = token;
  }

  void read_keys() {
    for (std::size_t i = 0; i < configuration_.config.keys.size(); ++i) {
      const conf::Key& key = configuration_.config.keys[i];
      if (key.secret_file.empty()) continue;  // a problem already
      std::string path = fmt::format("key[{}].secret_file", i + 1);
      auto text = read(path, key.secret_at, key.secret_file,
                       "write the key to it, as `tsig-keygen` makes it, readable by `user` alone");
      if (!text) continue;
      auto secret = parse_key_file(*text, key.name, key.algorithm);
      if (secret)
        configuration_.keys.push_back({key.name, key.algorithm, std::move(*secret), key.allow});
      else
        problem(path, key.secret_at, fmt::format("{}: {}", conf::in_quotes(key.secret_file), secret.error().message));
    }
  }

 private:
  std::optional<std::string> read(const std::string& key, conf::Position at, const std::string& file,
                                  std::string_view remedy) {
    auto text = base::read_regular_file(file, kMaxSecretFile);
    if (text) return std::move(*text);
    // base's message names the file again.
    std::string reason;
    if (text.error().code == base::ErrorCode::Full)
      reason = fmt::format("larger than {} octets", kMaxSecretFile);
    else if (text.error().code == base::ErrorCode::Invalid)
      reason = "no regular file";
    else
      reason = text.error().message.substr(text.error().message.rfind(": ") + 2);
    problem(key, at, fmt::format("{} cannot be read: {}; {}", conf::in_quotes(file), reason, remedy));
    return std::nullopt;
  }

  [[nodiscard]] conf::Position place_of(std::string_view key) const {
    auto place = places_.find(key);
    return place == places_.end() ? conf::Position{} : place->second;
  }

  void problem(std::string key, conf::Position at, std::string text) {
    configuration_.problems.push_back({at, std::move(key), std::move(text)});
  }

  Configuration& configuration_;
  const std::map<std::string, conf::Position, std::less<>>& places_;
};

}  // namespace

Configuration read_configuration(const std::filesystem::path& path) {
  conf::Loaded loaded = conf::load_file(path);
  if (loaded.problems.empty() && loaded.config.zones.empty())
    loaded.problems.push_back({{}, "zone", "no zone is configured, only acme.server; add a [[zone]] for a daemon"});
  Configuration configuration;
  configuration.zones = zones::build_static_zones(loaded.config, loaded.problems);
  configuration.config = std::move(loaded.config);
  configuration.problems = std::move(loaded.problems);
  configuration.tls_certificate_at = loaded.places["api.tls_certificate"];
  configuration.tls_key_at = loaded.places["api.tls_key"];
  SecretReader secrets(configuration, loaded);
  secrets.read_cookie_secrets();
  secrets.read_registration_token();
  secrets.read_keys();
  conf::sort_problems(configuration.problems);
  return configuration;
}

void check_certificate(Configuration& configuration) {
  const conf::Api& api = configuration.config.api;
  // Where one of the two is missing, that is a problem already; without listen nobody is shown them.
  if (api.listen.empty() || api.tls_certificate.empty() || api.tls_key.empty()) return;
  auto checked = check_tls_files(api.tls_certificate, api.tls_key);
  // Missing files are waited for: the certificate may be one that is obtained through the daemon itself.
  if (checked || checked.error().code == base::ErrorCode::NotFound) return;
  constexpr std::string_view kKeyName = "api.tls_key";
  constexpr std::string_view kCertificateName = "api.tls_certificate";
  std::string_view text = checked.error().message;
  bool is_key = text.starts_with(kKeyName);
  std::string_view name = is_key ? kKeyName : kCertificateName;
  if (text.starts_with(name)) text.remove_prefix(name.size());
  text.remove_prefix(std::min(text.find_first_not_of(": "), text.size()));
  configuration.problems.push_back(
      {is_key ? configuration.tls_key_at : configuration.tls_certificate_at, std::string(name), std::string(text)});
  conf::sort_problems(configuration.problems);
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
  settings->defers_signed = !configuration.keys.empty();
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
  compare("api.listen", started.api.listen, wanted.api.listen);
  return fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace countersign::dnsd
