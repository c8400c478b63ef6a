// What a person is told who asked for names that are not delegated.
#pragma once

#include <vector>

#include "acme/check/delegation.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// Every name that lacks its delegation, each with what is wrong and the record to add, on lines of their own.
// Error code: NotFound.
[[nodiscard]] base::Error missing_delegations(const std::vector<Delegation>& delegations);

}  // namespace countersign::acme
