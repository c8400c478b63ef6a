// Everything that the daemon is configured with, read and judged: at the start, by --check, and again by SIGHUP.
// Thread: any; a million names take seconds, so not the control thread once it serves.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "conf/load.hpp"
#include "dnsd/answer/settings.hpp"
#include "dnsd/update/tsig.hpp"
#include "zones/static_zone.hpp"

namespace countersign::dnsd {

struct Configuration {
  conf::Config config;
  std::vector<zones::StaticZone> zones;
  std::vector<CookieSecret> cookie_secrets;  // of dns.cookie_secret_file; none when that is ""
  std::vector<TsigKey> keys;                 // of each [[key]], in their order
  std::string registration_token;            // of api.registration_token_file, where api.registration = "token"
  std::vector<conf::Problem> problems;       // usable only when there are none
  conf::Position tls_certificate_at, tls_key_at;
};

[[nodiscard]] Configuration read_configuration(const std::filesystem::path& path);

// For --check: adds what is wrong with the API's certificate and key to the problems. The daemon reads them itself,
// when it has become `user`, and again when they change.
void check_certificate(Configuration& configuration);

// `random`: the cookie secret where the configuration names none. The same for the life of the process, or a reload
// would turn away every client that has a cookie.
[[nodiscard]] std::unique_ptr<const AnswerSettings> answer_settings(const Configuration& configuration,
                                                                    const CookieSecret& random);

// What the service manager opened; the keys that say where are not used then.
struct HandedOver {
  bool dns = false;
  bool control = false;
};

// What differs in `wanted` and is only read at the start: "dns.listen, user". Empty when nothing does.
[[nodiscard]] std::string restart_keys(const conf::Config& started, const conf::Config& wanted, HandedOver handed_over);

}  // namespace countersign::dnsd
