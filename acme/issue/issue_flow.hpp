// issue() with its surroundings in the caller's hands: for tests, and for other ways to publish.
#pragma once

#include "acme/issue/issue.hpp"
#include "acme/issue/order_run.hpp"
#include "acme/issue/publisher.hpp"

namespace countersign::acme {

struct IssueSurroundings {
  Publisher& publisher;
  Budgets budgets;
};

[[nodiscard]] base::Result<IssueOutcome> issue_with(const conf::Config& config, const IssueRequest& request,
                                                    const IssueCallbacks& callbacks, IssueSurroundings surroundings);

}  // namespace countersign::acme
