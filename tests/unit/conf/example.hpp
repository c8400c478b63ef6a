// The smallest configuration without problems, for tests that change one thing in it.
#pragma once

#include <string>

#include "conf/load.hpp"

namespace countersign::conf {

inline const std::string kZone =
    "[[zone]]\n"
    "name = \"auth.example.net\"\n"
    "nameservers = [\"ns1.auth.example.net\"]\n"
    "hostmaster = \"hostmaster@example.net\"\n";

// One line each, as `countersignd --check` prints them for a file named "f".
inline std::string printed(const Loaded& loaded) {
  std::string lines;
  for (const Problem& problem : loaded.problems) lines += format_problem("f", problem) + "\n";
  return lines;
}

}  // namespace countersign::conf
