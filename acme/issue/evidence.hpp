// What the queries of one name say, counted.
#pragma once

#include <string>
#include <vector>

#include "acme/issue/attempt.hpp"

namespace countersign::acme {

struct Evidence {
  Evidence(const Attempt& attempt, const NameAttempt& name);

  bool watched = false;
  std::size_t txt = 0;              // TXT queries
  std::size_t right = 0;            // of them, answered with values
  std::size_t refused = 0;          // REFUSED
  std::size_t failed = 0;           // other RCODEs than NOERROR and NXDOMAIN
  std::string rcodes;               // of the TXT queries, each once: "NXDOMAIN, no value"
  std::vector<std::string> places;  // networks that asked: "192.0.2.0/24", "2001:db8::/64"
  bool public_clients = false;      // none of them private or of this machine

  // Certainly nobody asked.
  [[nodiscard]] bool none() const { return watched && txt == 0; }
  // "answered correctly (3 queries from 2 networks), but "; "" when that was not seen.
  [[nodiscard]] std::string answered_text() const;
};

}  // namespace countersign::acme
