// What stands between method and version in an HTTP request line: path segments and query, percent-decoded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

struct RequestTarget {
  std::vector<std::string> path;  // "/v1/txt/a.example" is {"v1", "txt", "a.example"}
  std::vector<std::pair<std::string, std::string>> query;

  // Percent-escapes are decoded after splitting, so an escaped slash stays within its segment; `+` in the query is a
  // space, as forms and most libraries write it. Error: Invalid.
  [[nodiscard]] static base::Result<RequestTarget> parse(std::string_view text);

  // The one value of `key`, empty when it is absent. Error: Invalid, when it is there twice, or a key other than this.
  [[nodiscard]] base::Result<std::optional<std::string>> only_parameter(std::string_view key) const;
};

}  // namespace countersign::dnsd
