#include "conf/load.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <tuple>
#include <utility>

#include "base/files.hpp"
#include "conf/api_combinations.hpp"
#include "conf/combinations.hpp"
#include "conf/document.hpp"
#include "conf/keys.hpp"
#include "conf/reader.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

constexpr std::size_t kMaxFileSize = 1U << 20U;  // a hundred times what the largest sensible configuration needs
constexpr std::string_view kDefaultPath = "/etc/countersign/countersign.toml";
constexpr std::array kDefaultListen{std::string_view("0.0.0.0:53"), std::string_view("[::]:53")};
constexpr std::string_view kZoneTable = "zone";
constexpr std::string_view kKeyTable = "key";

std::string header_of(std::string_view table) {
  return is_array_of_tables(table) ? fmt::format("[[{}]]", table) : fmt::format("[{}]", table);
}

// "name, nameservers and hostmaster": what each table of the array must have.
std::string required_keys(std::string_view table) {
  std::vector<std::string_view> names;
  for (const KnownKey& key : known_keys())
    if (key.table == table && key.presence == Presence::Required) names.push_back(key.name);
  std::string_view last = names.back();
  names.pop_back();
  return names.empty() ? std::string(last) : fmt::format("{} and {}", fmt::join(names, ", "), last);
}

const KnownKey* find_key(std::string_view table, std::string_view name) {
  for (const KnownKey& key : known_keys())
    if (key.table == table && key.name == name) return &key;
  return nullptr;
}

// "rate_limit" in "dns" is "dns.rate_limit". Empty when there is no such table in `table` ("" = the top of the file).
std::string_view find_table(std::string_view table, std::string_view name) {
  for (std::string_view known : known_tables()) {
    auto dot = known.rfind('.');
    std::string_view parent = dot == std::string_view::npos ? "" : known.substr(0, dot);
    if (parent == table && known.substr(dot + 1) == name) return known;
  }
  return "";
}

// Of a key that `table` does not have: where it belongs, or which one may have been meant.
std::string unknown_key(std::string_view table, const Member& member) {
  for (const KnownKey& key : known_keys()) {
    if (key.name != member.name || key.table == table) continue;
    if (key.table.empty()) return "unknown key here; it belongs at the top of the file, before the first table";
    return fmt::format("unknown key here; it belongs in {}", header_of(key.table));
  }
  std::vector<std::string_view> candidates;
  for (const KnownKey& key : known_keys())
    if (key.table == table) candidates.push_back(key.name);
  for (std::string_view known : known_tables()) {
    std::string_view name = known.substr(known.rfind('.') + 1);
    if (find_table(table, name) == known)
      candidates.push_back(name);
    else if (name == member.name)
      return fmt::format("unknown here; it is written {}", header_of(known));
  }
  std::string_view best = nearest(member.name, candidates);
  // Who writes "secret" means secret_file, whatever is fewer letters away.
  auto longer = std::ranges::find_if(
      candidates, [&member](std::string_view candidate) { return candidate.starts_with(member.name + "_"); });
  if (longer != candidates.end()) best = *longer;
  return fmt::format("unknown {}; the nearest known one is \"{}\"",
                     member.value.type == Node::Type::Table ? "table" : "key", best);
}

class Loader {
 public:
  explicit Loader(Loaded& loaded) : loaded_(loaded) {
    for (std::string_view text : kDefaultListen) loaded_.config.dns.listen.push_back(*base::SocketAddress::parse(text));
  }

  void read_root(const Node& root) {
    for (const Member& member : root.members) {
      if (const KnownKey* key = find_key("", member.name))
        read_value(*key, member, member.name);
      else if (is_array_of_tables(member.name))
        read_array(member);
      else if (std::string_view table = find_table("", member.name); !table.empty())
        read_single_table(table, member, std::string(table), {});
      else
        problem(member.at, quoted_key(member.name), unknown_key("", member));
    }
    // A machine whose values go through another's daemon has no zone; a daemon without one says so itself.
    if (!zones_seen_ && loaded_.config.acme.server.empty())
      problem({}, "zone", fmt::format("no zone is configured; add a [[zone]] with {}", required_keys(kZoneTable)));
    check_combinations(root);
  }

