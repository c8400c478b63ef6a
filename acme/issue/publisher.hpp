// Where challenge values are put while a CA looks for them: the daemon behind the control socket, or a test's own.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "acme/check/delegation.hpp"
#include "acme/control/daemon.hpp"
#include "acme/issue/identifier.hpp"
#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class Publisher {
 public:
  virtual ~Publisher() = default;

  // Where each name's value belongs, in the order of `identifiers`; a Delegation without `zone` is a missing one.
  [[nodiscard]] virtual base::Result<std::vector<Delegation>> locate(const std::vector<DnsIdentifier>& identifiers) = 0;
  // Durable and served when it returns. On an error some may be served: withdraw() all.
  [[nodiscard]] virtual base::Result<void> publish(const std::vector<TxtValue>& values) = 0;
  // Every name server of `zones` answers with the values. Gives warnings for a person.
  [[nodiscard]] virtual base::Result<std::vector<std::string>> await_visibility(
      const std::vector<TxtValue>& values, const std::vector<base::Name>& zones) = 0;
  // From here on await_questions() hears who asks.
  virtual void watch_questions() = 0;
  // The names that were asked for since the last call; waits up to `timeout` for the first. A hint: may miss some.
  [[nodiscard]] virtual std::vector<base::Name> await_questions(std::chrono::milliseconds timeout) = 0;
  // Withdrawing what is not there is no error.
  [[nodiscard]] virtual base::Result<void> withdraw(const std::vector<TxtValue>& values) = 0;
};

}  // namespace countersign::acme
