// An attempt in plain words: what its queries and the CA's answers say together.
#pragma once

#include <string>
#include <vector>

#include "acme/issue/attempt.hpp"

namespace countersign::acme {

// One line for a person, about one name: what is probably wrong and what to do; "" when it went well. Among them:
// no query arrived (delegation or firewall), asked from one place only (something blocks the others), answered
// correctly but the CA says NXDOMAIN (the CNAME at ... is missing), the CA saw another value, CAA, DNSSEC, the account.
[[nodiscard]] std::string verdict_of(const Attempt& attempt, const NameAttempt& name);
// Of the order as a whole: rate limits, the account, what the CA does not issue; "" when there is nothing to say.
[[nodiscard]] std::string verdict_of(const Attempt& attempt);
// The queries of all names in time order, one line each: "+12 ms  192.0.2.7 udp  a.example.net. TXT  NOERROR, 2
// values". At most `limit` lines, then "and N more".
[[nodiscard]] std::vector<std::string> timeline_of(const Attempt& attempt, std::size_t limit);
// The same as a JSON document, for --json: {"ca","succeeded","watched","names":[{"name","target","status","verdict",
// "problem","queries":[...]}],"verdict","problem","try_again"}.
[[nodiscard]] std::string attempt_document(const Attempt& attempt);

}  // namespace countersign::acme
