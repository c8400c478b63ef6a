// What a person, or a program, is told about issuances while they run and when they are done: of `issue` and `renew`.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "acme/commands/commands.hpp"
#include "acme/issue/issue.hpp"

namespace countersign::acme {

class IssueReport {
 public:
  // `titles`: of each request, in front of its lines; "" for the only one, whose steps are shown.
  IssueReport(const Context& context, std::vector<std::string> titles);

  // Valid as long as this.
  [[nodiscard]] IssueCallbacks callbacks();

  // {"status","certificate","steps","warnings","attempts","error"}; status: issued, unchanged, rehearsed, failed.
  [[nodiscard]] boost::json::object document(std::size_t item, const base::Result<IssueOutcome>& result) const;
  // Done, Failed (also when a deploy hook failed), SomeFailed, Usage or Interrupted.
  [[nodiscard]] ExitStatus exit_status_of(const std::vector<base::Result<IssueOutcome>>& results) const;
  // The last lines, and with --json {"status","issued","unchanged","failed","certificates":[...]}.
  [[nodiscard]] ExitStatus summarise(const std::vector<base::Result<IssueOutcome>>& results) const;

 private:
  struct Item {
    std::string title;
    std::chrono::steady_clock::time_point began;
    boost::json::array steps, warnings, attempts;
  };
  void tell_step(std::size_t item, const Step& step);
  void tell_attempt(std::size_t item, const Attempt& attempt);
  void tell_done(std::size_t item, const base::Result<IssueOutcome>& result) const;
  void tell_outcome(const IssueOutcome& outcome, std::chrono::microseconds took) const;
  [[nodiscard]] std::string shortened(std::string text) const;
  [[nodiscard]] std::string before(std::size_t item) const;

  const Context& context_;
  std::vector<Item> items_;
};

}  // namespace countersign::acme
