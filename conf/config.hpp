// The typed configuration of both programs: what countersign.toml says, checked, with defaults filled in.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/address_range.hpp"
#include "base/log.hpp"
#include "base/name.hpp"
#include "base/socket_address.hpp"

namespace countersign::conf {

// Where in the file something stands, from 1; 0 when it is nowhere (a missing key).
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

// Response rate limiting (dnsd/answer/rate_limiter.hpp), per client prefix and answer.
struct RateLimit {
  std::uint32_t responses_per_second = 200;  // 0 = off; up to 1,000,000
  std::uint32_t slip = 2;  // each so many limited responses one goes out cut short; 0 = none, up to 100
};

struct Dns {
  std::vector<base::SocketAddress> listen;             // each over UDP and TCP
  unsigned workers = 0;                                // UDP threads, 1 to 256; 0 = one per core
  std::uint16_t max_udp_payload = 1232;                // octets, 512 to 1400 (RFC 9715)
  unsigned tcp_max_connections = 1000;                 // 1 to 100,000
  unsigned tcp_max_per_address = 200;                  // of one IPv4 address or IPv6 /64; 1 to 100,000
  std::chrono::milliseconds tcp_idle_timeout{10'000};  // 100 ms to 10 min
  std::string nsid;                                    // RFC 5001, also id.server; up to 64 octets, "" = none
  std::string version;                                 // told to version.bind CH TXT; up to 255 octets, "" = REFUSED
  RateLimit rate_limit;
  std::string cookie_secret_file;  // 32 hex digits a line, the first signs; "" = random at start (RFC 9018)
};

// One line of `records`, in master-file syntax; zones/ judges it.
struct StaticRecord {
  std::string text;
  Position at;
};

struct Zone {
  base::Name name;
  std::vector<base::Name> nameservers;  // at least one; relative names are not, each is absolute
  base::Name hostmaster;                // RNAME (RFC 1035 §3.3.13): made from "hostmaster@example.net"
  std::vector<StaticRecord> records;
  std::string file;                      // a master file for static records; "" = none
  std::chrono::seconds negative_ttl{1};  // SOA MINIMUM (RFC 2308), 0 to 1 day
  Position at;                           // of its [[zone]] line
};

struct Challenge {
  std::chrono::seconds ttl{1};                    // 0 to 1 day
  std::chrono::milliseconds lifetime{3'600'000};  // default lifetime of a value; 1 s to 100 years
  unsigned max_values = 16;                       // per name, 1 to 64
};

// Who may make a registration by `POST /register`: nobody, anybody, or who has the token. The control socket always
// can.
enum class RegistrationMode { Closed, Open, Token };

// Token buckets: so many in the period, and so many at once after a pause. 0 in either = no limit.
struct RegistrationRate {
  unsigned per_address = 1;  // a minute, of one IPv4 address or IPv6 /64; up to 1,000,000
  unsigned burst = 10;
};
struct UpdateRate {
  unsigned per_account = 200;  // a second, of one registration; up to 1,000,000
  unsigned burst = 2000;
};

// HTTP(S) for other machines: the acme-dns API and httpreq.
struct Api {
  std::vector<base::SocketAddress> listen;  // none = off
  std::string tls_certificate, tls_key;     // PEM files, both or none; none = plain HTTP
  unsigned max_connections = 1000;          // 1 to 100,000
  unsigned max_per_address = 200;           // of one IPv4 address or IPv6 /64, not of trusted proxies
  RegistrationMode registration = RegistrationMode::Closed;
  std::string registration_token_file;                 // its first line
  std::vector<base::AddressRange> registration_allow;  // none = anywhere
  RegistrationRate registration_rate;
  unsigned max_registrations = 100'000;       // 1 to 10,000,000
  std::chrono::milliseconds prune_unused{0};  // registrations that nobody used so long are removed; 0 = never
  std::vector<base::AddressRange> trusted_proxies;
  UpdateRate update_rate;
  std::optional<base::Name> zone;  // where registrations get their names; absent = the first zone
};

enum class TsigAlgorithm { HmacSha1, HmacSha224, HmacSha256, HmacSha384, HmacSha512 };

// `*.example.net`: every name below example.net, at any depth, not example.net itself.
struct NamePattern {
  base::Name name;
  bool below = false;

