// Where challenge values are put while a CA looks for them: the daemon behind the control socket, a remote daemon's
// API, or a test's own. Thread: any; several issuances share one.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "acme/check/delegation.hpp"
#include "acme/control/daemon.hpp"
#include "acme/control/question_log.hpp"
#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class Publisher {
 public:
  virtual ~Publisher() = default;

  // Where each place's value belongs, in the order of `places`; a Delegation without `zone` is a missing one.
  [[nodiscard]] virtual base::Result<std::vector<Delegation>> locate(const std::vector<ChallengePlace>& places) = 0;
  // Durable and served when it returns. `lifetime` absent: the daemon's own; 0: for ever. On an error some may be
  // served: withdraw() all.
  [[nodiscard]] virtual base::Result<void> publish(const std::vector<TxtValue>& values,
                                                   std::optional<std::chrono::milliseconds> lifetime) = 0;
  // Every name server of `zones` answers with the values. Gives warnings for a person.
  [[nodiscard]] virtual base::Result<std::vector<std::string>> await_visibility(
      const std::vector<TxtValue>& values, const std::vector<base::Name>& zones) = 0;

  // From this mark on it is known who asks; absent where that cannot be seen.
  [[nodiscard]] virtual std::optional<QuestionLog::Mark> watch_questions() = 0;
  // Erases from `unasked` what was asked for after `mark`; waits up to `timeout` until nothing is left: true then.
  // A hint: may miss some.
  [[nodiscard]] virtual bool await_questions(std::optional<QuestionLog::Mark> mark, std::set<base::Name>& unasked,
                                             std::chrono::milliseconds timeout) = 0;
  // Who asked for `name` after `mark`, in the order of time.
  [[nodiscard]] virtual std::vector<SeenQuery> questions(std::optional<QuestionLog::Mark> mark,
                                                         const base::Name& name) = 0;

  // False where nobody tells who asks, or no longer: what is not known then did not fail to happen.
  [[nodiscard]] virtual bool sees_questions() = 0;

  // Withdrawing what is not there is no error.
  [[nodiscard]] virtual base::Result<void> withdraw(const std::vector<TxtValue>& values) = 0;
};

}  // namespace countersign::acme
