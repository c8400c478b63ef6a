// The public API over a live zone, without a socket: requests in, answers out, what is served by the publisher's list.
#pragma once

#include <crypt.h>
#include <signal.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>

#include "base/encoding.hpp"
#include "dnsd/api/password_helper.hpp"
#include "dnsd/api/public_api.hpp"
#include "dnsd/api/publisher_async.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

namespace countersign::tests {

inline constexpr const char* kUuid = "c36f50e8-4632-44f0-83fe-e070fef28a10";

inline base::SocketAddress address(std::string_view text) {
  auto parsed = base::SocketAddress::parse(text, 40000);
  REQUIRE(parsed);
  return *parsed;
}

// No file may grow, as on a full disk.
class FullDisk {
 public:
  FullDisk() : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none{0, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  sighandler_t handler_;
};

struct PublicApiSetting {
  // Before the zone, as in the daemon: the store thread's last completions still hold timers and work of this loop.
  dnsd::asio::io_context context;
  LiveZone zone;
  conf::Config config = zone.config();
  dnsd::Registrar registrar{context.get_executor(), zone.registry(), zone.publisher(), zone.clock()};
  dnsd::PublicApi api{registrar, zone.publisher(), zone.clock()};

  explicit PublicApiSetting(conf::RegistrationMode mode = conf::RegistrationMode::Open) {
    config.api.registration = mode;
    config.api.registration_rate = {0, 0};
    use();
  }
  void use(std::string token = {}) {
    registrar.use(config);
    api.use(config, std::move(token));
  }

  // Begins `work`; go_on() brings it to its end, and what it gave into `result`. Not by co_spawn's own completion: that
  // wants types that can be made of nothing.
  template <class Value>
  void begin(dnsd::asio::awaitable<Value> work, std::optional<Value>& result) {
    dnsd::asio::co_spawn(context, keep(std::move(work), result), dnsd::kEndOnException);
  }
  void go_on() {
    context.restart();
    context.run();
  }
  template <class Value>
  Value run(dnsd::asio::awaitable<Value> work) {
    std::optional<Value> result;
    begin(std::move(work), result);
    go_on();
    REQUIRE(result);
    return std::move(*result);
  }
  void run(dnsd::asio::awaitable<void> work) {
    dnsd::asio::co_spawn(context, std::move(work), dnsd::kEndOnException);
    go_on();
  }

  using Fields = std::vector<std::pair<std::string, std::string>>;
  static dnsd::HttpRequest request(std::string method, std::string target, std::string body = {}, Fields fields = {},
                                   std::string_view peer = "192.0.2.7") {
    dnsd::HttpRequest made;
    made.method = std::move(method);
    made.target = std::move(target);
    made.body = std::move(body);
    made.fields = std::move(fields);
    made.peer = address(peer);
    return made;
  }
  dnsd::HttpResponse ask(dnsd::HttpRequest made) { return run(api.handle_request(std::move(made))); }
  dnsd::HttpResponse post(std::string target, std::string body, Fields fields = {},
                          std::string_view peer = "192.0.2.7") {
    return ask(request("POST", std::move(target), std::move(body), std::move(fields), peer));
  }

  dnsd::IssuedRegistration account(dnsd::RegistrationWishes wishes = {}) {
    auto issued = run(registrar.create(std::move(wishes)));
    if (!issued) FAIL(issued.error().message);
    return *issued;
  }
  static Fields keys(const dnsd::IssuedRegistration& issued) {
    return {{"x-api-user", issued.registration.username}, {"x-api-key", issued.password}};
  }
  static Fields basic(std::string_view username, std::string_view password) {
    std::string pair = std::string(username) + ":" + std::string(password);
    return {{"authorization", "Basic " + base::base64_encode(base::as_bytes(pair))}};
  }
  static std::string update_body(const dnsd::IssuedRegistration& issued, std::string_view value) {
    return "{\"subdomain\":\"" + issued.registration.subdomain + "\",\"txt\":\"" + std::string(value) + "\"}";
  }
  // An account of acme-dns: a hash of the lowest cost there is.
  zones::Registration import_bcrypt(const std::string& password, std::string hash = {}) {
    crypt_data work{};
    zones::RegistrationChange change;
    change.kind = zones::RegistrationChange::Kind::Add;
    change.registration.username = kUuid;
    change.registration.subdomain = "imported";
    change.registration.name = *base::Name::parse("imported.auth.test");
    change.registration.secret =
        hash.empty() ? crypt_r(password.c_str(), "$2a$04$abcdefghijklmnopqrstuu", &work) : std::move(hash);
    zones::Registration registration = change.registration;
    REQUIRE(registration.is_bcrypt());
    auto done = run(dnsd::change_registration(context.get_executor(), zone.publisher(), std::move(change)));
    REQUIRE(done);
    zone.registry().put(registration);
    return registration;
  }

  // "NAME=VALUE/OWNER" of all that is served, owners without their kind.
  std::vector<std::string> served() {
    auto values = run(dnsd::list(context.get_executor(), zone.publisher(), std::nullopt));
    REQUIRE(values);
    std::vector<std::string> all;
    for (const zones::PublishedValue& value : *values) all.push_back(value.name.text() + "=" + value.value);
    return all;
  }

 private:
  template <class Value>
  static dnsd::asio::awaitable<void> keep(dnsd::asio::awaitable<Value> work, std::optional<Value>& result) {
    Value value = co_await std::move(work);
    result = std::move(value);
  }
};

// A value as ACME makes them, told apart by its first character.
inline std::string challenge(char first) {
  return first + std::string(42, 'v');
}

inline std::string_view field_of(const dnsd::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.fields)
    if (key == name) return value;
  return {};
}

inline std::string text_of(const boost::json::value& document, std::string_view key) {
  return std::string(document.at(boost::json::string_view(key)).as_string());
}

}  // namespace countersign::tests
