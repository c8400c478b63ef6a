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
}

// A zone whose name could not be read has the root's: it may be any.
bool ApiCombinations::is_zone(const base::Name& name) const {
  return config_.zones.empty() || std::ranges::any_of(config_.zones, [&name](const Zone& zone) {
           return zone.name.is_root() || zone.name == name;
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
