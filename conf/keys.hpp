// Every key of countersign.toml, in one table: name, form, default, help, and how its value is checked and stored.
#pragma once

#include <span>
#include <string_view>

namespace countersign::conf {

class Reader;

enum class Presence { Optional, Required };

struct KnownKey {
  // "" = above the first table; "zone", "key" and "certificate" are arrays; "dns.rate_limit" is in "dns".
  std::string_view table;
  std::string_view name;
  Presence presence;
  std::string_view value;  // as TOML: the default, or an example where the key is required
  std::string_view help;
  void (*read)(Reader&);  // checks the value and stores it in the configuration
};

[[nodiscard]] std::span<const KnownKey> known_keys();

// The tables' names, without "". One within another has its name with a dot.
[[nodiscard]] std::span<const std::string_view> known_tables();
// Written [[zone]]: there may be several.
[[nodiscard]] bool is_array_of_tables(std::string_view table);

}  // namespace countersign::conf
