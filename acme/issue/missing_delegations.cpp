#include "acme/issue/missing_delegations.hpp"

#include <set>

#include "acme/issue/steps.hpp"

namespace countersign::acme {

base::Error missing_delegations(const std::vector<Delegation>& delegations) {
  std::set<std::string> names;
  std::set<std::string> missing;
  std::string lines;
  std::set<base::Name> told;         // x and *.x lack the same record
  std::set<std::string> prescribed;  // and all names lack the same zone
  for (const Delegation& delegation : delegations) {
    names.insert(delegation.identifier.text());
    if (delegation.zone) continue;
    missing.insert(delegation.identifier.text());
    if (!told.insert(delegation.challenge_name).second) continue;
    lines += fmt::format("\n{}: {}", delegation.identifier.text(), delegation.problem);
    if (delegation.remedy.empty()) continue;
    if (prescribed.insert(delegation.remedy).second) lines += "\n" + delegation.remedy;
  }
  const char* remedy = prescribed.empty() ? "mend what follows" : "add what follows to the DNS";
  return {base::ErrorCode::NotFound,
          fmt::format("the challenges of {} of {} cannot be answered, so nothing was ordered; {}, then run it again{}",
                      missing.size(), counted(names.size(), "name"), remedy, lines)};
}

}  // namespace countersign::acme
