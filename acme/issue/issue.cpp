#include "acme/issue/issue.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "acme/issue/hooks.hpp"
#include "acme/issue/issue_run.hpp"
#include "acme/issue/publishers.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr unsigned kMostJobs = 64;

// Each certificate holds a lock until it is done.
void allow_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class Batch {
 public:
  Batch(const conf::Config& config, const std::vector<IssueRequest>& requests, const IssueCallbacks& callbacks,
        const IssueSurroundings& surroundings)
      : house_{config, surroundings, CaSessions(config), FailureMemory(config.state_dir / "acme"), {}, {}, {}},
        callbacks_(callbacks) {
    for (std::size_t i = 0; i < requests.size(); ++i)
      items_.push_back(std::make_unique<Item>(house_, requests[i], Steps(callbacks, i, speaking_)));
  }

  std::vector<Result<IssueOutcome>> run(unsigned jobs) {
    for_each_item(jobs, [](Item& item) {
      auto prepared = item.run.prepare();
      if (!prepared) item.result = fail(prepared.error());
    });
    // Here every value of every certificate is published: a resolver that keeps an answer for a second must not have
    // been made to ask for a name before its last value was there.
    for_each_item(jobs, [](Item& item) {
      if (!item.result) item.result = item.run.complete();
    });
    std::vector<Result<IssueOutcome>> results;
    results.reserve(items_.size());
    for (auto& item : items_) results.push_back(*std::move(item->result));
    return results;
  }

 private:
  struct Item {
    Item(IssueHouse& house, const IssueRequest& request, Steps steps) : run(house, request, std::move(steps)) {}
    IssueRun run;
    std::optional<Result<IssueOutcome>> result;
    bool told = false;
  };

  template <class Work>
  void for_each_item(unsigned jobs, const Work& work) {
    std::atomic<std::size_t> next{0};
    auto worker = [&] {
      for (std::size_t i = next++; i < items_.size(); i = next++) {
        work(*items_[i]);
        finish(i);
      }
    };
    std::size_t count = std::min<std::size_t>(std::clamp(jobs, 1U, kMostJobs), items_.size());
    if (count <= 1) return worker();
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(worker);
    for (std::thread& thread : threads) thread.join();
  }

  // Tells of it when its result is there.
  void finish(std::size_t index) {
    Item& item = *items_[index];
    if (!item.result || item.told) return;
    item.told = true;
    if (!*item.result) run_failure_hooks(item, (*item.result).error());
    std::lock_guard lock(speaking_);
    if (callbacks_.on_done) callbacks_.on_done(index, *item.result);
  }

  void run_failure_hooks(const Item& item, const base::Error& error) {
    const auto& hooks = house_.config.acme.failure_hooks;
    // Nobody needs to be told of his own Ctrl-C, or of a wrong option.
    if (hooks.empty() || error.code == ErrorCode::Interrupted || error.code == ErrorCode::Usage) return;
    HookContext context = item.run.hook_context();
    context.error = error.message;
    std::lock_guard lock(house_.hooks);
    auto run = run_hooks(hooks, context);
    if (!run) base::log::warn("a failure hook failed", {{"reason", run.error().message}});
  }

  std::mutex speaking_;
  IssueHouse house_;
  const IssueCallbacks& callbacks_;
  std::vector<std::unique_ptr<Item>> items_;
};

}  // namespace

std::vector<Result<IssueOutcome>> issue_with(const conf::Config& config, const std::vector<IssueRequest>& requests,
                                             unsigned jobs, const IssueCallbacks& callbacks,
                                             const IssueSurroundings& surroundings) {
  allow_open_files();
  return Batch(config, requests, callbacks, surroundings).run(jobs);
}

std::vector<Result<IssueOutcome>> issue(const conf::Config& config, const std::vector<IssueRequest>& requests,
                                        unsigned jobs, const IssueCallbacks& callbacks) {
  Publishers publishers(config);
  return issue_with(config, requests, jobs, callbacks,
                    {[&publishers](const IssueOptions& options) { return publishers.find(options); }, Budgets{}});
}

}  // namespace countersign::acme
