// issue() with its surroundings in the caller's hands: for tests, and for other ways to publish.
#pragma once

#include <functional>
#include <mutex>
#include <semaphore>
#include <thread>

#include "acme/issue/ca_sessions.hpp"
#include "acme/issue/issue.hpp"
#include "acme/issue/options.hpp"
#include "acme/issue/order_run.hpp"
#include "acme/issue/publisher.hpp"
#include "acme/state/failure_memory.hpp"

namespace countersign::acme {

struct IssueSurroundings {
  // Where the values of a certificate with these options go. Called from any thread. Error: Usage.
  std::function<base::Result<Publisher*>(const IssueOptions&)> publisher;
  Budgets budgets;
};

[[nodiscard]] std::vector<base::Result<IssueOutcome>> issue_with(const conf::Config& config,
                                                                 const std::vector<IssueRequest>& requests,
                                                                 unsigned jobs, const IssueCallbacks& callbacks,
                                                                 const IssueSurroundings& surroundings);

// What the certificates of one issue() share.
struct IssueHouse {
  IssueHouse(const conf::Config& configuration, const IssueSurroundings& around, std::size_t how_many)
      : config(configuration),
        surroundings(around),
        certificates(how_many),
        cas(configuration),
        failures(configuration.state_dir / "acme") {}

  const conf::Config& config;
  const IssueSurroundings& surroundings;
  const std::size_t certificates;
  CaSessions cas;
  FailureMemory failures;
  std::mutex hooks;  // one hook at a time: they restart the same servers
  std::counting_semaphore<> keys{static_cast<std::ptrdiff_t>(std::thread::hardware_concurrency() + 2)};
  std::once_flag before;
  base::Result<void> pre_hooks;  // what came of them
};

}  // namespace countersign::acme
