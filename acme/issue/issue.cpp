#include "acme/issue/issue.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <system_error>
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

class Batch {
 public:
  Batch(const conf::Config& config, const std::vector<IssueRequest>& requests, const IssueCallbacks& callbacks,
        const IssueSurroundings& surroundings)
      : house_(config, surroundings, requests.size()), callbacks_(callbacks) {
    for (std::size_t i = 0; i < requests.size(); ++i)
      items_.push_back(std::make_unique<Item>(house_, requests[i], Steps(callbacks, i, speaking_)));
  }

  std::vector<Result<IssueOutcome>> run(unsigned jobs) {
    for_each_item(jobs, [](Item& item) {
      auto prepared = interrupted() ? Result<void>(fail(ErrorCode::Interrupted, "interrupted before it began"))
                                    : item.run->prepare();
      if (!prepared) item.result = fail(prepared.error());
    });
    // Here every value of every certificate is published: a resolver that keeps an answer for a second must not have
    // been made to ask for a name before its last value was there.
    for_each_item(jobs, [](Item& item) {
      if (!item.result) item.result = item.run->complete();
    });
    std::vector<Result<IssueOutcome>> results;
    results.reserve(items_.size());
    for (auto& item : items_) results.push_back(*std::move(item->result));
    return results;
  }

 private:
  struct Item {
    Item(IssueHouse& house, const IssueRequest& request, Steps steps)
        : rehearsal(request.rehearsal), holds(request.holds), run(std::in_place, house, request, std::move(steps)) {}
    Rehearsal rehearsal;
    Holds holds;
    std::optional<IssueRun> run;  // until the result is there: it holds a lock
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
    try {
      for (std::size_t i = 0; i < count; ++i) threads.emplace_back(worker);
    } catch (const std::system_error&) {
      // The system has no more threads to give: those that it gave do the work.
      if (threads.empty()) worker();
    }
    for (std::thread& thread : threads) thread.join();
  }

  // Tells of it when its result is there.
  void finish(std::size_t index) {
    Item& item = *items_[index];
    if (!item.result || item.told) return;
    item.told = true;
    HookContext context = item.run->hook_context();
    item.run.reset();
    if (!*item.result) run_failure_hooks(item, (*item.result).error(), std::move(context));
    std::lock_guard lock(speaking_);
    if (callbacks_.on_done) callbacks_.on_done(index, *item.result);
  }

  void run_failure_hooks(const Item& item, const base::Error& error, HookContext context) {
    const auto& hooks = house_.config.acme.failure_hooks;
    // Nobody needs to be told of his own Ctrl-C, of an option that he just typed, or that another run is at it.
    bool typed = error.code == ErrorCode::Usage && item.holds != Holds::All;
    bool own = error.code == ErrorCode::Interrupted || error.code == ErrorCode::Exists || typed;
    if (hooks.empty() || own || item.rehearsal == Rehearsal::Yes) return;
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
  raise_open_files();  // each certificate holds a lock until it is done
  return Batch(config, requests, callbacks, surroundings).run(jobs);
}

std::vector<Result<IssueOutcome>> issue(const conf::Config& config, const std::vector<IssueRequest>& requests,
                                        unsigned jobs, const IssueCallbacks& callbacks) {
  Publishers publishers(config);
  return issue_with(config, requests, jobs, callbacks,
                    {[&publishers](const IssueOptions& options) { return publishers.find(options); }, Budgets{}});
}

}  // namespace countersign::acme
