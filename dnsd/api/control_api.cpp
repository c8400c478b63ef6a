#include "dnsd/api/control_api.hpp"

#include <array>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dnsd/api/metrics.hpp"
#include "dnsd/api/publisher_async.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

// Whose values these are, beside those of registrations and keys.
constexpr std::string_view kOwner = "control";
constexpr std::size_t kShown = 100;  // octets of a value in the log; a challenge's has 43

ApiResponse not_allowed(std::string_view method, std::string allow) {
  ApiResponse response =
      error_response(405, "method_not_allowed", fmt::format("{} is not possible here; there is {}", method, allow));
  response.allow = std::move(allow);
  return response;
}

Result<base::Name> parse_name(const std::string& text) {
  // Name takes "" for the root, which is nobody's challenge.
  if (text.empty()) return base::fail(ErrorCode::Invalid, "the name is empty; write the owner of the TXT record");
  return base::Name::parse(text);
}

Result<std::optional<base::Name>> name_parameter(const RequestTarget& target) {
  auto text = target.only_parameter("name");
  if (!text) return base::fail(text.error());
  if (!*text) return std::optional<base::Name>();
  auto name = parse_name(**text);
  if (!name) return base::fail(name.error());
  return std::optional<base::Name>(std::move(*name));
}

ApiResponse no_registrations() {
  return error_response(503, "unavailable", "there are no registrations here");
}

// What the log tells of a change.
struct Change {
  std::string name;
  std::string value;  // "" = all
};

Change shown_change(const zones::TxtChange& change) {
  return {change.name.text(), change.value ? base::printable(change.value->text(), kShown) : std::string()};
}

void log_change(std::string_view event, const Change& change) {
  base::log::info(event, {{"who", std::string(kOwner)},
                          {"by", std::string(kOwner)},
                          {"name", change.name},
                          {"value", change.value.empty() ? "all" : change.value}});
}

bool fits(std::string_view pattern, const std::vector<std::string>& path) {
  for (const std::string& segment : path) {
    if (pattern.empty()) return false;
    pattern.remove_prefix(1);  // the slash
    std::string_view wanted = pattern.substr(0, pattern.find('/'));
    if (wanted != segment && !wanted.starts_with('{')) return false;
    pattern.remove_prefix(wanted.size());
  }
  return pattern.empty();
}

}  // namespace

std::span<const ControlApi::Route> ControlApi::table() {
  static constexpr std::array<Route, 11> kRoutes{{
      {"GET", "/v1/status", &ControlApi::status},
      {"GET", "/metrics", &ControlApi::metrics},
      {"GET", "/v1/txt", &ControlApi::list_values},
      {"PUT", "/v1/txt/{name}", &ControlApi::put_value},
      {"DELETE", "/v1/txt/{name}", &ControlApi::delete_value},
      {"GET", "/v1/queries", &ControlApi::bad_query_stream},
      {"GET", "/v1/registrations", &ControlApi::list_registrations},
      {"POST", "/v1/registrations", &ControlApi::make_registration},
      {"GET", "/v1/registrations/{username}", &ControlApi::show_registration},
      {"DELETE", "/v1/registrations/{username}", &ControlApi::remove_registration},
      {"POST", "/v1/registrations/{username}/rotate", &ControlApi::rotate_registration},
  }};
  return kRoutes;
}

std::vector<std::string> ControlApi::routes() {
  std::vector<std::string> texts;
  for (const Route& route : table()) texts.push_back(fmt::format("{} {}", route.method, route.pattern));
  return texts;
}

std::optional<QueryFilter> ControlApi::query_stream(const ApiRequest& request) {
  auto target = RequestTarget::parse(request.target);
  if (!target || request.method != "GET" || !fits("/v1/queries", target->path)) return std::nullopt;
  auto name = name_parameter(*target);
  if (!name) return std::nullopt;
  return QueryFilter{std::move(*name)};
}

asio::awaitable<ApiResponse> ControlApi::handle_request(ApiRequest request) {
  auto parsed = RequestTarget::parse(request.target);
  if (!parsed) co_return error_response(parsed.error());
  RequestTarget target = std::move(*parsed);
  std::string allow;
  for (const Route& route : table()) {
    if (!fits(route.pattern, target.path)) continue;
    if (route.method == request.method) {
      Handler handler = route.handler;
      ApiResponse response = co_await (this->*handler)(std::move(target), std::move(request.body));
      co_return response;
    }
    allow += (allow.empty() ? "" : ", ") + std::string(route.method);
  }
  if (!allow.empty()) co_return not_allowed(request.method, std::move(allow));
  co_return error_response(404, "not_found", fmt::format("there is nothing at \"{}\"; see API.md", request.target));
}

