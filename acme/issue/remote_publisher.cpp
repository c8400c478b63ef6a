#include "acme/issue/remote_publisher.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "acme/check/fence.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "acme/transport/interrupt.hpp"
#include "acme/transport/url.hpp"
#include "base/clock.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using std::chrono::milliseconds;

// As for a daemon here: our own servers show a value the moment it is acknowledged.
constexpr milliseconds kFencePatience{5'000};
constexpr std::size_t kMaxAnswer = 64U << 10U;
constexpr long kConnections = 32;       // as to the control socket: what waits together is one commit
constexpr std::size_t kMaxWords = 300;  // of a server's own
// A server that is busy or restarting; as long as some of the requests get through it is asked on.
constexpr int kTries = 4;
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kLongestPause{20'000};

Result<std::string> checked_server(const std::string& server) {
  auto url = Url::parse(server);
  if (!url)
    return fail(ErrorCode::Usage, "server: {}; give the remote daemon's API as https://HOST[:PORT]",
                url.error().message);
  if (!url->is_https() && !url->is_loopback())
    return fail(ErrorCode::Usage, "server \"{}\": the password would go over the network in the clear; use https",
                server);
  if (server.find_first_of("?#") != std::string::npos)
    return fail(ErrorCode::Usage, "server \"{}\": give it without \"?\" and \"#\"", server);
  std::string text = server;
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// {"error":"..."} as acme-dns has it, {"error":{"message"}}, or plain text.
std::string words_of(const HttpResponse& response) {
  boost::system::error_code error;
  json::value document = json::parse(response.body, error);
  std::string words = error ? response.body : "";
  if (const json::object* object = error ? nullptr : document.if_object()) {
    const json::value* told = object->if_contains("error");
    if (told != nullptr && told->is_object()) told = told->get_object().if_contains("message");
    if (told != nullptr && told->is_string()) words = std::string(told->get_string());
  }
  words = base::printable(words, kMaxWords);
  while (words.ends_with(' ')) words.pop_back();
  return words;
}

bool is_busy(long status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

// One value on its way.
struct Change {
  const TxtValue* value = nullptr;
  HttpRequest request;
  base::Error error;  // of the newest try
};

base::Error refusal(const HttpResponse& response, const std::string& origin, const Change& change,
                    const std::string& endpoint) {
  std::string name = change.value->name.text();
  std::string words = words_of(response);
  std::string said = words.empty() ? "" : ": " + words;
  switch (response.status) {
    case 400:
    case 413:
      return {ErrorCode::Invalid, fmt::format("{} refuses the value for {}{}", origin, name, said)};
    case 401:
      return {ErrorCode::Denied,
              fmt::format("{} does not accept the credentials for {}{}; was the registration removed, or its password "
                          "changed?",
                          origin, name, said)};
    case 403:
      return {
          ErrorCode::Denied,
          fmt::format("{} does not let this registration change {} from here{}; see its fulldomain, and the addresses "
                      "that it may be used from",
                      origin, name, said)};
    case 404:
    case 405:
      return {ErrorCode::Usage,
              fmt::format("{} has no {} (HTTP status {}); is it a countersignd with [api], and the path right?", origin,
                          endpoint, response.status)};
    case 409:
    case 507:
      return {ErrorCode::Full,
              fmt::format("{} has no room for another value of {}{}; too many runs at once, or values left behind that "
                          "end with their lifetime",
                          origin, name, said)};
    case 429: {
      auto wait = retry_after(response);
      return {ErrorCode::Unavailable,
              fmt::format("{} limits how often {} may be changed{}; try again {}", origin, name, said,
                          wait ? "after " + base::format_rfc3339(base::SystemClock().wall() + *wait) : "later")};
    }
    case 500:
    case 502:
    case 503:
    case 504:
      return {ErrorCode::Unavailable,
              fmt::format("{} cannot change {} now (HTTP status {}){}; see the log of the daemon there", origin, name,
                          response.status, said)};
    default:
      return {ErrorCode::Protocol, fmt::format("{} answers {} with HTTP status {}{}; is it a countersignd?", origin,
                                               endpoint, response.status, said)};
  }
}

std::string basic(const Registration& registration) {
  std::string both = registration.username + ":" + registration.password;
  return "Basic " + base::base64_encode(std::as_bytes(std::span<const char>(both.data(), both.size())));
}

}  // namespace

RemotePublisher::RemotePublisher(std::string server, const conf::Acme& acme, Credentials credentials, HttpClient http)
    : server_(std::move(server)),
      resolver_(acme.resolver),
      credentials_(std::move(credentials)),
      http_(std::move(http)) {
  auto url = Url::parse(server_);
  origin_ = url ? url->origin() : server_;
}

Result<std::unique_ptr<RemotePublisher>> RemotePublisher::open(const conf::Acme& acme, const std::string& server,
                                                               const std::string& credentials_file) {
  auto checked = checked_server(server);
  if (!checked) return fail(checked.error());
  auto credentials = Credentials::load(credentials_file);
  if (!credentials) return fail(ErrorCode::Usage, "{}", credentials.error().message);
  HttpOptions options;
  options.ca_bundle = acme.ca_bundle;
  options.max_body = kMaxAnswer;
  options.max_connections = kConnections;
  return std::unique_ptr<RemotePublisher>(
      new RemotePublisher(*std::move(checked), acme, *std::move(credentials), HttpClient(std::move(options))));
}

Result<std::vector<Delegation>> RemotePublisher::locate(const std::vector<ChallengePlace>& places) {
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  std::vector<ChallengePlace> known;
  std::vector<Name> zones;
  for (const ChallengePlace& place : places) {
    const Registration* registration = credentials_.find(place.identifier.base_text());
    if (registration == nullptr) continue;
    known.push_back(place);
    known.back().only = registration->fulldomain;
    if (std::find(zones.begin(), zones.end(), registration->zone) == zones.end()) zones.push_back(registration->zone);
  }
  auto followed = follow_delegations(known, zones, *resolvers);
  if (!followed) return followed;
  std::vector<Delegation> delegations;
  delegations.reserve(places.size());
  auto next = followed->begin();
  for (const ChallengePlace& place : places) {
    if (credentials_.find(place.identifier.base_text()) != nullptr) {
      delegations.push_back(std::move(*next++));
      continue;
    }
    Delegation& delegation = delegations.emplace_back();
    delegation.identifier = place.identifier;
    delegation.challenge_name = place.name;
    delegation.chain = {place.name};
    delegation.target = place.name;
    delegation.problem = fmt::format("the credentials have no registration for {}; register one at {} and add it",
                                     place.identifier.base_text(), origin_);
  }
  return delegations;
}

// Requests that are refused for want of time are sent again; each is the same the second time.
Result<void> RemotePublisher::change(const std::string& endpoint, const std::vector<TxtValue>& values) {
  std::vector<Change> open;
  for (const TxtValue& value : values) {
    const Registration* registration = credentials_.of(value.name);
    if (registration == nullptr)
      return fail(ErrorCode::NotFound, "the credentials have no registration for {}", value.name.text());
    HttpRequest request;
    request.method = HttpRequest::Method::Post;
    request.url = server_ + endpoint;
    request.headers = {{"Content-Type", "application/json"}, {"Authorization", basic(*registration)}};
    request.body = json::serialize(json::object{{"fqdn", value.name.text() + "."}, {"value", value.value}});
    open.push_back({&value, std::move(request), {}});
  }
  std::optional<base::Error> first;
  milliseconds pause = kFirstPause;
  for (int tries = 0; !open.empty();) {
    std::vector<HttpRequest> requests;
    requests.reserve(open.size());
    for (const Change& change : open) requests.push_back(change.request);
    auto responses = http_.perform(requests);
    std::vector<Change> busy;
    std::optional<milliseconds> asked;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (responses[i] && (responses[i]->status == 200 || responses[i]->status == 204)) continue;
      open[i].error = responses[i] ? refusal(*responses[i], origin_, open[i], endpoint) : responses[i].error();
      if (open[i].error.code == ErrorCode::Interrupted) return fail(open[i].error);
      if (!responses[i] || !is_busy(responses[i]->status)) {
        if (!first) first = open[i].error;
        continue;
      }
      if (auto wait = retry_after(*responses[i])) asked = std::max(asked.value_or(milliseconds(0)), *wait);
      busy.push_back(std::move(open[i]));
    }
    tries = busy.size() < open.size() ? 0 : tries + 1;
    milliseconds wait = asked.value_or(pause);
    if (!busy.empty() && (tries >= kTries || wait > kLongestPause)) return fail(first ? *first : busy.front().error);
    open = std::move(busy);
    if (open.empty()) break;
    pause = std::min(pause * 2, kLongestPause);
    if (!sleep_unless_interrupted(std::max(wait, kFirstPause)))
      return fail(ErrorCode::Interrupted, "interrupted while {} is busy", origin_);
  }
  if (first) return fail(*first);
  return {};
}

Result<void> RemotePublisher::publish(const std::vector<TxtValue>& values, std::optional<milliseconds> lifetime) {
  if (lifetime)
    return fail(
        ErrorCode::Usage,
        "the API at {} keeps values for a while only, and dns-persist-01 needs a standing record: run it at the "
        "daemon itself, through its control socket",
        origin_);
  return change("/present", values);
}

Result<std::vector<std::string>> RemotePublisher::await_visibility(const std::vector<TxtValue>& values,
                                                                   const std::vector<Name>& zones) {
  auto resolvers = resolver_addresses(resolver_);
  if (!resolvers) return fail(resolvers.error());
  auto report = acme::await_visibility(values, zones, *resolvers, {}, kFencePatience);
  if (report) return std::move(report->warnings);
  if (report.error().code != ErrorCode::Unavailable) return fail(report.error());
  return std::vector<std::string>{
      fmt::format("{}; {} says that it serves the values, which must be enough", report.error().message, origin_)};
}

std::optional<QuestionLog::Mark> RemotePublisher::watch_questions() {
  return std::nullopt;
}

bool RemotePublisher::await_questions(std::optional<QuestionLog::Mark> /*mark*/, std::set<Name>& unasked,
                                      milliseconds timeout) {
  if (unasked.empty()) return true;
  sleep_unless_interrupted(timeout);
  return false;
}

std::vector<SeenQuery> RemotePublisher::questions(std::optional<QuestionLog::Mark> /*mark*/, const Name& /*name*/) {
  return {};
}

Result<void> RemotePublisher::withdraw(const std::vector<TxtValue>& values) {
  return change("/cleanup", values);
}

}  // namespace countersign::acme
