#include "acme/control/daemon.hpp"

#include <algorithm>
#include <limits>

#include "acme/control/json_members.hpp"
#include "acme/transport/http.hpp"
#include "base/duration.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

// A group commit on a slow disk, behind a long queue.
constexpr std::chrono::milliseconds kTimeout{30'000};
// `txt list` of a daemon with its 100,000 registrations' values.
constexpr std::size_t kMaxAnswer = 64U << 20U;
// Each carries one change at a time, and those that wait together are one commit of the daemon's.
constexpr long kConnections = 32;
constexpr std::size_t kMaxReason = 500;  // of a daemon's own words

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain)
      out.push_back(c);
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// The words of an error answer: {"error":{"code","message"}}, or plain text.
std::string reason_of(const HttpResponse& response) {
  boost::system::error_code error;
  json::value document = json::parse(response.body, error);
  std::string reason;
  if (const json::object* object = error ? nullptr : document.if_object()) {
    const json::value* inner = object->if_contains("error");
    if (const json::object* told = inner == nullptr ? nullptr : inner->if_object())
      reason = string_member(*told, "message").value_or("");
  } else if (error) {
    reason = response.body;
  }
  std::replace_if(reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  while (reason.ends_with(' ')) reason.pop_back();
  return reason.substr(0, kMaxReason);
}

ErrorCode code_of(long status) {
  switch (status) {
    case 400:
    case 413:
      return ErrorCode::Invalid;
    case 401:
    case 403:
      return ErrorCode::Denied;
    case 404:
      return ErrorCode::NotFound;
    case 409:
    case 507:
      return ErrorCode::Full;
    case 500:
    case 503:
      return ErrorCode::Unavailable;
    default:
      return ErrorCode::Protocol;
  }
}

std::string usual_reason(long status) {
  switch (status) {
    case 400:
      return "not a valid name, value or lifetime";
    case 404:
      return "not in a zone of the daemon";
    case 409:
      return "the name holds as many values as it may; remove some or raise challenge.max_values";
    case 503:
      return "its store fails; see its log";
    default:
      return fmt::format("HTTP status {}", status);
  }
}

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

struct Daemon::State {
  State(std::filesystem::path path, HttpOptions options) : socket(std::move(path)), client(std::move(options)) {}

  [[nodiscard]] HttpRequest request(HttpRequest::Method method, const std::string& target) const {
    // The host is never looked up: the connection goes to the socket.
    return {method, "http://countersignd" + target, {}, ""};
  }

  // Puts what the transport says into the words of one who wants the daemon.
  [[nodiscard]] base::Error unreachable(const base::Error& error) const {
    switch (error.code) {
      case ErrorCode::Interrupted:
        return error;
      case ErrorCode::Denied:
        return {ErrorCode::Denied, fmt::format("cannot use the control socket {}: permission denied; run it as root or "
                                               "as a member of the socket's group",
                                               socket.string())};
      case ErrorCode::Timeout:
        return {ErrorCode::Timeout,
                fmt::format("countersignd at {} does not answer: {}", socket.string(), error.message)};
      case ErrorCode::Protocol:
        return {ErrorCode::Protocol,
                fmt::format("countersignd at {} gives no proper answer: {}", socket.string(), error.message)};
      default:
        return {ErrorCode::Unavailable,
                fmt::format("cannot reach countersignd at {}: {}; start it or set control_socket", socket.string(),
                            error.message)};
    }
  }

  [[nodiscard]] base::Error refusal(const HttpResponse& response, const std::string& what) const {
    std::string reason = reason_of(response);
    if (reason.empty()) reason = usual_reason(response.status);
    return {code_of(response.status), fmt::format("countersignd refuses {}: {}", what, reason)};
  }

  [[nodiscard]] base::Error nonsense(const base::Error& error, const std::string& what) const {
    return {ErrorCode::Protocol, fmt::format("countersignd at {} answers {} with {}; is it of another version?",
                                             socket.string(), what, error.message)};
  }

  [[nodiscard]] Result<std::string> get(const std::string& target) {
    auto response = client.perform(request(HttpRequest::Method::Get, target));
    if (!response) return fail(unreachable(response.error()));
    if (response->status != 200) return fail(refusal(*response, "GET " + target));
    return std::move(response->body);
  }

  // The first error in the order of the requests; the whole batch has been tried then.
  [[nodiscard]] Result<void> change(const std::vector<HttpRequest>& requests, const std::vector<std::string>& what) {
    auto responses = client.perform(requests);
    for (std::size_t i = 0; i < responses.size(); ++i) {
      if (!responses[i]) return fail(unreachable(responses[i].error()));
      if (responses[i]->status != 200 && responses[i]->status != 204) return fail(refusal(*responses[i], what[i]));
    }
    return {};
  }

  std::filesystem::path socket;
  HttpClient client;
};

Daemon::Daemon(std::filesystem::path socket) {
  HttpOptions options;
  options.unix_socket = socket;
  options.timeout = kTimeout;
  options.max_body = kMaxAnswer;
  options.max_connections = kConnections;
  state_ = std::make_unique<State>(std::move(socket), std::move(options));
}
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
    HttpRequest request = state_->request(HttpRequest::Method::Put, "/v1/txt/" + percent_encoded(value.name.text()));
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
    requests.push_back(state_->request(
        HttpRequest::Method::Delete,
        fmt::format("/v1/txt/{}?value={}", percent_encoded(value.name.text()), percent_encoded(value.value))));
    what.push_back(fmt::format("to remove the value of {}", value.name.text()));
  }
  return state_->change(requests, what);
}

Result<void> Daemon::remove_all(const base::Name& name) {
  return state_->change({state_->request(HttpRequest::Method::Delete, "/v1/txt/" + percent_encoded(name.text()))},
                        {fmt::format("to remove the values of {}", name.text())});
}

}  // namespace countersign::acme