  [[nodiscard]] bool matches(const base::Name& other) const {
    return below ? other != name && other.is_within(name) : other == name;
  }
};

// A TSIG key (RFC 8945) for dynamic updates.
struct Key {
  base::Name name;
  TsigAlgorithm algorithm = TsigAlgorithm::HmacSha256;
  std::string secret_file;         // base64, or a BIND key file
  std::vector<NamePattern> allow;  // TXT owner names that it may change
  Position at;                     // of its [[key]] line
  Position secret_at;              // of its secret_file
};

enum class KeyType { P256, P384, Rsa2048, Rsa3072, Rsa4096 };
// How a name is proved: RFC 8555 §8.4, draft-ietf-acme-dns-account-label, draft-ietf-acme-dns-persist (both
// experimental).
enum class ChallengeType { Dns01, DnsAccount01, DnsPersist01 };
// Encryption and MAC of certificate.p12: what OpenSSL 3 writes, or what Windows before 2019 reads.
enum class Pkcs12 { None, Modern, Legacy };

// What a certificate was asked for beyond its names; what is absent is as [acme] says, else its default. The options of
// `issue`, the keys of [[certificate]], and what CERT.json keeps.
struct CertificateOptions {
  std::optional<std::string> ca;  // as acme.ca
  std::optional<std::vector<std::string>> fallback_ca;
  std::optional<KeyType> key_type;
  std::optional<std::string> profile;          // "" = the CA's default
  std::optional<std::string> preferred_chain;  // part of an issuer's common name; "" = the CA's default
  std::optional<ChallengeType> challenge;
  std::optional<bool> reuse_key;    // default: a new key each time
  std::optional<bool> drop_failed;  // go on without the names that the CA refuses
  std::optional<std::string> csr;   // a file: PEM or DER; its key is not ours
  std::optional<Pkcs12> pkcs12;
  std::optional<std::string> pkcs12_password_file;       // its first line; absent: an empty password
  std::optional<std::string> group;                      // of the files and of the folders that lead to them
  std::optional<unsigned> mode;                          // of privkey.pem and certificate.p12: 0600, 0640, 0644 ...
  std::optional<std::vector<std::string>> deploy_hooks;  // besides acme.deploy_hooks
  std::optional<std::string> not_before, not_after;      // RFC 3339; wishes that few CAs grant
  std::optional<std::string> server, credentials;        // as acme.server, acme.credentials

  friend bool operator==(const CertificateOptions&, const CertificateOptions&) = default;
};

// One [[certificate]]: what `renew` keeps current besides what `issue` issued.
struct Certificate {
  std::vector<std::string> names;  // as written; acme/ judges them
  std::string cert_name;           // "" = the first name without `*.`
  CertificateOptions options;
  Position at;
};

// External account binding (RFC 8555 §7.3.4), for `ca`, not for its fallbacks.
struct ExternalAccount {
  std::string kid;            // "" = none
  std::string hmac_key_file;  // base64url
};

struct Acme {
  std::string ca = "letsencrypt";        // as written; directory_url() of conf/ca_directories.hpp resolves it
  std::vector<std::string> fallback_ca;  // tried in turn when `ca` is down or refuses
  std::vector<std::string> contact;      // "mailto:..."
  bool agree_tos = false;
  KeyType key_type = KeyType::P256;
  std::string profile;
  std::string preferred_chain;
  ChallengeType challenge = ChallengeType::Dns01;
  ExternalAccount eab;
  std::string ca_bundle;    // PEM file with extra trust for the CA's HTTPS; "" = none
  std::string resolver;     // ADDR[:PORT]; "" = the system's (checked when loaded)
  std::string server;       // a remote daemon's API, https://HOST[:PORT]; "" = the control socket
  std::string credentials;  // the file with the registration for `server`
  std::vector<std::string> pre_hooks, deploy_hooks, failure_hooks;  // run by `/bin/sh -c`
};

struct Config {
  std::filesystem::path state_dir = "/var/lib/countersign";
  std::filesystem::path control_socket = "/run/countersign/control.sock";
  std::string user = "countersign";  // "" = stay
  base::log::Level log_level = base::log::Level::Info;
  Dns dns;
  std::vector<Zone> zones;
  Challenge challenge;
  Api api;
  std::vector<Key> keys;
  Acme acme;
  std::vector<Certificate> certificates;
};

}  // namespace countersign::conf
