#include "acme/control/daemon_state.hpp"
#include "acme/control/json_members.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kPath = "/v1/registrations";

Result<std::vector<std::string>> parse_texts(const json::object& object, std::string_view key) {
  const json::array* array = array_member(object, key);
  if (array == nullptr) return fail(ErrorCode::Protocol, "a registration without \"{}\"", key);
  std::vector<std::string> texts;
  for (const json::value& entry : *array) {
    if (!entry.is_string()) return fail(ErrorCode::Protocol, "a registration whose \"{}\" is no list of texts", key);
    texts.emplace_back(entry.get_string());
  }
  return texts;
}

Result<base::Name> parse_name(const json::object& object, std::string_view key) {
  auto text = string_member(object, key);
  if (!text) return fail(ErrorCode::Protocol, "a registration without \"{}\"", key);
  auto name = base::Name::parse(*text);
  if (!name) return fail(ErrorCode::Protocol, "a \"{}\" that is no name: {}", key, name.error().message);
  return name;
}

Result<ListedRegistration> parse_listed(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return fail(ErrorCode::Protocol, "a registration that is no JSON object");
  ListedRegistration registration;
  auto username = string_member(*object, "username");
  if (!username || username->empty()) return fail(ErrorCode::Protocol, "a registration without \"username\"");
  auto fulldomain = parse_name(*object, "fulldomain");
  if (!fulldomain) return fail(fulldomain.error());
  auto allow_from = parse_texts(*object, "allowfrom");
  if (!allow_from) return fail(allow_from.error());
  auto domains = parse_texts(*object, "for");
  if (!domains) return fail(domains.error());
  registration.username = *std::move(username);
  registration.fulldomain = *std::move(fulldomain);
  registration.subdomain = string_member(*object, "subdomain").value_or("");
  registration.allow_from = *std::move(allow_from);
  registration.domains = *std::move(domains);
  registration.label = string_member(*object, "label").value_or("");
  registration.created = string_member(*object, "created").value_or("");
  registration.used = string_member(*object, "used").value_or("");
  registration.document = json::serialize(value);
  return registration;
}

Result<IssuedRegistration> parse_issued(const std::string& body) {
  boost::system::error_code error;
  json::value document = json::parse(body, error);
  if (error) return fail(ErrorCode::Protocol, "something other than JSON");
  auto listed = parse_listed(document);
  if (!listed) return fail(listed.error());
  const json::object& object = document.get_object();
  auto password = string_member(object, "password");
  if (!password || password->empty()) return fail(ErrorCode::Protocol, "a registration without \"password\"");
  auto zone = parse_name(object, "zone");
  if (!zone) return fail(zone.error());
  return IssuedRegistration{*std::move(listed), *std::move(password), *std::move(zone)};
}

// Behind those of the pages before: in the order of usernames, so that pages which go round are noticed.
Result<void> parse_page(const std::string& body, std::vector<ListedRegistration>& registrations) {
  boost::system::error_code error;
  json::value document = json::parse(body, error);
  const json::array* array = error ? nullptr : document.if_array();
  if (array == nullptr) return fail(ErrorCode::Protocol, "something other than a JSON array");
  for (const json::value& entry : *array) {
    auto registration = parse_listed(entry);
    if (!registration) return fail(registration.error());
    if (!registrations.empty() && registration->username <= registrations.back().username)
      return fail(ErrorCode::Protocol, "registrations that are not in the order of their usernames");
    registrations.push_back(*std::move(registration));
  }
  return {};
}

// Where the list goes on (RFC 8288): `<TARGET>; rel="next"`. "" when nowhere, or not at this resource.
std::string next_target(const HttpResponse& response) {
  std::string link = response.header("link");
  std::size_t end = link.find('>');
  if (!link.starts_with('<') || end == std::string::npos) return "";
  if (link.find("rel=\"next\"", end) == std::string::npos) return "";
  std::string target = link.substr(1, end - 1);
  return target.starts_with(std::string(kPath) + "?") ? target : "";
}

std::string target_of(const std::string& username) {
  return fmt::format("{}/{}", kPath, percent_encoded(username));
}

json::array texts_of(const std::vector<std::string>& texts) {
  json::array list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

std::string wishes_document(const RegistrationWishes& wishes) {
  json::object body;
  if (!wishes.name.empty()) body["name"] = wishes.name;
  if (!wishes.domains.empty()) body["for"] = texts_of(wishes.domains);
  if (!wishes.label.empty()) body["label"] = wishes.label;
  if (!wishes.allow_from.empty()) body["allow_from"] = texts_of(wishes.allow_from);
  return json::serialize(body);
}

}  // namespace

Result<IssuedRegistration> Daemon::make_registration(const RegistrationWishes& wishes) {
  HttpRequest request = State::request(HttpRequest::Method::Post, std::string(kPath));
  request.headers = {{"Content-Type", "application/json"}};
  request.body = wishes_document(wishes);
  auto response = state_->ask(request, 201, "the registration");
  if (!response && response.error().code == ErrorCode::Timeout)
    return fail(ErrorCode::Timeout, "{}; should it have been made, `countersign registrations list` shows it",
                response.error().message);
  if (!response) return fail(response.error());
  auto issued = parse_issued(response->body);
  if (!issued) return fail(state_->nonsense(issued.error(), "POST " + std::string(kPath)));
  return issued;
}

Result<std::vector<ListedRegistration>> Daemon::registrations() {
  std::vector<ListedRegistration> registrations;
  for (std::string target(kPath); !target.empty();) {
    auto response = state_->ask(State::request(HttpRequest::Method::Get, target), 200, "GET " + target);
    if (!response) return fail(response.error());
    std::size_t before = registrations.size();
    if (auto parsed = parse_page(response->body, registrations); !parsed)
      return fail(state_->nonsense(parsed.error(), "GET " + target));
    target = registrations.size() == before ? "" : next_target(*response);
  }
  return registrations;
}

Result<ListedRegistration> Daemon::registration(const std::string& username) {
  auto body = state_->get(target_of(username));
  if (!body) return fail(body.error());
  boost::system::error_code error;
  json::value document = json::parse(*body, error);
  auto listed = parse_listed(document);
  if (!listed) return fail(state_->nonsense(listed.error(), "GET " + target_of(username)));
  return listed;
}

Result<IssuedRegistration> Daemon::rotate_registration(const std::string& username) {
  std::string target = target_of(username) + "/rotate";
  auto response = state_->ask(State::request(HttpRequest::Method::Post, target), 200, "a new password");
  if (!response) return fail(response.error());
  auto issued = parse_issued(response->body);
  if (!issued) return fail(state_->nonsense(issued.error(), "POST " + target));
  return issued;
}

Result<void> Daemon::remove_registration(const std::string& username) {
  auto response =
      state_->ask(State::request(HttpRequest::Method::Delete, target_of(username)), 204, "to remove the registration");
  if (!response) return fail(response.error());
  return {};
}

}  // namespace countersign::acme