 private:
  void read_single_table(std::string_view table, const Member& member, const std::string& path, Element element) {
    const Node& value = member.value;
    // [[dns]] has its place at the key, dns = [1] at the value.
    if (value.type == Node::Type::Array)
      problem(member.at, path, fmt::format("is an array; write [{}], once and with one bracket", table));
    else if (value.type != Node::Type::Table)
      problem(value.at, path, fmt::format("is {}; write a table, [{}]", described(value.type), table));
    else
      read_members(table, value, path, element);
  }

  void read_array(const Member& array) {
    const bool zones = array.name == kZoneTable;
    zones_seen_ = zones_seen_ || zones;
    if (array.value.type != Node::Type::Array) {
      problem(array.at, array.name,
              fmt::format("is {}; write {}, with two brackets, for each {}", described(array.value.type),
                          header_of(array.name), array.name));
      return;
    }
    if (array.value.elements.empty() && zones)
      problem(array.value.at, array.name,
              fmt::format("is empty; add a {} with {}", header_of(array.name), required_keys(array.name)));
    std::size_t number = 0;
    for (const Node& element : array.value.elements) {
      std::string path = fmt::format("{}[{}]", array.name, ++number);
      if (element.type != Node::Type::Table)
        problem(element.at, path,
                fmt::format("is {}; write a table, {}", described(element.type), header_of(array.name)));
      else if (zones)
        read_zone(element, path);
      else if (array.name == kKeyTable)
        read_key(element, path);
      else
        read_certificate(element, path);
    }
  }

  void read_certificate(const Node& table, const std::string& path) {
    Certificate certificate;
    certificate.at = table.at;
    read_members("certificate", table, path, {.certificate = &certificate});
    loaded_.config.certificates.push_back(std::move(certificate));
    certificates_.emplace_back(&table, path);
  }

  void read_key(const Node& table, const std::string& path) {
    Key key;
    key.at = key.secret_at = table.at;
    read_members(kKeyTable, table, path, {.key = &key});
    if (auto secret = std::ranges::find(table.members, "secret_file", &Member::name); secret != table.members.end())
      key.secret_at = secret->value.at;
    loaded_.config.keys.push_back(std::move(key));
    keys_.emplace_back(&table, path);
  }

  void check_combinations(const Node& root) {
    ApiCombinations api_combinations(loaded_.config, loaded_.problems);
    auto api = std::ranges::find(root.members, "api", &Member::name);
    if (api != root.members.end() && api->value.type == Node::Type::Table) api_combinations.check_api(api->value);
    for (std::size_t i = 0; i < keys_.size(); ++i)
      api_combinations.check_key(*keys_[i].first, keys_[i].second, loaded_.config.keys[i]);

    Combinations combinations(loaded_.config.acme, loaded_.problems);
    auto acme = std::ranges::find(root.members, "acme", &Member::name);
    if (acme != root.members.end() && acme->value.type == Node::Type::Table) combinations.check_acme(acme->value);
    for (std::size_t i = 0; i < certificates_.size(); ++i) {
      const auto& [table, path] = certificates_[i];
      combinations.check_certificate(*table, path, loaded_.config.certificates[i]);
    }
  }

  void read_zone(const Node& table, const std::string& path) {
    Zone zone;
    zone.at = table.at;
    read_members(kZoneTable, table, path, {.zone = &zone});
    // A zone whose name could not be read has the root's, which nothing else can.
    if (!zone.name.is_root()) {
      Position at = std::ranges::find(table.members, "name", &Member::name)->value.at;
      if (auto [first, fresh] = zone_names_.emplace(zone.name, at); !fresh)
        problem(at, path + ".name",
                fmt::format("{} is a zone already in line {}; remove one of the two", in_quotes(zone.name.text()),
                            first->second.line));
    }
    loaded_.config.zones.push_back(std::move(zone));
  }

