#include "acme/issue/missing_delegations.hpp"

#include <set>

#include "acme/issue/steps.hpp"

namespace countersign::acme {

base::Error missing_delegations(const std::vector<Delegation>& delegations) {
  std::size_t missing = 0;
  std::string lines;
  std::set<std::string> told;
  for (const Delegation& delegation : delegations) {
    if (delegation.zone) continue;
    ++missing;
    if (!told.insert(delegation.challenge_name.text()).second) continue;  // x and *.x lack the same record
    lines += fmt::format("\n{}: {}", delegation.identifier.text(), delegation.problem);
    if (!delegation.remedy.empty()) lines += "\n" + delegation.remedy;
  }
  return {base::ErrorCode::NotFound,
          fmt::format("the challenges of {} of {} cannot be answered, so nothing was ordered; add "
                      "what follows to the DNS, then run it again{}",
                      missing, counted(delegations.size(), "name"), lines)};
}

}  // namespace countersign::acme
