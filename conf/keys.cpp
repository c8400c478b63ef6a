#include "conf/keys.hpp"

#include <sys/un.h>

#include <array>

#include "conf/acme_texts.hpp"
#include "conf/api_texts.hpp"
#include "conf/ca_directories.hpp"
#include "conf/reader.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::SocketAddress;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint16_t kDnsPort = 53;
constexpr std::uint16_t kHttpsPort = 443;
constexpr unsigned kMostConnections = 100'000;
constexpr unsigned kHighestRate = 1'000'000;
constexpr seconds kLongestTtl = hours(24);
constexpr milliseconds kLongestLifetime = hours(24) * 36'525;  // 100 years, base::parse_duration's own limit
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kMaxNsidLength = 64;      // the option is in every answer to who asks for it
constexpr std::size_t kMaxVersionLength = 255;  // one string of a TXT record (RFC 1035 §3.3)

template <std::uint16_t Port>
Result<SocketAddress> parse_address(std::string_view text) {
  auto address = SocketAddress::parse(text, Port);
  // base's message quotes the whole value, which may be anything.
  if (!address)
    return fail(ErrorCode::Invalid, "{} is not an address; write it as in \"192.0.2.1:{}\" or \"[2001:db8::1]:{}\"",
                in_quotes(text), Port, Port);
  if (address->port() == 0)
    return fail(ErrorCode::Invalid, "{} has port 0, which is no fixed port; write {}", in_quotes(text), Port);
  return address;
}

Result<std::string> parse_socket_path(std::string_view text) {
  if (auto good = check_path(text); !good) return fail(good.error());
  if (text.size() > kMaxSocketPath)
    return fail(ErrorCode::Invalid,
                "{} is longer than the {} octets that a socket's path may have; write a shorter one", in_quotes(text),
                kMaxSocketPath);
  return std::string(text);
}

// The text itself, when `Check` takes it.
template <Result<void> (*Check)(std::string_view)>
Result<std::string> checked(std::string_view text) {
  if (auto good = Check(text); !good) return fail(good.error());
  return std::string(text);
}

template <Result<void> (*Check)(std::string_view)>
Result<std::string> checked_or_empty(std::string_view text) {
  if (text.empty()) return std::string();
  return checked<Check>(text);
}

constexpr auto parse_path = checked<check_path>;
constexpr auto parse_optional_path = checked_or_empty<check_path>;
constexpr auto parse_command = checked<check_command>;

template <std::size_t Max>
Result<std::string> parse_plain_text(std::string_view text) {
  if (auto good = check_plain_text(text, Max); !good) return fail(good.error());
  return std::string(text);
}

Result<std::string> parse_ca(std::string_view text) {
  if (auto url = directory_url(text); !url) return fail(url.error());
  return std::string(text);
}

Result<std::string> parse_resolver(std::string_view text) {
  if (text.empty()) return std::string();
  if (auto address = parse_address<kDnsPort>(text); !address) return fail(address.error());
  return std::string(text);
}

constexpr std::array kLogLevels{
    Word<base::log::Level>{"error", base::log::Level::Error},
    Word<base::log::Level>{"warn", base::log::Level::Warn},
    Word<base::log::Level>{"info", base::log::Level::Info},
    Word<base::log::Level>{"debug", base::log::Level::Debug},
};

constexpr std::array kRegistrationModes{
    Word<RegistrationMode>{"closed", RegistrationMode::Closed},
    Word<RegistrationMode>{"open", RegistrationMode::Open},
    Word<RegistrationMode>{"token", RegistrationMode::Token},
};

constexpr auto kOptional = Presence::Optional;
constexpr auto kRequired = Presence::Required;

constexpr std::array<std::string_view, 11> kTables{
    "dns", "dns.rate_limit", "zone",     "challenge",  "api", "api.registration_rate", "api.update_rate",
    "key", "acme",           "acme.eab", "certificate"};

