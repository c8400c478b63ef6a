#include "acme/issue/credentials.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/files.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;

constexpr std::size_t kMaxFile = 16U << 20U;  // a hundred thousand registrations
constexpr std::size_t kShown = 260;           // of a member's name
constexpr const char* kShapes =
    "it must hold a registration as /register answers (username, password, fulldomain, subdomain), or an object of "
    "them "
    "by domain";

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return out;
}

// Clients write "fulldomain", "FullDomain" and "full_domain".
const json::value* find_member(const json::object& object, std::string_view name) {
  for (const auto& member : object) {
    std::string key = lowered({member.key().data(), member.key().size()});
    std::erase(key, '_');
    if (key == name) return &member.value();
  }
  return nullptr;
}

// "" when absent.
Result<std::string> text_member(const json::object& object, std::string_view name) {
  const json::value* value = find_member(object, name);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string()) return fail(ErrorCode::Invalid, "\"{}\" is not a string", name);
  std::string text(value->get_string());
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }))
    return fail(ErrorCode::Invalid, "\"{}\" has a control character in it", name);
  return text;
}

Result<std::string> needed_member(const json::object& object, std::string_view name) {
  auto text = text_member(object, name);
  if (text && text->empty()) return fail(ErrorCode::Invalid, "it has no \"{}\"", name);
  return text;
}

Result<Name> zone_of(const json::object& object, const Name& fulldomain) {
  auto given = text_member(object, "zone");
  if (!given) return fail(given.error());
  auto subdomain = text_member(object, "subdomain");
  if (!subdomain) return fail(subdomain.error());
  if (!given->empty()) {
    auto zone = Name::parse(*given);
    if (!zone) return fail(ErrorCode::Invalid, "\"zone\": {}", zone.error().message);
    if (!fulldomain.is_within(*zone)) return fail(ErrorCode::Invalid, "\"fulldomain\" is not in \"zone\"");
    return zone;
  }
  if (auto prefix = Name::parse(*subdomain); prefix && !subdomain->empty()) {
    Name zone = fulldomain;
    for (std::size_t i = 0; i < prefix->label_count(); ++i) zone = zone.parent();
    if (auto whole = zone.prepend(*prefix); whole && *whole == fulldomain && !zone.is_root()) return zone;
  }
  return fulldomain.parent();
}

Result<Registration> registration_of(const json::object& object) {
  auto username = needed_member(object, "username");
  if (!username) return fail(username.error());
  // RFC 7617 §2: Basic authentication ends the user's name there.
  if (username->find(':') != std::string::npos) return fail(ErrorCode::Invalid, "\"username\" has a colon in it");
  auto password = needed_member(object, "password");
  if (!password) return fail(password.error());
  auto text = needed_member(object, "fulldomain");
  if (!text) return fail(text.error());
  auto fulldomain = Name::parse(*text);
  if (!fulldomain) return fail(ErrorCode::Invalid, "\"fulldomain\": {}", fulldomain.error().message);
  if (fulldomain->label_count() < 2)
    return fail(ErrorCode::Invalid, "\"fulldomain\" is not a name below the daemon's zone");
  auto zone = zone_of(object, *fulldomain);
  if (!zone) return fail(zone.error());
  return Registration{*std::move(username), *std::move(password), *std::move(fulldomain), *std::move(zone)};
}

std::string domain_of(std::string_view key) {
  std::string domain = lowered(key);
  if (domain.starts_with("*.")) domain.erase(0, 2);
  if (domain.ends_with('.')) domain.pop_back();
  return domain;
}

}  // namespace

Result<Credentials> Credentials::parse(const std::string& text) {
  boost::system::error_code error;
  json::value document = json::parse(text, error);
  if (error) return fail(ErrorCode::Invalid, "it is not JSON ({}); {}", error.message(), kShapes);
  const json::object* object = document.if_object();
  if (object == nullptr || object->empty()) return fail(ErrorCode::Invalid, "{}", kShapes);
  Credentials credentials;
  bool is_single =
      std::none_of(object->begin(), object->end(), [](const auto& member) { return member.value().is_object(); });
  if (is_single) {
    auto registration = registration_of(*object);
    if (!registration) return fail(ErrorCode::Invalid, "{}; {}", registration.error().message, kShapes);
    credentials.by_domain_.emplace("", *std::move(registration));
    return credentials;
  }
  for (const auto& member : *object) {
    std::string_view key(member.key().data(), member.key().size());
    const json::object* one = member.value().if_object();
    auto registration =
        one == nullptr ? Result<Registration>(fail(ErrorCode::Invalid, "it is not an object")) : registration_of(*one);
    if (!registration)
      return fail(ErrorCode::Invalid, "the registration of \"{}\": {}", base::printable(key, kShown),
                  registration.error().message);
    std::string domain = domain_of(key);
    if (domain.empty()) return fail(ErrorCode::Invalid, "a registration has no domain");
    credentials.by_domain_.emplace(std::move(domain), *std::move(registration));
  }
  return credentials;
}

Result<Credentials> Credentials::load(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) {
    int number = errno;
    return fail(base::system_code(number), "cannot read the credentials \"{}\": {}", file.string(),
                base::system_reason(number));
  }
  if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return fail(ErrorCode::Denied,
                "the credentials \"{0}\" are open to everybody on this machine (mode {1:04o}); run: chmod 600 \"{0}\"",
                file.string(), static_cast<unsigned>(status.st_mode & 07777U));
  auto text = base::read_regular_file(file, kMaxFile);
  if (!text) return fail(text.error().code, "cannot read the credentials: {}", text.error().message);
  auto credentials = parse(*text);
  if (!credentials)
    return fail(ErrorCode::Invalid, "the credentials \"{}\": {}", file.string(), credentials.error().message);
  return credentials;
}

const Registration* Credentials::find(const std::string& domain) const {
  auto found = by_domain_.find(domain_of(domain));
  if (found != by_domain_.end()) return &found->second;
  return by_domain_.size() == 1 ? &by_domain_.begin()->second : nullptr;
}

const Registration* Credentials::of(const Name& fulldomain) const {
  auto found = std::find_if(by_domain_.begin(), by_domain_.end(),
                            [&](const auto& entry) { return entry.second.fulldomain == fulldomain; });
  return found == by_domain_.end() ? nullptr : &found->second;
}

}  // namespace countersign::acme
