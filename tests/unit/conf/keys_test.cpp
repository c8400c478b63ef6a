#include "conf/keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "base/files.hpp"
#include "conf/ca_directories.hpp"
#include "conf/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/conf/example.hpp"

namespace countersign::conf {
namespace {

// What users depend on: the keys of the interface that work so far. A new key is added here on purpose.
const std::set<std::string> kContract{
    ".state_dir",
    ".control_socket",
    ".user",
    ".log_level",
    "dns.listen",
    "dns.workers",
    "dns.max_udp_payload",
    "dns.tcp_max_connections",
    "dns.tcp_max_per_address",
    "dns.tcp_idle_timeout",
    "dns.nsid",
    "dns.version",
    "dns.cookie_secret_file",
    "dns.rate_limit.responses_per_second",
    "dns.rate_limit.slip",
    "zone.name",
    "zone.nameservers",
    "zone.hostmaster",
    "zone.records",
    "zone.file",
    "zone.negative_ttl",
    "challenge.ttl",
    "challenge.lifetime",
    "challenge.max_values",
    "api.listen",
    "api.tls_certificate",
    "api.tls_key",
    "api.max_connections",
    "api.max_per_address",
    "api.registration",
    "api.registration_token_file",
    "api.registration_allow",
    "api.registration_rate.per_address",
    "api.registration_rate.burst",
    "api.max_registrations",
    "api.prune_unused",
    "api.trusted_proxies",
    "api.update_rate.per_account",
    "api.update_rate.burst",
    "api.zone",
    "key.name",
    "key.algorithm",
    "key.secret_file",
    "key.allow",
    "acme.ca",
    "acme.fallback_ca",
    "acme.contact",
    "acme.agree_tos",
    "acme.key_type",
    "acme.profile",
    "acme.preferred_chain",
    "acme.challenge",
    "acme.eab.kid",
    "acme.eab.hmac_key_file",
    "acme.ca_bundle",
    "acme.resolver",
    "acme.server",
    "acme.credentials",
    "acme.pre_hooks",
    "acme.deploy_hooks",
    "acme.failure_hooks",
    "certificate.names",
    "certificate.cert_name",
    "certificate.ca",
    "certificate.fallback_ca",
    "certificate.profile",
    "certificate.key_type",
    "certificate.reuse_key",
    "certificate.csr",
    "certificate.pkcs12",
    "certificate.pkcs12_legacy",
    "certificate.pkcs12_password_file",
    "certificate.group",
    "certificate.mode",
    "certificate.deploy_hook",
    "certificate.preferred_chain",
    "certificate.challenge",
    "certificate.not_before",
    "certificate.not_after",
    "certificate.drop_failed",
    "certificate.server",
    "certificate.credentials",
};

const std::string kNames = "names = [\"example.com\", \"*.example.com\"]\n";

// [[key]] with the lines of all required keys but `name`.
std::string key_without(std::string_view name) {
  std::string text = "[[key]]\n";
  for (const KnownKey& key : known_keys())
    if (key.table == "key" && key.presence == Presence::Required && key.name != name)
      text += fmt::format("{} = {}\n", key.name, key.value);
  return text;
}

// A whole configuration with one key written as `value`.
std::string with_key(const KnownKey& key, std::string_view value) {
  std::string line = fmt::format("{} = {}\n", key.name, value);
  if (key.table.empty()) return line + kZone;
  if (key.table == "certificate")
    return fmt::format("{}[[certificate]]\n{}{}", kZone, key.name == "names" ? "" : kNames, line);
  if (key.table == "key") return kZone + key_without(key.name) + line;
  if (key.table != "zone") return fmt::format("[{}]\n{}{}", key.table, line, kZone);
  std::string zone = kZone;
  if (auto at = zone.find(fmt::format("\n{} = ", key.name)); at != std::string::npos)
    zone.erase(at + 1, zone.find('\n', at + 1) - at);
  return zone + line;
}

// What a [[certificate]] comes to, where [acme] has its defaults.
std::string flattened(const Certificate& certificate) {
  const CertificateOptions& options = certificate.options;
  const std::vector<std::string> none;
  std::string out = fmt::format("{} \"{}\"\n", fmt::join(certificate.names, " "), certificate.cert_name);
  out += fmt::format("{} {}\n", options.ca.value_or("letsencrypt"), fmt::join(options.fallback_ca.value_or(none), " "));
  out += fmt::format("{} {} {} {}\n", static_cast<int>(options.key_type.value_or(KeyType::P256)),
                     static_cast<int>(options.challenge.value_or(ChallengeType::Dns01)),
                     options.reuse_key.value_or(false), options.drop_failed.value_or(false));
  for (const auto& text : {options.profile, options.preferred_chain, options.csr, options.pkcs12_password_file,
                           options.group, options.not_before, options.not_after, options.server, options.credentials})
    out += fmt::format("\"{}\" ", text.value_or(""));
  out += fmt::format("{} {:o} {}\n", static_cast<int>(options.pkcs12.value_or(Pkcs12::None)),
                     options.mode.value_or(0600), fmt::join(options.deploy_hooks.value_or(none), " "));
  return out;
}

// Every value of a configuration as text, so that two can be compared whole.
std::string flattened(const Config& config) {
  std::string out = fmt::format("{} {} {} {}\n", config.state_dir.string(), config.control_socket.string(), config.user,
                                static_cast<int>(config.log_level));
  for (const auto& address : config.dns.listen) out += address.text() + " ";
  out += fmt::format("{} {} {} {}\n", config.dns.workers, config.dns.max_udp_payload, config.dns.tcp_max_connections,
                     config.dns.tcp_idle_timeout.count());
  out += fmt::format("{} \"{}\" \"{}\" \"{}\" {} {}\n", config.dns.tcp_max_per_address, config.dns.nsid,
                     config.dns.version, config.dns.cookie_secret_file, config.dns.rate_limit.responses_per_second,
                     config.dns.rate_limit.slip);
  for (const Zone& zone : config.zones) {
    out += zone.name.text() + " " + zone.hostmaster.text() + " " + zone.file + " ";
    for (const auto& server : zone.nameservers) out += server.text() + " ";
    for (const auto& record : zone.records) out += record.text + " ";
    out += fmt::format("{}\n", zone.negative_ttl.count());
  }
  out += fmt::format("{} {} {}\n", config.challenge.ttl.count(), config.challenge.lifetime.count(),
                     config.challenge.max_values);
  const Api& api = config.api;
  for (const auto& address : api.listen) out += address.text() + " ";
  out += fmt::format("\"{}\" \"{}\" {} {} {} \"{}\" {} {} ", api.tls_certificate, api.tls_key, api.max_connections,
                     api.max_per_address, static_cast<int>(api.registration), api.registration_token_file,
                     api.registration_rate.per_address, api.registration_rate.burst);
  out += fmt::format("{} {} {} {} \"{}\" ", api.max_registrations, api.prune_unused.count(),
                     api.update_rate.per_account, api.update_rate.burst, api.zone ? api.zone->text() : "");
  for (const auto& ranges : {api.registration_allow, api.trusted_proxies}) {
    for (const auto& range : ranges) out += range.text() + " ";
    out += "\n";
  }
  for (const Key& key : config.keys) {
    out += fmt::format("{} {} {}", key.name.text(), static_cast<int>(key.algorithm), key.secret_file);
    for (const NamePattern& pattern : key.allow) out += (pattern.below ? " *." : " ") + pattern.name.text();
    out += "\n";
  }
  out += fmt::format("{} {} {} {} {}", config.acme.ca, config.acme.agree_tos, static_cast<int>(config.acme.key_type),
                     config.acme.ca_bundle, config.acme.resolver);
  const Acme& acme = config.acme;
  out += fmt::format(" {} {} {} {} {} {} {}\n", acme.profile, acme.preferred_chain, static_cast<int>(acme.challenge),
                     acme.eab.kid, acme.eab.hmac_key_file, acme.server, acme.credentials);
  for (const auto& texts : {acme.contact, acme.fallback_ca, acme.pre_hooks, acme.deploy_hooks, acme.failure_hooks})
    out += fmt::format("{}\n", fmt::join(texts, " "));
  for (const Certificate& certificate : config.certificates) out += flattened(certificate);
  return out;
}

TEST_CASE("the known keys are those of the interface", "[conf]") {
  std::set<std::string> known;
  for (const KnownKey& key : known_keys()) {
    INFO(key.table << "." << key.name);
    CHECK(known.insert(fmt::format("{}.{}", key.table, key.name)).second);
    CHECK(!key.help.empty());
    CHECK(!key.value.empty());
    CHECK((key.table.empty() || std::ranges::find(known_tables(), key.table) != known_tables().end()));
  }
  CHECK(known == kContract);
}

TEST_CASE("writing a key's documented default changes nothing", "[conf]") {
  std::string plain = flattened(load_text(kZone).config);
  std::string with_certificate = flattened(load_text(kZone + "[[certificate]]\n" + kNames).config);
  std::string with_tsig_key = flattened(load_text(kZone + key_without("")).config);
  for (const KnownKey& key : known_keys()) {
    INFO(key.table << "." << key.name);
    Loaded loaded = load_text(with_key(key, key.value));
    CHECK(printed(loaded).empty());
    const std::string& expected =
        key.table == "certificate" ? with_certificate : (key.table == "key" ? with_tsig_key : plain);
    CHECK(flattened(loaded.config) == expected);
  }
}

// Most keys take values of another shape: "text" is no good path, -7 no good number, and so on. These take it.
bool takes(const KnownKey& key, std::string_view value) {
  static const std::set<std::string_view> any_text{"user",  "nsid",        "version",  "profile", "preferred_chain",
                                                   "group", "deploy_hook", "cert_name"};
  static const std::set<std::string_view> flags{"agree_tos", "reuse_key", "pkcs12", "pkcs12_legacy", "drop_failed"};
  if (value == "true") return flags.contains(key.name);
  return value == "\"text\"" &&
         (any_text.contains(key.name) || ((key.table == "zone" || key.table == "key") && key.name == "name"));
}

TEST_CASE("each key refuses every other type, at the value", "[conf]") {
  for (const KnownKey& key : known_keys()) {
    for (std::string_view value : {"\"text\"", "-7", "0.5", "true", "2026-11-22", "[1]", "{ a = 1 }"}) {
      if (takes(key, value)) continue;
      INFO(key.table << "." << key.name << " = " << value);
      Loaded loaded = load_text(with_key(key, value));
      REQUIRE(loaded.problems.size() == 1);
      const Problem& problem = loaded.problems[0];
      CHECK(problem.key.find(key.name) != std::string::npos);
      CHECK(problem.at.column >= key.name.size() + 4);  // of the value, not of the key
      CHECK(problem.text.find("; ") != std::string::npos);
    }
  }
}

// A table as the sample writes it, on one line: "= { a = 1, b = 2 }"; its keys are added to `shown`.
std::string inline_defaults(const std::string& table, std::set<std::string>& shown) {
  std::string out;
  for (const KnownKey& key : known_keys()) {
    if (key.table != table) continue;
    shown.insert(fmt::format("{}.{}", table, key.name));
    out += fmt::format("{}{} = {}", out.empty() ? "= { " : ", ", key.name, key.value);
  }
  return out + " }";
}

// "#names = ...": to be had by removing the #. Comments have a space there.
bool is_example(std::string_view line) {
  return line.size() > 1 && line[0] == '#' && line[1] != ' ';
}

TEST_CASE("the certificate and the key that the sample has for examples have no problems", "[conf]") {
  auto sample = base::read_file(std::filesystem::path(COUNTERSIGN_SOURCE_DIR) / "conf/countersign.toml");
  REQUIRE(sample);
  CHECK(load_text(*sample).config.certificates.empty());
  CHECK(load_text(*sample).config.keys.empty());
  std::string text;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = sample->find('\n', start)) != std::string::npos; start = end + 1) {
    std::string line = sample->substr(start, end - start + 1);
    text += is_example(line) ? line.substr(1) : line;
  }
  Loaded loaded = load_text(text);
  CHECK(printed(loaded).empty());
  REQUIRE(loaded.config.certificates.size() == 1);
  REQUIRE(loaded.config.keys.size() == 1);
  Config expected = load_text(*sample).config;
  expected.certificates = loaded.config.certificates;
  expected.keys = loaded.config.keys;
  CHECK(flattened(loaded.config) == flattened(expected));
}

