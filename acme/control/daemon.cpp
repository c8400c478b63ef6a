#include "acme/control/daemon.hpp"

#include <algorithm>
#include <limits>

#include "acme/control/daemon_state.hpp"
#include "acme/control/json_members.hpp"
#include "base/duration.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

Result<ServedZone> parse_zone(const json::value& value) {
  const json::object* object = value.if_object();
  auto name_text = object != nullptr ? string_member(*object, "name") : std::nullopt;
  if (!name_text) return fail(ErrorCode::Protocol, "a zone without a name");
  auto name = base::Name::parse(*name_text);
  if (!name) return fail(ErrorCode::Protocol, "a zone name that is none: {}", name.error().message);
  ServedZone zone;
  zone.name = *std::move(name);
  zone.serial = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(number_member(*object, "serial").value_or(0), std::numeric_limits<std::uint32_t>::max()));
  zone.names = number_member(*object, "names").value_or(0);
  zone.values = number_member(*object, "values").value_or(0);
  return zone;
}

Result<DaemonStatus> parse_status(const std::string& body) {
  boost::system::error_code error;
  json::value document = json::parse(body, error);
  const json::object* object = error ? nullptr : document.if_object();
  if (object == nullptr) return fail(ErrorCode::Protocol, "something other than a JSON object");
  DaemonStatus status;
  status.document = body;
  auto version = string_member(*object, "version");
  const json::array* zones = array_member(*object, "zones");
  const json::array* listen = array_member(*object, "listen");
  if (!version || zones == nullptr || listen == nullptr)
    return fail(ErrorCode::Protocol, "a status without version, zones or listen");
  status.version = *version;
  for (const json::value& value : *zones) {
    auto zone = parse_zone(value);
    if (!zone) return fail(zone.error());
    status.zones.push_back(*std::move(zone));
  }
  for (const json::value& value : *listen) {
    auto address = value.is_string() ? base::SocketAddress::parse(std::string_view(value.get_string()))
                                     : Result<base::SocketAddress>(fail(ErrorCode::Invalid, "not a string"));
    if (!address) return fail(ErrorCode::Protocol, "a listen address that is none: {}", address.error().message);
    status.listen.push_back(*address);
  }
  return status;
}

Result<ServedValue> parse_value(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return fail(ErrorCode::Protocol, "a value that is no JSON object");
  auto name_text = string_member(*object, "name");
  auto text = string_member(*object, "value");
  if (!name_text || !text) return fail(ErrorCode::Protocol, "a value without name or value");
  auto name = base::Name::parse(*name_text);
  if (!name) return fail(ErrorCode::Protocol, "an owner name that is none: {}", name.error().message);
  return ServedValue{*std::move(name), *std::move(text), string_member(*object, "owner").value_or(""),
                     string_member(*object, "expires").value_or("")};
}

Result<std::vector<ServedValue>> parse_values(const std::string& body) {
  boost::system::error_code error;
  json::value document = json::parse(body, error);
  const json::array* array = error ? nullptr : document.if_array();
  if (array == nullptr) return fail(ErrorCode::Protocol, "something other than a JSON array");
  std::vector<ServedValue> values;
  values.reserve(array->size());
  for (const json::value& entry : *array) {
    auto value = parse_value(entry);
    if (!value) return fail(value.error());
    values.push_back(*std::move(value));
  }
  return values;
}

}  // namespace

Daemon::Daemon(std::filesystem::path socket) : state_(std::make_unique<State>(std::move(socket))) {}
Daemon::~Daemon() = default;
Daemon::Daemon(Daemon&&) noexcept = default;
Daemon& Daemon::operator=(Daemon&&) noexcept = default;

Result<DaemonStatus> Daemon::status() {
  auto body = state_->get("/v1/status");
  if (!body) return fail(body.error());
  auto status = parse_status(*body);
  if (!status) return fail(state_->nonsense(status.error(), "GET /v1/status"));
  return status;
}

Result<std::vector<ServedValue>> Daemon::list(const std::optional<base::Name>& name) {
  std::string target = "/v1/txt";
  if (name) target += "?name=" + percent_encoded(name->text());
  auto body = state_->get(target);
  if (!body) return fail(body.error());
  auto values = parse_values(*body);
  if (!values) return fail(state_->nonsense(values.error(), "GET " + target));
  return values;
}

Result<void> Daemon::add(const std::vector<TxtValue>& values, std::optional<std::chrono::milliseconds> lifetime) {
  std::vector<HttpRequest> requests;
  std::vector<std::string> what;
  for (const TxtValue& value : values) {
    HttpRequest request = State::request(HttpRequest::Method::Put, "/v1/txt/" + percent_encoded(value.name.text()));
    json::object body{{"value", value.value}};
    if (lifetime) body["lifetime"] = base::format_duration(*lifetime);
    request.headers = {{"Content-Type", "application/json"}};
    request.body = json::serialize(body);
    requests.push_back(std::move(request));
    what.push_back(fmt::format("the value for {}", value.name.text()));
  }
  return state_->change(requests, what);
}

Result<void> Daemon::remove(const std::vector<TxtValue>& values) {
  std::vector<HttpRequest> requests;
  std::vector<std::string> what;
  for (const TxtValue& value : values) {
    requests.push_back(State::request(
        HttpRequest::Method::Delete,
        fmt::format("/v1/txt/{}?value={}", percent_encoded(value.name.text()), percent_encoded(value.value))));
    what.push_back(fmt::format("to remove the value of {}", value.name.text()));
  }
  return state_->change(requests, what);
}

Result<void> Daemon::remove_all(const base::Name& name) {
  return state_->change({State::request(HttpRequest::Method::Delete, "/v1/txt/" + percent_encoded(name.text()))},
                        {fmt::format("to remove the values of {}", name.text())});
}

}  // namespace countersign::acme
