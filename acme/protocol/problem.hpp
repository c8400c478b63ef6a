// Problem documents: how a CA says no (RFC 8555 §6.7, RFC 7807).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/protocol/json.hpp"
#include "acme/transport/http.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct Subproblem {
  std::string type;
  std::string detail;
  std::string identifier;  // the name it is about
};

struct Problem {
  std::string type;  // as sent; "" when the answer had none (a proxy's page)
  std::string title;
  std::string detail;
  std::string instance;
  std::vector<Subproblem> subproblems;
  long status = 0;
  std::optional<std::chrono::milliseconds> retry_after;
  std::string help_url;                 // Link rel="help" (RFC 8555 §6.6)
  std::string terms_url;                // Link rel="terms-of-service" (RFC 8555 §7.3.3)
  std::vector<std::string> algorithms;  // of badSignatureAlgorithm: what the CA takes (RFC 8555 §6.2)
  bool of_resource = false;             // read from an order or a challenge: it is about a name, not about a request
  std::string location;                 // of a 409: whose the thing already is (RFC 8555 §7.3.5)

  // is("badNonce"): the type without its "urn:ietf:params:acme:error:".
  [[nodiscard]] bool is(std::string_view name) const;
  // What the CA said: type, detail, status, and each subproblem with its name. One line, fit for a terminal.
  [[nodiscard]] std::string summary() const;
  // What a person can do about it; "" when nobody can say.
  [[nodiscard]] std::string advice() const;
  // summary(), advice(), when to try again, and where to read more, in one line.
  [[nodiscard]] std::string describe() const;
  // When the CA wants to hear of this again, as it said in Retry-After or in its words ("retry after 2026-01-01
  // 00:00:00 UTC"); the later one, because Retry-After is cut at a week. `now`: when the answer came.
  [[nodiscard]] std::optional<base::WallTime> try_again(base::WallTime now) const;
  // NotFound for accountDoesNotExist; Unavailable for rate limits, 5xx and serverInternal; else Refused.
  [[nodiscard]] base::ErrorCode code() const;
};

// Never fails: what is not a problem document is quoted.
[[nodiscard]] Problem problem_of(const HttpResponse& response);
// The `error` member of an order or a challenge. Lenient: a broken one still says what it can.
[[nodiscard]] Problem problem_of(const JsonObject& object);

}  // namespace countersign::acme