asio::awaitable<ApiResponse> ControlApi::status(RequestTarget target, std::string) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  StoreReport store = co_await store_.ask();
  if (!store.snapshot) co_return error_response(base::Error{ErrorCode::Unavailable, store.problem});
  co_return ApiResponse(200, status_document(facts_, clock_.elapsed(), *store.snapshot, store.problem));
}

asio::awaitable<ApiResponse> ControlApi::metrics(RequestTarget target, std::string) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  StoreReport store = co_await store_.ask();
  ApiResponse response(200, metrics_document(facts_, store));
  response.content_type = kMetricsContentType;
  co_return response;
}

asio::awaitable<ApiResponse> ControlApi::list_values(RequestTarget target, std::string) {
  auto name = name_parameter(target);
  if (!name) co_return error_response(name.error());
  ValuesResult values = co_await list(executor_, publisher_, std::move(*name));
  if (!values) co_return error_response(values.error());
  co_return ApiResponse(200, values_document(*values));
}

asio::awaitable<ApiResponse> ControlApi::put_value(RequestTarget target, std::string body) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  auto name = parse_name(target.path[2]);
  if (!name) co_return error_response(name.error());
  auto request = parse_txt_request(body);
  if (!request) co_return error_response(request.error());
  zones::TxtChange change;
  change.kind = zones::TxtChange::Kind::Add;
  change.name = std::move(*name);
  change.value = std::move(request->value);
  change.owner = kOwner;
  change.lifetime = request->lifetime;
  Change shown = shown_change(change);
  ValuesResult values = co_await submit(executor_, publisher_, std::move(change));
  if (!values) co_return error_response(values.error());
  log_change("value added", shown);
  co_return ApiResponse(200, values_document(*values));
}

asio::awaitable<ApiResponse> ControlApi::delete_value(RequestTarget target, std::string) {
  auto text = target.only_parameter("value");
  if (!text) co_return error_response(text.error());
  auto name = parse_name(target.path[2]);
  if (!name) co_return error_response(name.error());
  zones::TxtChange change;
  change.kind = zones::TxtChange::Kind::RemoveAll;
  change.name = std::move(*name);
  change.owner = kOwner;
  if (*text) {
    auto value = zones::TxtValue::parse(**text);
    if (!value) co_return error_response(value.error());
    change.kind = zones::TxtChange::Kind::Remove;
    change.value = std::move(*value);
  }
  Change shown = shown_change(change);
  ValuesResult values = co_await submit(executor_, publisher_, std::move(change));
  if (!values) co_return error_response(values.error());
  log_change("value removed", shown);
  co_return ApiResponse(204);
}

asio::awaitable<ApiResponse> ControlApi::bad_query_stream(RequestTarget target, std::string) {
  // In good order it is a stream and does not come here.
  auto name = name_parameter(target);
  if (!name) co_return error_response(name.error());
  co_return error_response(500, "internal", "the stream of queries was not begun");
}

asio::awaitable<ApiResponse> ControlApi::list_registrations(RequestTarget target, std::string) {
  if (!registrations_) co_return no_registrations();
  ApiResponse response = co_await registrations_->list(std::move(target));
  co_return response;
}

asio::awaitable<ApiResponse> ControlApi::make_registration(RequestTarget target, std::string body) {
  if (!registrations_) co_return no_registrations();
  ApiResponse response = co_await registrations_->create(std::move(target), std::move(body));
  co_return response;
}

asio::awaitable<ApiResponse> ControlApi::show_registration(RequestTarget target, std::string) {
  if (!registrations_) co_return no_registrations();
  co_return registrations_->show(target);
}

asio::awaitable<ApiResponse> ControlApi::remove_registration(RequestTarget target, std::string) {
  if (!registrations_) co_return no_registrations();
  ApiResponse response = co_await registrations_->remove(std::move(target));
  co_return response;
}

asio::awaitable<ApiResponse> ControlApi::rotate_registration(RequestTarget target, std::string) {
  if (!registrations_) co_return no_registrations();
  ApiResponse response = co_await registrations_->rotate(std::move(target));
  co_return response;
}

}  // namespace countersign::dnsd
