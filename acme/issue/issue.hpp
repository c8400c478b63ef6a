// Certificates, from names to files: the order loop of RFC 8555 §7.4 with everything around it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "acme/issue/attempt.hpp"
#include "acme/issue/identifier.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// RunHooks: left alone as long as it has not expired; only the deploy hooks that are still due run.
enum class WhenValid { LeaveAlone, IssueAgain, RunHooks };
// What a past failure does (state/failure_memory.hpp): a person who has mended something tries at once, a timer waits.
// The CA's own "not before" holds for both; None is for who knows better (--force).
// All also says that nobody is there: what is wrong with an option is news to somebody then.
enum class Holds { None, CaOnly, All };
enum class Rehearsal { No, Yes };  // Yes: everything but the order

struct IssueRequest {
  std::vector<DnsIdentifier> identifiers;  // with a CSR: empty (its names), or just its names
  std::string cert_name;                   // "" = the first name without `*.`
  bool cert_name_given = false;
  WhenValid when_valid = WhenValid::LeaveAlone;  // IssueAgain = --force
  Holds holds = Holds::CaOnly;
  Rehearsal rehearsal = Rehearsal::No;
  // What is absent is as the certificate's [[certificate]] says, else as CERT.json has it, else as [acme] says.
  conf::CertificateOptions options;
};

// What a person or a program is told while it runs.
struct Step {
  std::string name;    // account, delegation, order, publish, fence, trigger, validate, finalize,
                       // download, install, deploy, cleanup
  std::string detail;  // one line for people
  std::chrono::microseconds took{};
};

struct IssueOutcome {
  bool left_alone = false;  // a valid certificate with these names was there
  bool rehearsed = false;   // nothing was ordered
  std::string cert_name;
  std::filesystem::path directory;  // STATE/acme/live/CERT
  std::vector<std::string> files;   // in `directory`
  std::vector<std::string> names;
  std::vector<std::string> dropped;  // by --drop-failed
  std::string ca;                    // directory URL
  std::string not_after;             // RFC 3339
  std::string issuer;
  std::vector<std::string> warnings;
  std::string hook_failure;  // of a deploy hook; the certificate is installed all the same
};

// `item`: the request's index. Called one at a time, from any thread.
struct IssueCallbacks {
  std::function<void(std::size_t item, const Step&)> on_step;  // each step when it is done
  std::function<void(std::size_t item, const std::string&)> on_warning;
  std::function<void(std::size_t item, const Attempt&)> on_attempt;  // after each order, at each CA that was tried
  std::function<void(std::size_t item, const base::Result<IssueOutcome>&)> on_done;
};

// Issues one certificate for each request, `jobs` (1 to 64) at a time. Those of one CA share its account, nonces and
// connections. All values of all requests are published before the first challenge is triggered; what fails stops
// nothing else. On every path, failure and interruption included, published values are removed again. What fails once
// the CA has its request leaves order and key for the next run with these names, which goes on there. acme.pre_hooks
// run once, before the first order; deploy hooks after each issuance, failure hooks after each failure. Errors, for
// each: Usage (bad request or configuration; another set of names under an existing CERT), Exists (another run holds
// the lock), NotFound (delegation missing: says the record to add; nothing was ordered), Interrupted, and what CA,
// daemon or disk said.
[[nodiscard]] std::vector<base::Result<IssueOutcome>> issue(const conf::Config& config,
                                                            const std::vector<IssueRequest>& requests, unsigned jobs,
                                                            const IssueCallbacks& callbacks);

}  // namespace countersign::acme
