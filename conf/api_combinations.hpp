// What is right by itself and wrong together, in [api] and [[key]].
#pragma once

#include <map>
#include <string>
#include <vector>

#include "conf/config.hpp"
#include "conf/document.hpp"
#include "conf/load.hpp"

namespace countersign::conf {

// Once the whole file is read, because the zones may stand behind. Where there is none, nothing is said of what needs
// one: that is the daemon's own problem.
class ApiCombinations {
 public:
  ApiCombinations(const Config& config, std::vector<Problem>& problems) : config_(config), problems_(problems) {}

  void check_api(const Node& table);
  // `path`: "key[2]", for messages.
  void check_key(const Node& table, const std::string& path, const Key& key);

 private:
  [[nodiscard]] bool is_zone(const base::Name& name) const;
  [[nodiscard]] std::string zone_texts() const;
  void problem(const Node& table, const std::string& path, std::string_view key, std::string text);

  const Config& config_;
  std::vector<Problem>& problems_;
  std::map<base::Name, Position> key_names_;
};

}  // namespace countersign::conf
