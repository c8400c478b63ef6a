#include "conf/api_combinations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "conf/api_texts.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

constexpr std::size_t kNamedZones = 5;  // in a message

}  // namespace

void ApiCombinations::check_api(const Node& table) {
  const Api& api = config_.api;
  if (!api.tls_certificate.empty() && is_missing(table, "tls_key"))
    problem(table, "api", "tls_certificate", "has no key; add tls_key, the file with the certificate's private key");
  if (!api.tls_key.empty() && is_missing(table, "tls_certificate"))
    problem(table, "api", "tls_key", "has no certificate; add tls_certificate, the file with the certificate's chain");
  if (api.registration == RegistrationMode::Token && is_missing(table, "registration_token_file"))
    problem(table, "api", "registration", "wants a token; add registration_token_file, the file with it");
  if (api.zone && !is_zone(*api.zone))
    problem(table, "api", "zone",
            fmt::format("{} is not a [[zone]] of this file; write one of {}, or \"\" for the first",
                        in_quotes(api.zone->text()), zone_texts()));
}

void ApiCombinations::check_key(const Node& table, const std::string& path, const Key& key) {
  // A key whose name could not be read has the root's, which nothing else can.
  if (const Node* name = find_value(table, "name"); name != nullptr && !key.name.is_root()) {
    if (auto [first, fresh] = key_names_.emplace(key.name, name->at); !fresh)
      problem(table, path, "name",
              fmt::format("{} is a key already in line {}; remove one of the two, or give it another name",
                          in_quotes(key.name.text()), first->second.line));
  }
  if (const Node* allow = find_value(table, "allow"); allow != nullptr) check_allow(*allow, path);
}

// Judged from the text once more: those that could not be read are not in the key.
void ApiCombinations::check_allow(const Node& allow, const std::string& path) {
  if (config_.zones.empty()) return;
  for (const Node& element : allow.elements) {
    if (element.type != Node::Type::String) continue;
    auto pattern = parse_name_pattern(element.text);
    if (!pattern || can_match(*pattern)) continue;
    problems_.push_back({element.at, path + ".allow",
                         fmt::format("{} is in no [[zone]] of this file, so nothing can be written there; write names "
                                     "in {}",
                                     in_quotes(element.text), zone_texts())});
  }
}

// A zone whose name could not be read has the root's: it may be any.
bool ApiCombinations::is_zone(const base::Name& name) const {
  return config_.zones.empty() || std::ranges::any_of(config_.zones, [&name](const Zone& zone) {
           return zone.name.is_root() || zone.name == name;
         });
}

bool ApiCombinations::can_match(const NamePattern& pattern) const {
  return std::ranges::any_of(config_.zones, [&pattern](const Zone& zone) {
    return pattern.name.is_within(zone.name) || (pattern.below && zone.name.is_within(pattern.name));
  });
}

std::string ApiCombinations::zone_texts() const {
  std::vector<std::string> texts;
  for (const Zone& zone : config_.zones) {
    if (texts.size() == kNamedZones) {
      texts.emplace_back("...");
      break;
    }
    texts.push_back(in_quotes(zone.name.text()));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

void ApiCombinations::problem(const Node& table, const std::string& path, std::string_view key, std::string text) {
  const Node* value = find_value(table, key);
  problems_.push_back({value == nullptr ? table.at : value->at, fmt::format("{}.{}", path, key), std::move(text)});
}

}  // namespace countersign::conf
