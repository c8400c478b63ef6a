#include "dnsd/api/public_api_access.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/httpreq_request.hpp"
#include "dnsd/api/password_helper.hpp"
#include "dnsd/api/registrar_names.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;

constexpr RateBuckets::Limit kFailureLimit{1, 10};
// Lines about refusals: an address is first once a minute for each event. All firsts together, and all others together.
constexpr RateBuckets::Limit kFirstWarning{1.0 / 60, 1};
constexpr RateBuckets::Limit kFirstWarnings{20, 200};
constexpr RateBuckets::Limit kOtherWarnings{5, 50};
constexpr std::chrono::minutes kSummaryPause{1};

RateBuckets::Limit per_minute(const conf::RegistrationRate& rate) {
  return {rate.per_address / 60.0, static_cast<double>(rate.burst)};
}

}  // namespace

HttpResponse too_many_requests(std::chrono::milliseconds wait) {
  HttpResponse response(429, error_body("too_many_requests"));
  auto seconds = std::max<std::int64_t>(1, (wait.count() + 999) / 1000);
  response.fields.emplace_back("Retry-After", std::to_string(seconds));
  return response;
}

HttpResponse publisher_refused(const base::Error& error) {
  switch (error.code) {
    case ErrorCode::Full:
      return HttpResponse(409, error_body("full", error.message));
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Interrupted:
    case ErrorCode::Io:
      return HttpResponse(503, error_body("store_unavailable", error.message));
    case ErrorCode::Exists:
      return HttpResponse(409, error_body("exists", error.message));
    case ErrorCode::NotFound:
    case ErrorCode::Invalid:
    case ErrorCode::Usage:
    case ErrorCode::Denied:
    case ErrorCode::Protocol:
    case ErrorCode::Refused:
      break;
  }
  // The registration was good when it was made: its zone has been taken out of the configuration since, or a CNAME put
  // there.
  return HttpResponse(500, error_body("not_served", error.message));
}

void log_change(std::string_view event, const zones::Registration& registration, const base::SocketAddress& client,
                std::string_view by, std::string_view value) {
  if (value.empty()) {
    base::log::info(event, {{"who", registration.username},
                            {"from", client.address_text()},
                            {"name", registration.name.text()},
                            {"by", std::string(by)}});
    return;
  }
  base::log::info(event, {{"who", registration.username},
                          {"from", client.address_text()},
                          {"name", registration.name.text()},
                          {"value", std::string(value)},
                          {"by", std::string(by)}});
}

// Of addresses and registrations that did something within the last seconds; each entry takes about 100 octets.
ApiAccess::ApiAccess(const base::Clock& clock)
    : clock_(clock),
      registrations_(50'000),
      updates_(50'000),
      failures_(50'000),
      first_warnings_(50'000),
      warnings_(2) {}

void ApiAccess::use(const conf::Api& api, std::string_view registration_token) {
  api_ = api;
  token_digest_ = registration_token.empty() ? std::string() : sha256_of(registration_token);
}

bool ApiAccess::has_registration_token(const HttpRequest& request) const {
  if (token_digest_.empty()) return false;
  std::string_view field = request.field("authorization");
  if (auto bearer = parse_bearer(field)) return equal_in_constant_time(sha256_of(*bearer), token_digest_);
  if (auto basic = parse_basic(field)) return equal_in_constant_time(sha256_of(basic->password), token_digest_);
  return false;
}

std::optional<std::chrono::milliseconds> ApiAccess::take_registration(const base::SocketAddress& client) {
  auto wait = registrations_.take(address_key(client), per_minute(api_.registration_rate), clock_.elapsed());
  if (wait) warn("registration refused: too many from this address", client, {}, "acme-dns");
  return wait;
}

std::optional<std::chrono::milliseconds> ApiAccess::take_update(const zones::Registration& registration) {
  RateBuckets::Limit limit{static_cast<double>(api_.update_rate.per_account),
                           static_cast<double>(api_.update_rate.burst)};
  return updates_.take(registration.username, limit, clock_.elapsed());
}

HttpResponse ApiAccess::refuse_login(const base::SocketAddress& client, std::string_view username, std::string_view by,
                                     HttpResponse answer) {
  auto wait = failures_.take(address_key(client), kFailureLimit, clock_.elapsed());
  if (wait) {
    warn("login refused: too many failures from this address", client, username, by);
    return too_many_requests(*wait);
  }
  warn("login refused", client, username, by);
  return answer;
}

void ApiAccess::warn(std::string_view event, const base::SocketAddress& client, std::string_view username,
                     std::string_view by) {
  base::ElapsedTime now = clock_.elapsed();
  std::string key = address_key(client);
  key += event;
  bool is_first = !first_warnings_.take(key, kFirstWarning, now);
  if (warnings_.take(is_first ? "first" : "other", is_first ? kFirstWarnings : kOtherWarnings, now)) {
    if (unlogged_++ == 0) unlogged_since_ = now;
    return;
  }
  // What is no username may be a password in the wrong place.
  auto canonical = canonical_username(username);
  base::log::warn(
      event,
      {{"from", client.address_text()}, {"username", canonical ? *canonical : "no UUID"}, {"by", std::string(by)}});
}

void ApiAccess::tell_unlogged() {
  base::ElapsedTime now = clock_.elapsed();
  if (unlogged_ == 0 || now - unlogged_since_ < kSummaryPause) return;
  base::log::warn("refusals of the API were left out of the log: too many in a short time",
                  {{"refusals", std::to_string(unlogged_)}});
  unlogged_ = 0;
}

}  // namespace countersign::dnsd
