// Authorizations and their challenges (RFC 8555 §7.1.4, §7.5, §8).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/protocol/problem.hpp"
#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

enum class AuthorizationStatus { Pending, Valid, Invalid, Deactivated, Expired, Revoked };

struct Challenge {
  std::string url;
  std::string type;
  std::string status;
  std::string token;                             // "" where the type has none
  std::vector<std::string> issuer_domain_names;  // dns-persist-01: one of them goes into the record
  std::string account_uri;                       // dns-persist-01: "" = the account's URL
  std::optional<Problem> error;
};

struct Authorization {
  std::string url;
  std::string expires;  // RFC 3339; "" = not said
  AuthorizationStatus status = AuthorizationStatus::Pending;
  std::string identifier;  // without `*.`
  bool wildcard = false;
  std::vector<Challenge> challenges;

  [[nodiscard]] std::string name() const;  // as in the order, with `*.`; fit for a terminal
  [[nodiscard]] const Challenge* find(std::string_view type) const;
  // Why it failed: the errors of its challenges. "" when it says nothing.
  [[nodiscard]] std::string failure() const;
};

// All at once, in the order of the URLs. Error: the first request's that failed.
[[nodiscard]] base::Result<std::vector<Authorization>> fetch_authorizations(Session& session,
                                                                            const std::vector<std::string>& urls);
// Tells the CA that each challenge can be validated (RFC 8555 §7.5.1), all at once. One result each.
[[nodiscard]] std::vector<base::Result<void>> trigger_challenges(Session& session,
                                                                 const std::vector<std::string>& urls);

// RFC 8555 §7.5.2: gives up what is pending, all at once. Only politeness: no error.
void deactivate_authorizations(Session& session, const std::vector<std::string>& urls);

// RFC 8555 §8.1. Error: Protocol, when the token is not base64url.
[[nodiscard]] base::Result<std::string> key_authorization(const std::string& token, const std::string& thumbprint);
// The TXT value of dns-01 (RFC 8555 §8.4): 43 characters.
[[nodiscard]] std::string dns01_value(const std::string& key_authorization);

}  // namespace countersign::acme