const std::array kKeys{
    KnownKey{"", "state_dir", kOptional, "\"/var/lib/countersign\"", "where both programs keep their state",
             [](Reader& r) { r.text_as(r.config().state_dir, parse_path); }},
    KnownKey{"", "control_socket", kOptional, "\"/run/countersign/control.sock\"", "the daemon's control socket",
             [](Reader& r) { r.text_as(r.config().control_socket, parse_socket_path); }},
    KnownKey{"", "user", kOptional, "\"countersign\"", "dropped to after binding; \"\" stays",
             [](Reader& r) { r.text_as(r.config().user, checked<check_user>); }},
    KnownKey{"", "log_level", kOptional, "\"info\"", "error warn info debug",
             [](Reader& r) { r.word<base::log::Level>(r.config().log_level, kLogLevels); }},

    KnownKey{"dns", "listen", kOptional, R"(["0.0.0.0:53", "[::]:53"])", "each over UDP and TCP",
             [](Reader& r) { r.list(r.config().dns.listen, parse_address<kDnsPort>, Emptiness::Refused); }},
    KnownKey{"dns", "workers", kOptional, "0", "UDP threads; 0 = one per core",
             [](Reader& r) { r.integer(r.config().dns.workers, 0U, 256U); }},
    KnownKey{"dns", "max_udp_payload", kOptional, "1232", "octets of the largest answer over UDP",
             [](Reader& r) { r.integer<std::uint16_t>(r.config().dns.max_udp_payload, 512, 1400); }},  // RFC 9715
    KnownKey{"dns", "tcp_max_connections", kOptional, "1000", "TCP sessions at once",
             [](Reader& r) { r.integer(r.config().dns.tcp_max_connections, 1U, kMostConnections); }},
    KnownKey{"dns", "tcp_max_per_address", kOptional, "200", "of these, of one IPv4 address or IPv6 /64",
             [](Reader& r) { r.integer(r.config().dns.tcp_max_per_address, 1U, kMostConnections); }},
    KnownKey{"dns", "tcp_idle_timeout", kOptional, "\"10s\"", "a TCP session without a query ends then",
             [](Reader& r) { r.duration(r.config().dns.tcp_idle_timeout, milliseconds(100), minutes(10)); }},
    KnownKey{"dns", "nsid", kOptional, "\"\"", "this server's name for who asks by NSID or id.server; \"\" = none",
             [](Reader& r) { r.text_as(r.config().dns.nsid, parse_plain_text<kMaxNsidLength>); }},
    KnownKey{"dns", "version", kOptional, "\"\"", "what version.bind is told; \"\" = REFUSED",
             [](Reader& r) { r.text_as(r.config().dns.version, parse_plain_text<kMaxVersionLength>); }},
    KnownKey{"dns", "cookie_secret_file", kOptional, "\"\"",
             "32 hex digits a line, the first signs; \"\" = random at start",
             [](Reader& r) { r.text_as(r.config().dns.cookie_secret_file, parse_optional_path); }},
    KnownKey{"dns.rate_limit", "responses_per_second", kOptional, "200", "per client prefix and answer; 0 = off",
             [](Reader& r) { r.integer(r.config().dns.rate_limit.responses_per_second, 0U, kHighestRate); }},
    KnownKey{"dns.rate_limit", "slip", kOptional, "2",
             "of what is over the limit, each so many-th is sent cut short; 0 = none",
             [](Reader& r) { r.integer(r.config().dns.rate_limit.slip, 0U, 100U); }},

    KnownKey{"zone", "name", kRequired, "\"auth.example.net\"", "the zone delegated to this server",
             [](Reader& r) { r.text_as(r.zone().name, parse_zone_name); }},
    KnownKey{"zone", "nameservers", kRequired, "[\"ns1.auth.example.net\"]", "the NS records; absolute names",
             [](Reader& r) { r.list(r.zone().nameservers, parse_host_name, Emptiness::Refused); }},
    KnownKey{"zone", "hostmaster", kRequired, "\"hostmaster@example.net\"",
             "whom to write to about the zone (SOA RNAME)",
             [](Reader& r) { r.text_as(r.zone().hostmaster, parse_hostmaster); }},
    KnownKey{"zone", "records", kOptional, "[]", "static records, in master-file syntax",
             [](Reader& r) { r.records(r.zone().records); }},
    KnownKey{"zone", "file", kOptional, "\"\"", "or a master file for the static records",
             [](Reader& r) { r.text_as(r.zone().file, parse_optional_path); }},
    KnownKey{"zone", "negative_ttl", kOptional, "\"1s\"", "how long resolvers keep \"no such value\" (SOA MINIMUM)",
             [](Reader& r) { r.whole_seconds(r.zone().negative_ttl, seconds(0), kLongestTtl); }},

    KnownKey{"challenge", "ttl", kOptional, "\"1s\"", "TTL of challenge values",
             [](Reader& r) { r.whole_seconds(r.config().challenge.ttl, seconds(0), kLongestTtl); }},
    KnownKey{"challenge", "lifetime", kOptional, "\"1h\"", "a value not removed earlier is pruned then",
             [](Reader& r) { r.duration(r.config().challenge.lifetime, seconds(1), kLongestLifetime); }},
    KnownKey{"challenge", "max_values", kOptional, "16", "per name",
             [](Reader& r) { r.integer(r.config().challenge.max_values, 1U, 64U); }},

    KnownKey{"api", "listen", kOptional, "[]", "HTTP(S) for other machines; [] = off",
             [](Reader& r) { r.list(r.api().listen, parse_address<kHttpsPort>, Emptiness::Allowed); }},
    KnownKey{"api", "tls_certificate", kOptional, "\"\"", "PEM file, its chain included; with tls_key or not at all",
             [](Reader& r) { r.text_as(r.api().tls_certificate, parse_optional_path); }},
    KnownKey{"api", "tls_key", kOptional, "\"\"", "PEM file that `user` may read; both \"\" = plain HTTP",
             [](Reader& r) { r.text_as(r.api().tls_key, parse_optional_path); }},
    KnownKey{"api", "max_connections", kOptional, "1000", "at once",
             [](Reader& r) { r.integer(r.api().max_connections, 1U, kMostConnections); }},
    KnownKey{"api", "max_per_address", kOptional, "200",
             "of these, of one IPv4 address or IPv6 /64; not of a trusted proxy",
             [](Reader& r) { r.integer(r.api().max_per_address, 1U, kMostConnections); }},
    KnownKey{"api", "registration", kOptional, "\"closed\"", "who may register: closed open token",
             [](Reader& r) { r.word<RegistrationMode>(r.api().registration, kRegistrationModes); }},
    KnownKey{"api", "registration_token_file", kOptional, "\"\"",
             "its first line is the token, of 16 characters or more",
             [](Reader& r) { r.text_as(r.api().registration_token_file, parse_optional_path); }},
    KnownKey{"api", "registration_allow", kOptional, "[]", "addresses and CIDRs that may register; [] = anywhere",
             [](Reader& r) { r.list(r.api().registration_allow, parse_range, Emptiness::Allowed); }},
    KnownKey{"api.registration_rate", "per_address", kOptional, "1",
             "registrations a minute of one IPv4 address or IPv6 /64; 0 = no limit",
             [](Reader& r) { r.integer(r.api().registration_rate.per_address, 0U, kHighestRate); }},
    KnownKey{"api.registration_rate", "burst", kOptional, "10", "at once, after a pause; 0 = no limit",
             [](Reader& r) { r.integer(r.api().registration_rate.burst, 0U, kHighestRate); }},
    KnownKey{"api", "max_registrations", kOptional, "100000", "that there may be",
             [](Reader& r) { r.integer(r.api().max_registrations, 1U, 10'000'000U); }},
    KnownKey{"api", "prune_unused", kOptional, "\"\"",
             "registrations that nobody used so long are removed; \"\" = never",
             [](Reader& r) { r.text_as(r.api().prune_unused, parse_unused); }},
    KnownKey{"api", "trusted_proxies", kOptional, "[]", "addresses and CIDRs whose X-Forwarded-For is believed",
             [](Reader& r) { r.list(r.api().trusted_proxies, parse_range, Emptiness::Allowed); }},
    KnownKey{"api.update_rate", "per_account", kOptional, "200", "updates a second of one registration; 0 = no limit",
             [](Reader& r) { r.integer(r.api().update_rate.per_account, 0U, kHighestRate); }},
    KnownKey{"api.update_rate", "burst", kOptional, "2000", "at once, after a pause; 0 = no limit",
             [](Reader& r) { r.integer(r.api().update_rate.burst, 0U, kHighestRate); }},
    KnownKey{"api", "zone", kOptional, "\"\"", "where registrations get their names; \"\" = the first zone",
             [](Reader& r) { r.text_as(r.api().zone, parse_optional_zone); }},

    KnownKey{"key", "name", kRequired, "\"lego.\"", "the TSIG key's name, as the client has it",
             [](Reader& r) { r.text_as(r.key().name, parse_key_name); }},
    KnownKey{"key", "algorithm", kOptional, "\"hmac-sha256\"",
             "hmac-sha1 hmac-sha224 hmac-sha256 hmac-sha384 hmac-sha512",
             [](Reader& r) { r.text_as(r.key().algorithm, parse_algorithm); }},
    KnownKey{"key", "secret_file", kRequired, "\"/etc/countersign/lego.key\"", "base64, or a BIND key file",
             [](Reader& r) { r.text_as(r.key().secret_file, checked<check_path>); }},
    KnownKey{"key", "allow", kRequired, R"(["*.auth.example.net"])", "TXT names that it may change; *. = any depth",
             [](Reader& r) { r.list(r.key().allow, parse_name_pattern, Emptiness::Refused); }},

    KnownKey{"acme", "ca", kOptional, "\"letsencrypt\"", "a well-known name or a directory URL",
             [](Reader& r) { r.text_as(r.acme().ca, parse_ca); }},
    KnownKey{"acme", "fallback_ca", kOptional, "[]", "tried in turn when ca is down or refuses",
             [](Reader& r) { r.list(r.acme().fallback_ca, parse_ca, Emptiness::Allowed); }},
    KnownKey{"acme", "contact", kOptional, "[]", "\"mailto:...\"",
             [](Reader& r) { r.list(r.acme().contact, checked<check_contact>, Emptiness::Allowed); }},
    KnownKey{"acme", "agree_tos", kOptional, "false", "the CA's terms of service are agreed to",
             [](Reader& r) { r.boolean(r.acme().agree_tos); }},
    KnownKey{"acme", "key_type", kOptional, "\"p256\"", "p256 p384 rsa2048 rsa3072 rsa4096",
             [](Reader& r) { r.word<KeyType>(r.acme().key_type, kKeyTypes); }},
    KnownKey{"acme", "profile", kOptional, "\"\"", "of those that the CA offers; \"\" = its default",
             [](Reader& r) { r.text_as(r.acme().profile, checked<check_line>); }},
    KnownKey{"acme", "preferred_chain", kOptional, "\"\"",
             "part of the name of an issuer in it; \"\" = the CA's default",
             [](Reader& r) { r.text_as(r.acme().preferred_chain, checked<check_line>); }},
    KnownKey{"acme", "challenge", kOptional, "\"dns-01\"", "dns-01 dns-account-01 dns-persist-01",
             [](Reader& r) { r.word<ChallengeType>(r.acme().challenge, kChallengeTypes); }},
    KnownKey{"acme.eab", "kid", kOptional, "\"\"", "external account binding, as the CA gave it; \"\" = none",
             [](Reader& r) { r.text_as(r.acme().eab.kid, checked<check_line>); }},
    KnownKey{"acme.eab", "hmac_key_file", kOptional, "\"\"", "the file with its key, in base64url",
             [](Reader& r) { r.text_as(r.acme().eab.hmac_key_file, parse_optional_path); }},
    KnownKey{"acme", "ca_bundle", kOptional, "\"\"", "PEM file with extra trust for the CA's own HTTPS",
             [](Reader& r) { r.text_as(r.acme().ca_bundle, parse_optional_path); }},
    KnownKey{"acme", "resolver", kOptional, "\"\"", "ADDR[:PORT] used to follow the delegation; \"\" = the system's",
             [](Reader& r) { r.text_as(r.acme().resolver, parse_resolver); }},
    KnownKey{"acme", "server", kOptional, "\"\"", "a remote daemon's API; \"\" = the control socket",
             [](Reader& r) { r.text_as(r.acme().server, checked_or_empty<check_server>); }},
    KnownKey{"acme", "credentials", kOptional, "\"\"", "the file with the registration for server",
             [](Reader& r) { r.text_as(r.acme().credentials, parse_optional_path); }},
    KnownKey{"acme", "pre_hooks", kOptional, "[]", "commands run before the first order; a failing one stops the run",
             [](Reader& r) { r.list(r.acme().pre_hooks, parse_command, Emptiness::Allowed); }},
    KnownKey{"acme", "deploy_hooks", kOptional, "[]", "commands run after each issuance",
             [](Reader& r) { r.list(r.acme().deploy_hooks, parse_command, Emptiness::Allowed); }},
    KnownKey{"acme", "failure_hooks", kOptional, "[]", "commands run after each failure",
             [](Reader& r) { r.list(r.acme().failure_hooks, parse_command, Emptiness::Allowed); }},

    KnownKey{"certificate", "names", kRequired, R"(["example.com", "*.example.com"])", "what it is for",
             [](Reader& r) { r.list(r.certificate().names, checked<check_certificate_name>, Emptiness::Refused); }},
    KnownKey{"certificate", "cert_name", kOptional, "\"\"", "of its files; \"\" = the first name without *.",
             [](Reader& r) { r.text_as(r.certificate().cert_name, checked_or_empty<check_cert_name_text>); }},
    KnownKey{"certificate", "ca", kOptional, "\"letsencrypt\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.text_as(r.options().ca.emplace(), parse_ca); }},
    KnownKey{"certificate", "fallback_ca", kOptional, "[]", "as in [acme], as it is there by default",
             [](Reader& r) { r.list(r.options().fallback_ca.emplace(), parse_ca, Emptiness::Allowed); }},
    KnownKey{"certificate", "profile", kOptional, "\"\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.text_as(r.options().profile.emplace(), checked<check_line>); }},
    KnownKey{"certificate", "key_type", kOptional, "\"p256\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.word<KeyType>(r.options().key_type.emplace(), kKeyTypes); }},
    KnownKey{"certificate", "reuse_key", kOptional, "false", "true: renewed with the same key",
             [](Reader& r) { r.boolean(r.options().reuse_key.emplace()); }},
    KnownKey{"certificate", "csr", kOptional, "\"\"", "a signing request whose key is elsewhere (PEM or DER)",
             [](Reader& r) { r.text_as(r.options().csr.emplace(), parse_optional_path); }},
    KnownKey{"certificate", "pkcs12", kOptional, "false", "true: certificate.p12, too",
             [](Reader& r) {
               bool wanted = false;
               r.boolean(wanted);
               std::optional<Pkcs12>& form = r.options().pkcs12;
               if (form != Pkcs12::Legacy) form = wanted ? Pkcs12::Modern : Pkcs12::None;
             }},
    KnownKey{"certificate", "pkcs12_legacy", kOptional, "false", "true: the same, for Windows before 2019",
             [](Reader& r) {
               bool wanted = false;
               r.boolean(wanted);
               if (wanted) r.options().pkcs12 = Pkcs12::Legacy;
             }},
    KnownKey{"certificate", "pkcs12_password_file", kOptional, "\"\"", "its first line; \"\" = an empty password",
             [](Reader& r) { r.text_as(r.options().pkcs12_password_file.emplace(), parse_optional_path); }},
    KnownKey{"certificate", "group", kOptional, "\"\"", "of the files; \"\" = that of who runs it",
             [](Reader& r) { r.text_as(r.options().group.emplace(), checked<check_group>); }},
    KnownKey{"certificate", "mode", kOptional, "\"0600\"", "of privkey.pem and certificate.p12",
             [](Reader& r) { r.text_as(r.options().mode.emplace(), parse_mode); }},
    KnownKey{"certificate", "deploy_hook", kOptional, "[]", "a command or several, besides acme.deploy_hooks",
             [](Reader& r) { r.text_or_list(r.options().deploy_hooks.emplace(), parse_command); }},
    KnownKey{"certificate", "preferred_chain", kOptional, "\"\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.text_as(r.options().preferred_chain.emplace(), checked<check_line>); }},
    KnownKey{"certificate", "challenge", kOptional, "\"dns-01\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.word<ChallengeType>(r.options().challenge.emplace(), kChallengeTypes); }},
    KnownKey{"certificate", "not_before", kOptional, "\"\"", "a date as in RFC 3339; a wish that few CAs grant",
             [](Reader& r) { r.text_as(r.options().not_before.emplace(), checked_or_empty<check_date>); }},
    KnownKey{"certificate", "not_after", kOptional, "\"\"", "a date as in RFC 3339; a wish that few CAs grant",
             [](Reader& r) { r.text_as(r.options().not_after.emplace(), checked_or_empty<check_date>); }},
    KnownKey{"certificate", "drop_failed", kOptional, "false", "true: without the names that the CA refuses",
             [](Reader& r) { r.boolean(r.options().drop_failed.emplace()); }},
    KnownKey{"certificate", "server", kOptional, "\"\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.text_as(r.options().server.emplace(), checked_or_empty<check_server>); }},
    KnownKey{"certificate", "credentials", kOptional, "\"\"", "as in [acme], as it is there by default",
             [](Reader& r) { r.text_as(r.options().credentials.emplace(), parse_optional_path); }},
};

}  // namespace

std::span<const KnownKey> known_keys() {
  return kKeys;
}

std::span<const std::string_view> known_tables() {
  return kTables;
}

bool is_array_of_tables(std::string_view table) {
  return table == "zone" || table == "key" || table == "certificate";
}

}  // namespace countersign::conf
