#include "conf/acme_dns_config.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include "base/files.hpp"
#include "conf/document.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

constexpr std::size_t kMaxFileSize = 1U << 20U;

using Config = AcmeDnsConfig;
struct Passed {};  // it means nothing to us, and little to acme-dns
using Target = std::variant<Passed, std::string Config::*, bool Config::*, std::vector<std::string> Config::*>;

struct Entry {
  std::string_view section;
  std::string_view key;
  Target target;
};

const std::array kEntries{
    Entry{"general", "listen", &Config::listen},
    Entry{"general", "protocol", &Config::protocol},
    Entry{"general", "domain", &Config::domain},
    Entry{"general", "nsname", &Config::nsname},
    Entry{"general", "nsadmin", &Config::nsadmin},
    Entry{"general", "records", &Config::records},
    Entry{"general", "debug", Passed{}},
    Entry{"database", "engine", &Config::engine},
    Entry{"database", "connection", &Config::connection},
    Entry{"api", "ip", &Config::ip},
    Entry{"api", "port", &Config::port},
    Entry{"api", "disable_registration", &Config::disable_registration},
    Entry{"api", "tls", &Config::tls},
    Entry{"api", "tls_cert_privkey", &Config::tls_key},
    Entry{"api", "tls_cert_fullchain", &Config::tls_certificate},
    Entry{"api", "acme_cache_dir", Passed{}},
    Entry{"api", "notification_email", &Config::notification_email},
    Entry{"api", "corsorigins", &Config::corsorigins},
    Entry{"api", "use_header", &Config::use_header},
    Entry{"api", "header_name", &Config::header_name},
    Entry{"api", "hsts_enabled", &Config::hsts},
    Entry{"api", "hsts_max_age", Passed{}},
    Entry{"api", "hsts_include_subdomains", Passed{}},
    Entry{"api", "hsts_preload", Passed{}},
    Entry{"api", "api_domain", Passed{}},
    Entry{"api", "autocert_port", Passed{}},
    Entry{"logconfig", "loglevel", &Config::loglevel},
    Entry{"logconfig", "logtype", &Config::logtype},
    Entry{"logconfig", "logfile", Passed{}},
    Entry{"logconfig", "logformat", &Config::logformat},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

class AcmeDnsReader {
 public:
  explicit AcmeDnsReader(AcmeDnsLoaded& loaded) : loaded_(loaded) {}

  void read(const Node& root) {
    for (const Member& section : root.members) {
      std::string name = lower(section.name);
      bool known = std::ranges::any_of(kEntries, [&name](const Entry& entry) { return entry.section == name; });
      if (!known)
        loaded_.config.unknown.push_back(section.name);
      else if (section.value.type != Node::Type::Table)
        problem(section.value.at, section.name,
                fmt::format("is {}; write a table, [{}]", described(section.value.type), name));
      else
        read_section(name, section);
    }
    check_domain();
  }

 private:
  void read_section(std::string_view name, const Member& section) {
    for (const Member& member : section.value.members) {
      std::string key = lower(member.name);
      auto entry =
          std::ranges::find_if(kEntries, [&](const Entry& each) { return each.section == name && each.key == key; });
      std::string path = fmt::format("{}.{}", name, key);
      if (entry == kEntries.end())
        loaded_.config.unknown.push_back(fmt::format("{}.{}", name, member.name));
      else if (const auto* text = std::get_if<std::string Config::*>(&entry->target))
        read_text(loaded_.config.*(*text), member.value, path);
      else if (const auto* flag = std::get_if<bool Config::*>(&entry->target))
        read_flag(loaded_.config.*(*flag), member.value, path);
      else if (const auto* list = std::get_if<std::vector<std::string> Config::*>(&entry->target))
        read_list(loaded_.config.*(*list), member.value, path);
      places_.emplace(path, member.value.at);
    }
  }

  void read_text(std::string& out, const Node& value, const std::string& path) {
    // acme-dns wants its port in quotes; who wrote it without meant the same.
    if (path == "api.port" && value.type == Node::Type::Integer)
      out = std::to_string(value.integer);
    else if (value.type == Node::Type::String)
      out = value.text;
    else
      problem(value.at, path, fmt::format("is {}; write text in quotes", described(value.type)));
  }

  void read_flag(bool& out, const Node& value, const std::string& path) {
    if (value.type == Node::Type::Boolean)
      out = value.boolean;
    else
      problem(value.at, path, fmt::format("is {}; write true or false, without quotes", described(value.type)));
  }

  void read_list(std::vector<std::string>& out, const Node& value, const std::string& path) {
    out.clear();
    if (value.type != Node::Type::Array)
      return problem(value.at, path, fmt::format("is {}; write an array of texts", described(value.type)));
    for (const Node& element : value.elements) {
      if (element.type == Node::Type::String)
        out.push_back(element.text);
      else
        problem(element.at, path, fmt::format("is {}; write text in quotes", described(element.type)));
    }
  }

  void check_domain() {
    auto place = places_.find("general.domain");
    if (place == places_.end())
      return problem({}, "general.domain", "is missing; is this acme-dns' config.cfg? It names the zone there");
    const std::string& domain = loaded_.config.domain;
    if (auto name = parse_zone_name(domain); !name) problem(place->second, "general.domain", name.error().message);
  }

  void problem(Position at, std::string key, std::string text) {
    loaded_.problems.push_back({at, std::move(key), std::move(text)});
  }

  AcmeDnsLoaded& loaded_;
  std::map<std::string, Position> places_;
};

}  // namespace

AcmeDnsLoaded parse_acme_dns_config(std::string_view text) {
  AcmeDnsLoaded loaded;
  auto document = parse_document(text);
  if (!document) {
    loaded.problems.push_back({document.error().at, "", "not TOML: " + document.error().text});
    return loaded;
  }
  AcmeDnsReader(loaded).read(*document);
  std::ranges::sort(loaded.config.unknown);
  sort_problems(loaded.problems);
  return loaded;
}

AcmeDnsLoaded load_acme_dns_config(const std::filesystem::path& path) {
  auto text = base::read_regular_file(path, kMaxFileSize);
  if (text) return parse_acme_dns_config(*text);
  AcmeDnsLoaded loaded;
  std::string reason;
  if (text.error().code == base::ErrorCode::Full)
    reason = fmt::format("is larger than {} octets", kMaxFileSize);
  else if (text.error().code == base::ErrorCode::Invalid)
    reason = "is no regular file";
  else
    reason = "cannot be read: " + text.error().message.substr(text.error().message.rfind(": ") + 2);
  loaded.problems.push_back({{}, "", reason + "; name acme-dns' config.cfg"});
  return loaded;
}

}  // namespace countersign::conf
