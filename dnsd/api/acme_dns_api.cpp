#include "dnsd/api/acme_dns_api.hpp"

#include <boost/asio/this_coro.hpp>

#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/acme_dns_request.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/public_api.hpp"
#include "dnsd/api/publisher_async.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

constexpr std::string_view kBy = "acme-dns";

HttpResponse forbidden() {
  return HttpResponse(401, error_body("forbidden"));
}

// One line, in acme-dns' order: acme.sh reads it by sed.
std::string account_document(const IssuedRegistration& issued, const std::vector<std::string>& allow_from) {
  const zones::Registration& registration = issued.registration;
  std::string out;
  out.reserve(400);
  out += "{\"username\":";
  append_json_text(out, registration.username);
  out += ",\"password\":";
  append_json_text(out, issued.password);
  out += ",\"fulldomain\":";
  append_json_text(out, registration.subdomain + "." + issued.zone.text());
  out += ",\"subdomain\":";
  append_json_text(out, registration.subdomain);
  out += ",\"allowfrom\":[";
  for (std::size_t i = 0; i < allow_from.size(); ++i) {
    if (i > 0) out += ',';
    append_json_text(out, allow_from[i]);
  }
  out += "]}";
  return out;
}

}  // namespace

std::optional<HttpResponse> AcmeDnsApi::refuse_registration(const HttpRequest& request,
                                                            const base::SocketAddress& client) {
  const conf::Api& api = access_.settings();
  if (api.registration == conf::RegistrationMode::Closed) return not_found_response();
  if (api.registration == conf::RegistrationMode::Token && !access_.has_registration_token(request)) {
    HttpResponse answer(401, error_body("unauthorized"));
    answer.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"countersign\", Basic realm=\"countersign\"");
    return access_.refuse_login(client, {}, kBy, std::move(answer));
  }
  if (!api.registration_allow.empty() && !is_among(client, api.registration_allow))
    return HttpResponse(403, error_body("registration_not_allowed"));
  if (auto wait = access_.take_registration(client)) return too_many_requests(*wait);
  if (registrar_.size() >= api.max_registrations) return HttpResponse(403, error_body("too_many_registrations"));
  return std::nullopt;
}

asio::awaitable<HttpResponse> AcmeDnsApi::create_account(const HttpRequest& request, base::SocketAddress client) {
  if (auto refusal = refuse_registration(request, client)) co_return std::move(*refusal);
  auto allow_from = parse_register(request.body);
  if (!allow_from) co_return HttpResponse(400, error_body(allow_from.error().message));
  RegistrationWishes wishes;
  wishes.allow_from = *allow_from;
  Result<IssuedRegistration> issued = co_await registrar_.create(std::move(wishes));
  if (!issued) {
    if (issued.error().code == ErrorCode::Full) co_return HttpResponse(403, error_body("too_many_registrations"));
    co_return publisher_refused(issued.error());
  }
  log_change("registration made", issued->registration, client, kBy);
  co_return HttpResponse(201, account_document(*issued, *allow_from));
}

asio::awaitable<HttpResponse> AcmeDnsApi::update(const HttpRequest& request, base::SocketAddress client) {
  std::string username(request.field("x-api-user"));
  std::string password(request.field("x-api-key"));
  if (!is_api_key(password)) co_return access_.refuse_login(client, username, kBy, forbidden());
  std::string given = username;
  Result<zones::Registration> login = co_await registrar_.log_in(std::move(given), std::move(password), client);
  if (!login) {
    if (login.error().code == ErrorCode::Unavailable) co_return too_many_requests(std::chrono::seconds(1));
    co_return access_.refuse_login(client, username, kBy, forbidden());
  }
  const zones::Registration& registration = *login;
  if (!is_allowed(client, registration.allow_from)) {
    access_.warn("update refused: allowfrom has another address", client, username, kBy);
    co_return forbidden();
  }
  auto update = parse_update(request.body);
  if (!update || update->subdomain != registration.subdomain) {
    access_.warn(update ? "update refused: another subdomain" : "update refused: the body is no JSON object", client,
                 username, kBy);
    co_return forbidden();
  }
  if (!is_challenge_value(update->txt)) co_return HttpResponse(400, error_body("bad_txt"));
  if (auto wait = access_.take_update(registration)) co_return too_many_requests(*wait);
  zones::TxtChange change;
  change.kind = zones::TxtChange::Kind::Add;
  change.name = registration.name;
  change.value = *zones::TxtValue::parse(update->txt);  // base64url, judged above
  change.owner = registration.owner();
  change.when_full = zones::TxtChange::WhenFull::DropOwnersOldest;
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  ValuesResult values = co_await submit(std::move(executor), publisher_, std::move(change));
  if (!values) co_return publisher_refused(values.error());
  log_change("value added", registration, client, kBy, update->txt);
  co_return HttpResponse(200, "{\"txt\": \"" + update->txt + "\"}");
}

}  // namespace countersign::dnsd
