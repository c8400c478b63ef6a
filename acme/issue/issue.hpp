// One certificate, from names to files: the order loop of RFC 8555 §7.4 with everything around it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "acme/issue/identifier.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

enum class WhenValid { LeaveAlone, IssueAgain };

struct IssueRequest {
  std::vector<DnsIdentifier> identifiers;
  std::string cert_name;  // "" = the first name without `*.`
  bool cert_name_given = false;
  WhenValid when_valid = WhenValid::LeaveAlone;  // IssueAgain = --force
};

// What a person or a program is told while it runs.
struct Step {
  std::string name;    // account, delegation, order, publish, fence, trigger, validate, finalize,
                       // download, install, cleanup
  std::string detail;  // one line for people
  std::chrono::microseconds took{};
};

struct IssueOutcome {
  bool left_alone = false;  // a valid certificate with these names was there
  std::string cert_name;
  std::filesystem::path directory;  // STATE/acme/live/CERT
  std::vector<std::string> names;
  std::string not_after;  // RFC 3339
  std::string issuer;
  std::vector<std::string> warnings;
};

struct IssueCallbacks {
  std::function<void(const Step&)> on_step;  // each step when it is done
  std::function<void(const std::string&)> on_warning;
};

// Blocking and straight-line. On every path, failure and interruption included, published values are removed again.
// What fails once the CA has its request leaves order and key for the next run with these names, which goes on there.
// Errors: Usage (bad request or configuration; another set of names under an existing CERT), Exists (another run holds
// the lock), NotFound (delegation missing: says the record to add; nothing was ordered), Interrupted, and what CA,
// daemon or disk said.
[[nodiscard]] base::Result<IssueOutcome> issue(const conf::Config& config, const IssueRequest& request,
                                               const IssueCallbacks& callbacks);

}  // namespace countersign::acme
