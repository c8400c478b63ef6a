// What a CA's no means where it has nothing to do with the DNS of a name.
#pragma once

#include <string>
#include <vector>

#include "acme/issue/attempt.hpp"

namespace countersign::acme {

// Rate limits, the CA's own trouble, its policy, the account; "" for all else. `names`: as cause_of() takes them.
[[nodiscard]] std::string general_verdict(const Attempt& attempt, const Problem& problem,
                                          const std::vector<std::string>& names);

}  // namespace countersign::acme