  void read_members(std::string_view table, const Node& node, const std::string& path, Element part) {
    for (const Member& member : node.members) {
      std::string key_path = path + "." + quoted_key(member.name);
      if (const KnownKey* key = find_key(table, member.name))
        read_value(*key, member, key_path, part);
      else if (std::string_view nested = find_table(table, member.name); !nested.empty())
        read_single_table(nested, member, key_path, part);
      else
        problem(member.at, key_path, unknown_key(table, member));
    }
    for (const KnownKey& key : known_keys()) {
      if (key.table != table || key.presence != Presence::Required) continue;
      if (std::ranges::find(node.members, key.name, &Member::name) == node.members.end())
        problem(node.at, fmt::format("{}.{}", path, key.name),
                fmt::format("is missing; add {} = {}", key.name, key.value));
    }
  }

  void read_value(const KnownKey& key, const Member& member, const std::string& path, Element part = {}) {
    loaded_.places.emplace(path, member.value.at);
    Reader reader(member.value, path, {loaded_.config, part, loaded_.problems});
    key.read(reader);
  }

  // A bare key as it is, any other in quotes: it may hold anything.
  static std::string quoted_key(std::string_view name) {
    constexpr std::size_t kLongestPlain = 64;
    bool plain = !name.empty() && name.size() <= kLongestPlain;
    for (char c : name)
      plain =
          plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-');
    return plain ? std::string(name) : in_quotes(name);
  }

  void problem(Position at, std::string key, std::string text) {
    loaded_.problems.push_back({at, std::move(key), std::move(text)});
  }

  Loaded& loaded_;
  std::map<base::Name, Position> zone_names_;
  // As in the configuration, with their paths.
  std::vector<std::pair<const Node*, std::string>> certificates_, keys_;
  bool zones_seen_ = false;
};

// format_problem() begins with the file's name, so only the reason is taken from base's message.
std::string file_problem(const base::Error& error) {
  if (error.code == base::ErrorCode::Full)
    return fmt::format("is larger than {} octets, which no configuration needs; name the right file", kMaxFileSize);
  return fmt::format("cannot be read: {}; name a readable configuration with --config or $COUNTERSIGN_CONFIG",
                     error.message.substr(error.message.rfind(": ") + 2));
}

}  // namespace

std::filesystem::path config_path(std::string_view from_command_line) {
  if (!from_command_line.empty()) return from_command_line;
  const char* from_environment = std::getenv("COUNTERSIGN_CONFIG");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  return kDefaultPath;
}

Loaded load_text(std::string_view text) {
  Loaded loaded;
  if (text.size() > kMaxFileSize) {
    loaded.problems.push_back({{}, "", file_problem({base::ErrorCode::Full, ""})});
    return loaded;
  }
  auto document = parse_document(text);
  if (!document) {
    loaded.problems.push_back({document.error().at, "", "not TOML: " + document.error().text});
    return loaded;
  }
  Loader(loaded).read_root(*document);
  sort_problems(loaded.problems);
  return loaded;
}

Loaded load_file(const std::filesystem::path& path) {
  auto text = base::read_file(path, kMaxFileSize);
  if (text) return load_text(*text);
  Loaded loaded;
  loaded.problems.push_back({{}, "", file_problem(text.error())});
  return loaded;
}

// A multimap keeps those of one place in their order; std::stable_sort would, too, but libstdc++'s has a deprecated
// function in it that Clang warns of.
void sort_problems(std::vector<Problem>& problems) {
  std::multimap<std::tuple<bool, std::uint32_t, std::uint32_t>, Problem> sorted;
  for (Problem& problem : problems) {
    std::tuple place(problem.at.line == 0, problem.at.line, problem.at.column);
    sorted.emplace(place, std::move(problem));
  }
  problems.clear();
  for (auto& [place, problem] : sorted) problems.push_back(std::move(problem));
}

std::string format_problem(const std::filesystem::path& file, const Problem& problem) {
  std::string line = file.string();
  if (problem.at.line != 0) line += fmt::format(":{}:{}", problem.at.line, problem.at.column);
  line += ": ";
  if (!problem.key.empty()) line += problem.key + ": ";
  line += problem.text;
  // One problem is one line, whatever was quoted.
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  return line;
}

}  // namespace countersign::conf