TEST_CASE("the sample configuration shows every key with its default", "[conf]") {
  auto sample = base::read_file(std::filesystem::path(COUNTERSIGN_SOURCE_DIR) / "conf/countersign.toml");
  REQUIRE(sample);
  std::string table;
  std::set<std::string> shown;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = sample->find('\n', start)) != std::string::npos; start = end + 1) {
    std::string line = sample->substr(start, end - start);
    if (is_example(line)) line.erase(0, 1);
    if (line.starts_with('[')) table = line.substr(line.find_first_not_of('['), line.find(']') - line.rfind('[') - 1);
    auto equals = line.find('=');
    if (line.empty() || line.starts_with('#') || line.starts_with('[') || equals == std::string::npos) continue;
    std::string name = line.substr(0, line.find(' '));
    if (std::ranges::find(known_tables(), table + "." + name) != known_tables().end()) {
      CHECK(line.substr(equals) == inline_defaults(table + "." + name, shown));
      continue;
    }
    for (const KnownKey& key : known_keys()) {
      if (key.table != table || key.name != name) continue;
      shown.insert(table + "." + name);
      INFO(line);
      if (name != "records") CHECK(line.substr(equals + 2).starts_with(key.value));
    }
  }
  CHECK(shown == kContract);
}

TEST_CASE("each well-known CA has a directory, and a URL is its own", "[conf]") {
  CHECK(directory_url("letsencrypt") == "https://acme-v02.api.letsencrypt.org/directory");
  CHECK(directory_url("letsencrypt-staging") == "https://acme-staging-v02.api.letsencrypt.org/directory");
  for (const CaDirectory& directory : ca_directories()) {
    CHECK(directory.url.starts_with("https://"));
    CHECK(directory_url(directory.name) == std::string(directory.url));
    CHECK(directory_url(directory.url) == std::string(directory.url));
  }
  CHECK(directory_url("https://127.0.0.1:14000/dir") == "https://127.0.0.1:14000/dir");
  for (std::string_view local : {"http://127.0.0.1:14000/dir", "http://localhost/dir", "http://[::1]:1/dir"})
    CHECK(directory_url(local) == std::string(local));
  for (std::string_view bad : {"", "letsencrypt ", "http://example.net/dir", "https://", "https:///dir", "https://:1/",
                               "https://a b/", "https://a/\n", "ftp://example.net", "http://127.example.net/",
                               "http://localhost@example.net/", "http://localhost:1@example.net/"}) {
    INFO(bad);
    CHECK(!directory_url(bad));
  }
  CHECK(directory_url("letsencript").error().message.find("\"letsencrypt\"") != std::string::npos);
  CHECK(directory_url("letsencrypt-stagin").error().message.find("\"letsencrypt-staging\"") != std::string::npos);
}

}  // namespace
}  // namespace countersign::conf
