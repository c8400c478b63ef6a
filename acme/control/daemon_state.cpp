#include "acme/control/daemon_state.hpp"

#include <algorithm>

#include "acme/control/json_members.hpp"

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

// The words of an error answer: {"error":{"code","message"}}, or plain text.
struct Words {
  std::string code;
  std::string reason;
};

Words words_of(const HttpResponse& response) {
  boost::system::error_code error;
  json::value document = json::parse(response.body, error);
  Words words;
  if (const json::object* object = error ? nullptr : document.if_object()) {
    const json::value* inner = object->if_contains("error");
    if (const json::object* told = inner == nullptr ? nullptr : inner->if_object()) {
      words.reason = string_member(*told, "message").value_or("");
      words.code = string_member(*told, "code").value_or("");
    }
  } else if (error) {
    words.reason = response.body;
  }
  std::string& reason = words.reason;
  std::replace_if(reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  while (reason.ends_with(' ')) reason.pop_back();
  reason = reason.substr(0, kMaxReason);
  return words;
}

ErrorCode code_of(long status, const std::string& code) {
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
      return code == "exists" ? ErrorCode::Exists : ErrorCode::Full;
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

HttpOptions options_for(const std::filesystem::path& socket) {
  HttpOptions options;
  options.unix_socket = socket;
  options.timeout = kTimeout;
  options.max_body = kMaxAnswer;
  options.max_connections = kConnections;
  return options;
}

}  // namespace

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

Daemon::State::State(std::filesystem::path path) : socket(std::move(path)), client(options_for(socket)) {}

HttpRequest Daemon::State::request(HttpRequest::Method method, const std::string& target) {
  // The host is never looked up: the connection goes to the socket.
  return {method, "http://countersignd" + target, {}, ""};
}

base::Error Daemon::State::unreachable(const base::Error& error) const {
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
      return {ErrorCode::Unavailable, fmt::format("cannot reach countersignd at {}: {}; start it or set control_socket",
                                                  socket.string(), error.message)};
  }
}

base::Error Daemon::State::refusal(const HttpResponse& response, const std::string& what) const {
  auto [code, reason] = words_of(response);
  if (reason.empty()) reason = usual_reason(response.status);
  return {code_of(response.status, code), fmt::format("countersignd refuses {}: {}", what, reason)};
}

base::Error Daemon::State::nonsense(const base::Error& error, const std::string& what) const {
  return {ErrorCode::Protocol, fmt::format("countersignd at {} answers {} with {}; is it of another version?",
                                           socket.string(), what, error.message)};
}

Result<HttpResponse> Daemon::State::ask(const HttpRequest& asked, long status, const std::string& what) {
  auto response = client.perform(asked);
  if (!response) return fail(unreachable(response.error()));
  if (response->status != status) return fail(refusal(*response, what));
  return response;
}

Result<std::string> Daemon::State::get(const std::string& target) {
  auto response = ask(request(HttpRequest::Method::Get, target), 200, "GET " + target);
  if (!response) return fail(response.error());
  return std::move(response->body);
}

Result<void> Daemon::State::change(const std::vector<HttpRequest>& requests, const std::vector<std::string>& what) {
  auto responses = client.perform(requests);
  for (std::size_t i = 0; i < responses.size(); ++i) {
    if (!responses[i]) return fail(unreachable(responses[i].error()));
    if (responses[i]->status != 200 && responses[i]->status != 204) return fail(refusal(*responses[i], what[i]));
  }
  return {};
}

}  // namespace countersign::acme
