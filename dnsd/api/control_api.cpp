#include "dnsd/api/control_api.hpp"

#include "dnsd/api/metrics.hpp"
#include "dnsd/api/publisher_async.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

// Whose values these are, beside those of registrations and keys.
constexpr std::string_view kOwner = "control";

struct Words {
  unsigned status;
  std::string_view code;
};

Words words_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::Usage:
    case ErrorCode::Invalid:
    case ErrorCode::Protocol:
      return {400, "invalid"};
    case ErrorCode::Denied:
    case ErrorCode::Refused:
      return {403, "denied"};
    case ErrorCode::NotFound:
      return {404, "not_found"};
    case ErrorCode::Full:
      return {409, "full"};
    case ErrorCode::Exists:
      return {409, "exists"};
    case ErrorCode::Unavailable:
    case ErrorCode::Timeout:
    case ErrorCode::Interrupted:
    case ErrorCode::Io:
      return {503, "unavailable"};
  }
  return {500, "internal"};
}

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

bool is(const RequestTarget& target, std::string_view resource, std::size_t segments) {
  return target.path.size() == segments && target.path[0] == "v1" && target.path[1] == resource;
}

}  // namespace

ApiResponse error_response(unsigned status, std::string_view code, std::string_view message) {
  return ApiResponse(status, error_document(code, message));
}

ApiResponse error_response(const base::Error& error) {
  Words words = words_of(error.code);
  return error_response(words.status, words.code, error.message);
}

std::optional<QueryFilter> ControlApi::query_stream(const ApiRequest& request) {
  auto target = RequestTarget::parse(request.target);
  if (!target || request.method != "GET" || !is(*target, "queries", 2)) return std::nullopt;
  auto name = name_parameter(*target);
  if (!name) return std::nullopt;
  return QueryFilter{std::move(*name)};
}

asio::awaitable<ApiResponse> ControlApi::handle_request(ApiRequest request) {
  auto parsed = RequestTarget::parse(request.target);
  if (!parsed) co_return error_response(parsed.error());
  RequestTarget target = std::move(*parsed);
  const std::string& method = request.method;
  if (is(target, "status", 2)) {
    if (method != "GET") co_return not_allowed(method, "GET");
    ApiResponse response = co_await status(std::move(target));
    co_return response;
  }
  if (target.path == std::vector<std::string>{"metrics"}) {
    if (method != "GET") co_return not_allowed(method, "GET");
    ApiResponse response = co_await metrics(std::move(target));
    co_return response;
  }
  if (is(target, "txt", 2)) {
    if (method != "GET") co_return not_allowed(method, "GET");
    ApiResponse response = co_await list_values(std::move(target));
    co_return response;
  }
  if (is(target, "txt", 3)) {
    if (method == "PUT") {
      ApiResponse response = co_await put_value(std::move(target), std::move(request.body));
      co_return response;
    }
    if (method == "DELETE") {
      ApiResponse response = co_await delete_value(std::move(target));
      co_return response;
    }
    co_return not_allowed(method, "PUT, DELETE");
  }
  if (is(target, "queries", 2)) {
    if (method != "GET") co_return not_allowed(method, "GET");
    // In good order it is a stream and does not come here.
    auto name = name_parameter(target);
    if (!name) co_return error_response(name.error());
  }
  co_return error_response(404, "not_found", fmt::format("there is nothing at \"{}\"; see API.md", request.target));
}

asio::awaitable<ApiResponse> ControlApi::status(RequestTarget target) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  StoreReport store = co_await store_.ask();
  if (!store.snapshot) co_return error_response(base::Error{ErrorCode::Unavailable, store.problem});
  co_return ApiResponse(200, status_document(facts_, clock_.elapsed(), *store.snapshot, store.problem));
}

asio::awaitable<ApiResponse> ControlApi::metrics(RequestTarget target) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  StoreReport store = co_await store_.ask();
  ApiResponse response(200, metrics_document(facts_, store));
  response.content_type = kMetricsContentType;
  co_return response;
}

asio::awaitable<ApiResponse> ControlApi::list_values(RequestTarget target) {
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
  ValuesResult values = co_await submit(executor_, publisher_, std::move(change));
  if (!values) co_return error_response(values.error());
  co_return ApiResponse(200, values_document(*values));
}

asio::awaitable<ApiResponse> ControlApi::delete_value(RequestTarget target) {
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
  ValuesResult values = co_await submit(executor_, publisher_, std::move(change));
  if (!values) co_return error_response(values.error());
  co_return ApiResponse(204);
}

}  // namespace countersign::dnsd
