#include "dnsd/api/http_message.hpp"

namespace countersign::dnsd {

std::string_view HttpRequest::field(std::string_view name) const {
  for (const auto& [key, value] : fields)
    if (key == name) return value;
  return {};
}

}  // namespace countersign::dnsd
