// The certificate authorities that have a name in `acme.ca`, and their ACME directories.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace countersign::conf {

struct CaDirectory {
  std::string_view name;
  std::string_view url;
};

[[nodiscard]] std::span<const CaDirectory> ca_directories();

// A well-known name's directory URL; an https:// URL, or an http:// one on loopback, as it is. Error: Invalid; names
// the nearest well-known one.
[[nodiscard]] base::Result<std::string> directory_url(std::string_view ca);

}  // namespace countersign::conf
