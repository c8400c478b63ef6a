#include "dnsd/api/registration_documents.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/address_range.hpp"
#include "base/text.hpp"
#include "dnsd/api/registrar_names.hpp"

namespace countersign::dnsd {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxLabel = 200;  // octets: a line of a list
constexpr std::size_t kShown = 260;     // of what is refused
// Each registration is in memory, and its domains are looked through at every request for one of them.
constexpr std::size_t kMaxDomains = 500;
constexpr std::string_view kMembers = "\"name\", \"for\", \"label\" and \"allow_from\"";

std::string time_text(std::int64_t milliseconds) {
  return base::format_rfc3339(base::WallTime(std::chrono::milliseconds(milliseconds)));
}

std::string shown(std::string_view text) {
  return base::printable(text, kShown);
}

// A host's name, as everything that a registration is about has: letters, digits, hyphens, underscores.
Result<base::Name> parse_host(std::string_view member, std::string_view text) {
  auto name = base::Name::parse(text);
  if (!name) return fail(ErrorCode::Invalid, "\"{}\": {}", member, shown(name.error().message));
  if (name->is_root()) return fail(ErrorCode::Invalid, "\"{}\": the root is nobody's", member);
  std::string plain = name->text();
  if (plain == "*" || plain.starts_with("*."))
    return fail(ErrorCode::Invalid,
                "\"{}\": \"{}\" is a wildcard; leave \"*.\" out: a name and its wildcard have one challenge name",
                member, shown(plain));
  bool fits = std::all_of(plain.begin(), plain.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
  if (!fits)
    return fail(ErrorCode::Invalid,
                "\"{}\": \"{}\" has a character other than letters, digits, hyphens and underscores; send an "
                "internationalised name as A-labels (xn--...)",
                member, shown(text));
  return name;
}

Result<base::Name> parse_domain(std::string_view text) {
  auto name = parse_host("for", text);
  if (!name) return name;
  if (name->first_label() == "_acme-challenge")
    return fail(ErrorCode::Invalid, "\"for\": leave \"_acme-challenge.\" out of \"{}\"; the domain alone is meant",
                shown(text));
  if (auto challenge = name->child("_acme-challenge"); !challenge)
    return fail(ErrorCode::Invalid, "\"for\": \"{}\" is too long: with _acme-challenge. in front it exceeds 255 octets",
                shown(text));
  return name;
}

Result<std::string> parse_label(std::string_view text) {
  if (text.size() > kMaxLabel)
    return fail(ErrorCode::Invalid, "\"label\" is {} octets long; {} at most are kept", text.size(), kMaxLabel);
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t length = base::utf8_length(rest);
    if (length == 0) return fail(ErrorCode::Invalid, "\"label\" is not UTF-8");
    if (base::is_control(rest.substr(0, length)))
      return fail(ErrorCode::Invalid, "\"label\" has a control character in it; it is one line of text");
    rest.remove_prefix(length);
  }
  return std::string(text);
}

Result<std::string_view> text_of(std::string_view member, const json::value& value) {
  const json::string* text = value.if_string();
  if (text == nullptr) return fail(ErrorCode::Invalid, "\"{}\" is not a string; put it in quotes", member);
  return std::string_view(text->data(), text->size());
}

// Each of a list of strings to `take`, until one is refused.
template <class Take>
Result<void> for_each_text(std::string_view member, const json::value& value, Take take) {
  const json::array* list = value.if_array();
  if (list == nullptr) return fail(ErrorCode::Invalid, "\"{}\" is not a list of strings; put it in brackets", member);
  for (const json::value& entry : *list) {
    const json::string* text = entry.if_string();
    if (text == nullptr) return fail(ErrorCode::Invalid, "\"{}\" has something in it that is not a string", member);
    Result<void> taken = take(std::string_view(text->data(), text->size()));
    if (!taken) return taken;
  }
  return {};
}

Result<void> take_domain(RegistrationWishes& wishes, std::string_view text) {
  auto domain = parse_domain(text);
  if (!domain) return fail(domain.error());
  if (std::find(wishes.domains.begin(), wishes.domains.end(), *domain) != wishes.domains.end()) return {};
  if (wishes.domains.size() >= kMaxDomains)
    return fail(ErrorCode::Invalid, "\"for\" has more than {} domains; make another registration for the others",
                kMaxDomains);
  wishes.domains.push_back(*std::move(domain));
  return {};
}

Result<void> take_range(RegistrationWishes& wishes, std::string_view text) {
  auto range = base::AddressRange::parse_or_address(text);
  if (!range) return fail(ErrorCode::Invalid, "\"allow_from\": {}", shown(range.error().message));
  std::string plain = range->text();
  if (std::find(wishes.allow_from.begin(), wishes.allow_from.end(), plain) != wishes.allow_from.end()) return {};
  if (wishes.allow_from.size() >= kMaxAllowFrom)
    return fail(ErrorCode::Invalid, "\"allow_from\" has more than {} ranges; take fewer, larger ones", kMaxAllowFrom);
  wishes.allow_from.push_back(std::move(plain));
  return {};
}

Result<void> take_member(RegistrationWishes& wishes, std::string_view key, const json::value& value) {
  if (key == "for") return for_each_text(key, value, [&](std::string_view text) { return take_domain(wishes, text); });
  if (key == "allow_from")
    return for_each_text(key, value, [&](std::string_view text) { return take_range(wishes, text); });
  if (key != "name" && key != "label")
    return fail(ErrorCode::Invalid, "unknown member \"{}\"; there are {}", shown(key), kMembers);
  auto text = text_of(key, value);
  if (!text) return fail(text.error());
  if (key == "label") {
    auto label = parse_label(*text);
    if (!label) return fail(label.error());
    wishes.label = *std::move(label);
    return {};
  }
  auto name = parse_host(key, *text);
  if (!name) return fail(name.error());
  wishes.name = name->text();
  return {};
}

json::array texts_of(const std::vector<std::string>& texts) {
  json::array list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

json::array names_of(const std::vector<base::Name>& names) {
  json::array list;
  for (const base::Name& name : names) list.emplace_back(name.text());
  return list;
}

json::object listed_members(const zones::Registration& registration) {
  json::value used = nullptr;
  if (registration.used != 0) used = time_text(registration.used);
  return {{"username", registration.username},          {"fulldomain", registration.name.text()},
          {"subdomain", registration.subdomain},        {"allowfrom", texts_of(registration.allow_from)},
          {"for", names_of(registration.domains)},      {"label", registration.label},
          {"created", time_text(registration.created)}, {"used", std::move(used)}};
}

}  // namespace

Result<RegistrationWishes> parse_registration_wishes(std::string_view body) {
  RegistrationWishes wishes;
  if (body.empty()) return wishes;
  boost::system::error_code error;
  json::value document = json::parse({body.data(), body.size()}, error);
  if (error)
    return fail(ErrorCode::Invalid, "the body is not JSON ({}); send an object with {}, or nothing", error.message(),
                kMembers);
  const json::object* object = document.if_object();
  if (object == nullptr)
    return fail(ErrorCode::Invalid, "the body is not a JSON object; send one with {}, or nothing", kMembers);
  for (const json::key_value_pair& member : *object) {
    auto taken = take_member(wishes, {member.key().data(), member.key().size()}, member.value());
    if (!taken) return fail(taken.error());
  }
  return wishes;
}

std::string issued_document(const IssuedRegistration& issued) {
  const zones::Registration& registration = issued.registration;
  // As `POST /register` of the public API answers, with more behind it.
  return json::serialize(json::object{{"username", registration.username},
                                      {"password", issued.password},
                                      {"fulldomain", registration.name.text()},
                                      {"subdomain", registration.subdomain},
                                      {"allowfrom", texts_of(registration.allow_from)},
                                      {"zone", issued.zone.text()},
                                      {"for", names_of(registration.domains)},
                                      {"label", registration.label},
                                      {"created", time_text(registration.created)}});
}

std::string registration_document(const zones::Registration& registration) {
  return json::serialize(listed_members(registration));
}

std::string registrations_document(const std::vector<zones::Registration>& registrations) {
  json::array list;
  list.reserve(registrations.size());
  for (const zones::Registration& registration : registrations) list.push_back(listed_members(registration));
  return json::serialize(list);
}

}  // namespace countersign::dnsd
