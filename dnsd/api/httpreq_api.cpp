#include "dnsd/api/httpreq_api.hpp"

#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "dnsd/api/acme_dns_json.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/httpreq_request.hpp"
#include "dnsd/api/publisher_async.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

constexpr std::string_view kBy = "httpreq";

HttpResponse unauthorized() {
  HttpResponse response(401,
                        error_body("unauthorized", "log in by HTTP Basic with a registration's username and password"));
  response.fields.emplace_back("WWW-Authenticate", "Basic realm=\"countersign\"");
  return response;
}

// Whether the registration may change what `name` stands for: its own name, or a challenge of a domain that it serves,
// whose CNAME leads there.
bool may_change(const zones::Registration& registration, const base::Name& name) {
  if (name == registration.name) return true;
  return std::any_of(registration.domains.begin(), registration.domains.end(), [&](const base::Name& domain) {
    auto challenge = challenge_name(domain);
    return challenge && *challenge == name;
  });
}

HttpResponse not_yours(const zones::Registration& registration) {
  constexpr std::size_t kShown = 20;
  std::string message = "these credentials are for " + registration.name.text();
  for (std::size_t i = 0; i < std::min(registration.domains.size(), kShown); ++i)
    message += ", _acme-challenge." + registration.domains[i].text();
  if (registration.domains.size() > kShown)
    message += fmt::format(" and {} more", registration.domains.size() - kShown);
  message += "; another domain needs a registration that names it with --for";
  return HttpResponse(403, error_body("forbidden", message));
}

// The request again, as acmeproxy answers: acme.sh looks for the value in quotes.
std::string echo(const HttpreqRequest& request) {
  std::string out = "{\"fqdn\": ";
  append_json_text(out, request.fqdn);
  out += ", \"value\": ";
  append_json_text(out, request.value.text());
  out += "}";
  return out;
}

}  // namespace

asio::awaitable<HttpResponse> HttpreqApi::change(Verb verb, const HttpRequest& request, base::SocketAddress client) {
  auto credentials = parse_basic(request.field("authorization"));
  if (!credentials) co_return access_.refuse_login(client, {}, kBy, unauthorized());
  std::string username = credentials->username;
  std::string password = std::move(credentials->password);
  Result<zones::Registration> login = co_await registrar_.log_in(std::move(username), std::move(password), client);
  if (!login) {
    if (login.error().code == ErrorCode::Unavailable) co_return too_many_requests(std::chrono::seconds(1));
    co_return access_.refuse_login(client, credentials->username, kBy, unauthorized());
  }
  const zones::Registration& registration = *login;
  if (!is_allowed(client, registration.allow_from)) {
    access_.warn("change refused: allowfrom has another address", client, credentials->username, kBy);
    co_return HttpResponse(
        403, error_body("forbidden", fmt::format("these credentials are not for use from {}", client.address_text())));
  }
  auto wanted = parse_httpreq(request.body);
  if (!wanted) co_return HttpResponse(400, error_body("invalid", wanted.error().message));
  if (!may_change(registration, wanted->name)) co_return not_yours(registration);
  if (auto wait = access_.take_update(registration)) co_return too_many_requests(*wait);
  zones::TxtChange change;
  change.name = registration.name;
  change.value = wanted->value;
  change.owner = registration.owner();
  if (verb == Verb::Present) {
    change.kind = zones::TxtChange::Kind::Add;
  } else {
    change.kind = zones::TxtChange::Kind::Remove;
    change.whose = zones::TxtChange::Whose::Owners;
  }
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  ValuesResult values = co_await submit(std::move(executor), publisher_, std::move(change));
  if (!values) co_return publisher_refused(values.error());
  std::string_view event = verb == Verb::Present ? "value added" : "value removed";
  log_change(event, registration, client, kBy, wanted->value.text());
  co_return HttpResponse(200, echo(*wanted));
}

}  // namespace countersign::dnsd
