// Tells the caller about each step of one certificate's run when it is done, with the time it took.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "acme/issue/issue.hpp"

namespace countersign::acme {

class Steps {
 public:
  // `speaking`: the runs of one issue() speak one at a time.
  Steps(const IssueCallbacks& callbacks, std::size_t item, std::mutex& speaking)
      : callbacks_(callbacks), item_(item), speaking_(speaking) {}

  // A step takes from the end of the one before.
  void done(std::string name, std::string detail) {
    auto now = Clock::now();
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - since_);
    since_ = now;
    tell({std::move(name), std::move(detail), took});
  }
  // A step inside another one, whose own time goes on.
  void done_meanwhile(std::string name, std::string detail, std::chrono::steady_clock::time_point since) {
    tell({std::move(name), std::move(detail),
          std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - since)});
  }
  void warn(const std::string& text) {
    warnings_.push_back(text);
    std::lock_guard lock(speaking_);
    if (callbacks_.on_warning) callbacks_.on_warning(item_, text);
  }
  void tried(const Attempt& attempt) const {
    std::lock_guard lock(speaking_);
    if (callbacks_.on_attempt) callbacks_.on_attempt(item_, attempt);
  }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  using Clock = std::chrono::steady_clock;
  void tell(const Step& step) const {
    std::lock_guard lock(speaking_);
    if (callbacks_.on_step) callbacks_.on_step(item_, step);
  }

  const IssueCallbacks& callbacks_;
  std::size_t item_;
  std::mutex& speaking_;
  Clock::time_point since_ = Clock::now();
  std::vector<std::string> warnings_;
};

// "1 name", "2 names".
[[nodiscard]] inline std::string counted(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace countersign::acme
