// Tells the caller about each step of a run when it is done, with the time it took.
#pragma once

#include <chrono>
#include <string>

#include "acme/issue/issue.hpp"

namespace countersign::acme {

class Steps {
 public:
  explicit Steps(const IssueCallbacks& callbacks) : callbacks_(callbacks) {}

  // A step takes from the end of the one before.
  void done(std::string name, std::string detail) {
    auto now = Clock::now();
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - since_);
    since_ = now;
    if (callbacks_.on_step) callbacks_.on_step({std::move(name), std::move(detail), took});
  }
  // A step inside another one, whose own time goes on.
  void done_meanwhile(std::string name, std::string detail, std::chrono::steady_clock::time_point since) {
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - since);
    if (callbacks_.on_step) callbacks_.on_step({std::move(name), std::move(detail), took});
  }
  void warn(const std::string& text) {
    warnings_.push_back(text);
    if (callbacks_.on_warning) callbacks_.on_warning(text);
  }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  using Clock = std::chrono::steady_clock;
  const IssueCallbacks& callbacks_;
  Clock::time_point since_ = Clock::now();
  std::vector<std::string> warnings_;
};

// "1 name", "2 names".
[[nodiscard]] inline std::string counted(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace countersign::acme
