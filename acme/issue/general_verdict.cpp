#include "acme/issue/general_verdict.hpp"

#include "acme/issue/cause.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

constexpr std::size_t kQuoted = 200;  // octets of a CA's words within ours

std::string time_text(const Attempt& attempt, const Problem& problem) {
  if (attempt.try_again) return "not before " + base::format_rfc3339(*attempt.try_again);
  if (auto said = problem.try_again(base::SystemClock().wall())) return "not before " + base::format_rfc3339(*said);
  return "later";
}

// What to do differs; a new account is no remedy for terms that changed, nor for a contact.
std::string account_verdict(Problem problem) {
  problem.of_resource = false;  // about the account, wherever it stands
  std::string text = "the CA does not accept the account: ";
  if (problem.is("userActionRequired") && !problem.instance.empty()) {
    text += fmt::format("visit {} and do what it asks for", base::printable(problem.instance, kQuoted));
  } else {
    std::string advice = problem.advice();
    text += advice.empty() ? "see `countersign account show`" : advice;
  }
  if (!problem.terms_url.empty()) text += "; terms of service: " + base::printable(problem.terms_url, kQuoted);
  return text;
}

}  // namespace

std::string general_verdict(const Attempt& attempt, const Problem& problem, const std::vector<std::string>& names) {
  switch (cause_of(problem, names)) {
    case Cause::RateLimited:
      return fmt::format(
          "the CA's rate limit is reached: try again {}; more tries only count against it, and its "
          "staging directory has wider limits",
          time_text(attempt, problem));
    case Cause::Busy:
      return fmt::format(
          "the CA has trouble of its own: nothing is wrong here; try again {}, or name a second CA in "
          "acme.fallback_ca",
          time_text(attempt, problem));
    case Cause::Rejected:
      return "the CA issues no certificates for this name, by its own policy; use another CA, or leave the name out";
    case Cause::Account:
      return account_verdict(problem);
    case Cause::NoSuchName:
    case Cause::NoRecord:
    case Cause::OtherValue:
    case Cause::ServFail:
    case Cause::Refused:
    case Cause::Timeout:
    case Cause::Network:
    case Cause::Dnssec:
    case Cause::Caa:
    case Cause::CaaLookup:
    case Cause::Persist:
    case Cause::Unknown:
      return "";
  }
  return "";
}

}  // namespace countersign::acme
