#include "acme/issue/verdict.hpp"

#include "acme/issue/cause.hpp"
#include "acme/issue/evidence.hpp"
#include "acme/issue/general_verdict.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

constexpr std::string_view kAccountLabelShape = "_aaaaaaaaaaaaaaaa";  // draft-ietf-acme-dns-account-label: 16 of base32
constexpr std::size_t kQuoted = 120;                                  // octets of a CA's words within ours

std::string base_text(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

// Where the CA looks, in words fit for a record.
std::string challenge_text(const NameAttempt& name) {
  if (!name.challenge_name.is_root()) return name.challenge_name.text();
  std::string base = base_text(name.name);
  if (has(lowered(name.value), "accounturi=")) return "_validation-persist." + base;
  std::string_view label = name.target.first_label();
  if (label.size() == kAccountLabelShape.size() && label.front() == '_' && label != "_acme-challenge")
    return fmt::format("{}._acme-challenge.{}", label, base);
  return "_acme-challenge." + base;
}

// What the CA may speak of.
std::vector<std::string> names_of(const NameAttempt& name) {
  return {base_text(name.name), challenge_text(name), name.target.text()};
}

// One name's failure, told from all that is known about it.
class Judge {
 public:
  Judge(const Attempt& attempt, const NameAttempt& name, const Problem& problem)
      : attempt_(attempt),
        name_(name),
        problem_(problem),
        evidence_(attempt, name),
        detail_(problem.detail),
        challenge_(challenge_text(name)),
        target_(name.target.text()) {}

  [[nodiscard]] std::string verdict() const;

 private:
  [[nodiscard]] std::string name_missing(std::string_view what) const;
  [[nodiscard]] std::string name_missing_unseen(std::string_view what) const;
  [[nodiscard]] std::string other_value() const;
  [[nodiscard]] std::string other_value_unseen(const std::string& shown) const;
  [[nodiscard]] std::string unreachable(std::string_view what) const;
  [[nodiscard]] std::string refused() const;
  [[nodiscard]] std::string dnssec() const;
  [[nodiscard]] std::string caa() const;
  [[nodiscard]] std::string caa_lookup() const;
  [[nodiscard]] std::string unknown() const;
  [[nodiscard]] std::optional<std::string> wrong_answer() const;
  [[nodiscard]] std::optional<std::string> one_place() const;

  [[nodiscard]] bool is_direct() const { return challenge_ == target_; }
  [[nodiscard]] bool has_target() const { return !name_.target.is_root(); }
  [[nodiscard]] std::string record() const { return fmt::format("{}. IN CNAME {}.", challenge_, target_); }
  [[nodiscard]] bool of_secondary() const {
    return has_any(words_of(problem_, names_of(name_)), {"secondary validation", "perspective", "remote va"});
  }
  // The daemon may be anywhere where nobody sees its queries.
  [[nodiscard]] std::string_view server() const { return evidence_.watched ? "this server" : "its server"; }

  const Attempt& attempt_;
  const NameAttempt& name_;
  const Problem& problem_;
  Evidence evidence_;
  std::string detail_, challenge_, target_;
};

// Our own daemon was asked and did not give the value: nothing else can be to blame.
std::optional<std::string> Judge::wrong_answer() const {
  if (evidence_.txt == evidence_.right) return std::nullopt;
  if (evidence_.right > 0 && evidence_.refused == 0 && evidence_.failed == 0)
    return fmt::format(
        "the CA asked {} times for {}, and got the value only {}: something took it away meanwhile; see that no other "
        "program or run changes this name at the daemon, and that its lifetime is long enough",
        evidence_.txt, target_, evidence_.right == 1 ? "once" : fmt::format("{} times", evidence_.right));
  if (evidence_.refused > 0)
    return fmt::format(
        "the daemon refused the CA's queries for {}, because it is in none of its zones: see that the [[zone]] is "
        "still "
        "in the configuration",
        target_);
  if (evidence_.failed > 0)
    return fmt::format("the daemon answered the CA's queries for {} with {}: see its log", target_, evidence_.rcodes);
  return fmt::format(
      "the CA asked for {}, but the value was not there at that time ({}): something removed it early: another program "
      "at the daemon, a cleanup hook, or a lifetime that is too short",
      target_, evidence_.rcodes);
}

// Public CAs ask from several networks, so that a single one means that the others do not get through. An own CA in a
// private network has no others.
std::optional<std::string> Judge::one_place() const {
  if (evidence_.right == 0 || evidence_.places.size() != 1 || !evidence_.public_clients) return std::nullopt;
  return fmt::format(
      "asked from one place only ({}), and answered correctly there: something blocks the CA's other networks; see "
      "that "
      "no firewall on the way to port 53 (UDP and TCP) of the name servers limits countries, networks or rates",
      evidence_.places.front());
}

// Who asked is not known, so that neither the way to the server nor the server can be ruled out.
std::string Judge::name_missing_unseen(std::string_view what) const {
  if (is_direct() || !has_target())
    return fmt::format(
        "the CA says {} for {}, and its queries are not seen from here: either another name server of the zone "
        "answers, or the value was not there when the CA asked; see that every server in the zone's NS records gives "
        "the value, and that no other program removes it",
        what, challenge_);
  return fmt::format(
      "the CA says {} for {}, and its queries are not seen from here: either the CNAME is missing, or not visible "
      "everywhere yet (all name servers of the domain must have `{}`), or the value was not at {} when the CA asked "
      "(every server in the NS records of its zone must give it, and no other program remove it)",
      what, challenge_, record(), target_);
}

std::string Judge::name_missing(std::string_view what) const {
  if (!evidence_.watched) return name_missing_unseen(what);
  if (auto wrong = wrong_answer()) return *wrong;
  if (is_direct()) {
    if (evidence_.none())
      return fmt::format(
          "no query for {} arrived, and the CA says {}: the zone is not delegated to this server everywhere; see that "
          "all name servers of the parent zone have its NS records",
          target_, what);
    return fmt::format(
        "{}the CA says {} for {}: another name server of the zone answers differently; see that its NS records lead to "
        "this server only, or to secondaries that follow it",
        evidence_.answered_text(), what, challenge_);
  }
  if (evidence_.right > 0)
    return fmt::format(
        "{}the CA says {}: the CNAME at {} is missing on some of the domain's name servers; each must have `{}`",
        evidence_.answered_text(), what, challenge_, record());
  std::string arrived = evidence_.none() ? fmt::format("no query for {} arrived, and ", target_) : "";
  return fmt::format(
      "{}the CA says {}: the CNAME at {} is missing, or not visible everywhere yet; all name servers of the domain "
      "must "
      "have `{}`",
      arrived, what, challenge_, record());
}

// The value in boulder's `Incorrect TXT record "..." (and 1 more) found at ...`.
std::string found_value(const std::string& detail) {
  std::size_t at = lowered(detail).find("incorrect txt record \"");
  if (at == std::string::npos) return "";
  at += std::string_view("incorrect txt record \"").size();
  std::size_t end = detail.find('"', at);
  return end == std::string::npos ? "" : detail.substr(at, end - at);
}

std::string Judge::other_value_unseen(const std::string& shown) const {
  if (is_direct() || !has_target())
    return fmt::format(
        "the CA read {} at {}, and its queries are not seen from here: either another name server of the zone answers, "
        "or an old answer; see that every server in the zone's NS records gives the value that was published",
        shown, challenge_);
  return fmt::format(
      "the CA read {} at {}, and its queries are not seen from here: either there are TXT records instead of the CNAME "
      "(remove them, and have `{}`), or a name server of {} gives an old answer (every server in the NS records of its "
      "zone must give the value that was published)",
      shown, challenge_, record(), target_);
}

std::string Judge::other_value() const {
  std::string found = found_value(detail_);
  if (!found.empty() && found == name_.value)
    return fmt::format(
        "the CA read the value that was published, and expects another one: another client works for the same name "
        "with the same account at this moment, or the account's key was changed elsewhere; run it again alone");
  std::string shown = found.empty() ? "another value" : fmt::format("\"{}\"", base::printable(found, kQuoted));
  if (!evidence_.watched) return other_value_unseen(shown);
  if (auto wrong = wrong_answer()) return *wrong;
  if (evidence_.right == 0) {
    std::string arrived = evidence_.none() ? fmt::format(", and no query for {} arrived", target_) : "";
    std::string remedy = is_direct()
                             ? std::string("see that the zone's NS records lead to this server only")
                             : fmt::format("remove the TXT records at {} and have `{}` instead", challenge_, record());
    return fmt::format("the CA read {} at {}{}: it finds the record somewhere else; {}", shown, challenge_, arrived,
                       remedy);
  }
  return fmt::format(
      "{}the CA read {} at {}: one of the name servers of {} gives an old answer; see that its NS records lead to this "
      "server only, or to secondaries that follow it at once",
      evidence_.answered_text(), shown, challenge_, is_direct() ? "the zone" : target_);
}

// "that it failed" -> "it failed"
std::string_view bare(std::string_view what) {
  return what.starts_with("that ") ? what.substr(5) : what;
}

std::string Judge::unreachable(std::string_view what) const {
  if (auto wrong = wrong_answer()) return *wrong;
  if (evidence_.none())
    return fmt::format(
        "no query for {0} arrived{1}: {2}the zone of {0} is delegated elsewhere, or a firewall keeps the CA out; see "
        "that its NS records and their addresses are this server's, and that port 53 is open over UDP and TCP",
        target_, what.empty() ? "" : fmt::format(", and the CA says {}", what),
        is_direct() ? "" : fmt::format("the name servers that have {} do not answer, ", challenge_));
  if (auto place = one_place()) return *place;
  if (of_secondary())
    return fmt::format(
        "{}some of the CA's networks fail ({}): something blocks them; see that no firewall on the way to port 53 (UDP "
        "and TCP) of the name servers limits countries, networks or rates",
        evidence_.answered_text(), bare(what));
  if (evidence_.right > 0)
    return fmt::format(
        "{}the CA says {}: the answers do not get back to it, or another name server for {} or {} does not answer; "
        "see that every address in their NS records answers over UDP and TCP on port 53",
        evidence_.answered_text(), what, challenge_, target_);
  return fmt::format(
      "the CA says {}: the name servers for {} or {} do not answer it; see that every address in their NS records "
      "answers over UDP and TCP on port 53, also from other networks",
      what, challenge_, target_);
}

std::string Judge::refused() const {
  if (auto wrong = wrong_answer()) return *wrong;
  return fmt::format(
      "{}the CA's resolver was refused an answer (REFUSED): a name server for {} or {} does not know "
      "the zone; take it out of the NS records or have it serve the zone",
      evidence_.answered_text(), challenge_, target_);
}

std::string Judge::dnssec() const {
  return fmt::format(
      "{}DNSSEC validation fails at the CA: repair the signatures or the DS record of the zone that holds {}{}",
      evidence_.answered_text(), challenge_,
      is_direct() || !has_target()
          ? fmt::format("; {} does not sign, so that the zone must have no DS record in the parent zone", server())
          : fmt::format("; the zone of {} must have no DS record in its parent zone, because {} does not sign", target_,
                        server()));
}

// The domain that the CA is called by in CAA records; "" when it is not known.
std::string_view caa_domain(const std::string& ca) {
  struct Known {
    std::string_view host, domain;
  };
  for (const Known& known :
       {Known{"letsencrypt.org", "letsencrypt.org"}, Known{"zerossl.com", "sectigo.com"}, Known{"pki.goog", "pki.goog"},
        Known{"buypass.com", "buypass.com"}, Known{"ssl.com", "ssl.com"}, Known{"digicert.com", "digicert.com"}})
    if (has(ca, known.host)) return known.domain;
  return {};
}

// boulder: "CAA record for example.com prevents issuance", "... looking up CAA for example.com".
std::string caa_name(const std::string& detail, const std::string& otherwise) {
  std::size_t at = lowered(detail).find("caa record for ");
  std::size_t length = std::string_view("caa record for ").size();
  if (at == std::string::npos) {
    at = lowered(detail).find("looking up caa for ");
    length = std::string_view("looking up caa for ").size();
  }
  if (at == std::string::npos) return otherwise;
  std::string rest = detail.substr(at + length);
  return base::printable(rest.substr(0, rest.find_first_of(" :;,\"")), kQuoted);
}

std::string Judge::caa() const {
  std::string base = base_text(name_.name);
  std::string_view domain = caa_domain(attempt_.ca);
  std::string_view tag = name_.name.starts_with("*.") ? "issuewild" : "issue";
  std::string remedy =
      domain.empty() ? "add one for it" : fmt::format("add `{}. IN CAA 0 {} \"{}\"`", base, tag, domain);
  return fmt::format(
      "the CAA records of {} do not allow this CA, account or challenge type; {} (`countersign account show --caa` "
      "prints the line), or use a CA that they allow",
      caa_name(detail_, base), remedy);
}

std::string Judge::caa_lookup() const {
  std::string of = caa_name(detail_, base_text(name_.name));
  return fmt::format(
      "the challenge is not to blame: the name servers of {} give the CA no proper answer for CAA records; they must "
      "answer NOERROR, also when there are none, over UDP and TCP, and from every network",
      of);
}

// The CA's words are not known; what was seen may still say it.
std::string Judge::unknown() const {
  if (auto wrong = wrong_answer()) return *wrong;
  if (!has_target()) return "";
  if (evidence_.none()) return unreachable("");
  if (auto place = one_place()) return *place;
  if (evidence_.right > 0)
    return fmt::format("{}what the CA says has another reason than the DNS of this server; see its own words",
                       evidence_.answered_text());
  return "";
}

std::string Judge::verdict() const {
  switch (cause_of(problem_, names_of(name_))) {
    case Cause::NoSuchName:
      return name_missing("NXDOMAIN");
    case Cause::NoRecord:
      return name_missing("that there is no TXT record");
    case Cause::OtherValue:
      return other_value();
    case Cause::ServFail:
      return unreachable("SERVFAIL");
    case Cause::Timeout:
      return unreachable("that its query timed out");
    case Cause::Network:
      return unreachable("that the network failed");
    case Cause::Refused:
      return refused();
    case Cause::Dnssec:
      return dnssec();
    case Cause::Caa:
      return caa();
    case Cause::CaaLookup:
      return caa_lookup();
    case Cause::Persist:
      return fmt::format(
          "the standing record at {} does not suit the CA: it must name the CA's issuer and this account, for a "
          "wildcard "
          "with policy=wildcard, and must not have ended; remove records of other accounts there and run it again",
          challenge_);
    case Cause::RateLimited:
    case Cause::Busy:
    case Cause::Rejected:
    case Cause::Account:
      return "";  // not of the name: order_verdict()
    case Cause::Unknown:
      return unknown();
  }
  return "";
}

// The order's subproblem about this name (RFC 8555 §6.7.1), as a problem of its own.
std::optional<Problem> subproblem_of(const Attempt& attempt, const NameAttempt& name) {
  if (!attempt.problem) return std::nullopt;
  for (const Subproblem& sub : attempt.problem->subproblems) {
    if (lowered(sub.identifier) != name.name && lowered(sub.identifier) != base_text(name.name)) continue;
    Problem problem;
    problem.type = sub.type;
    problem.detail = sub.detail;
    return problem;
  }
  return std::nullopt;
}

// The time ran out before the CA decided.
std::string undecided(const Attempt& attempt, const NameAttempt& name) {
  if (attempt.problem || name.target.is_root() || name.value.empty()) return "";
  Evidence evidence(attempt, name);
  if (evidence.right > 0)
    return fmt::format("{}the CA has not decided in the time given: nothing is wrong here; try again later",
                       evidence.answered_text());
  Problem nothing;
  return Judge(attempt, name, nothing).verdict();
}

}  // namespace

std::string verdict_of(const Attempt& attempt) {
  if (!attempt.problem) return "";
  std::vector<std::string> names;
  for (const NameAttempt& name : attempt.names)
    for (std::string& text : names_of(name)) names.push_back(std::move(text));
  return general_verdict(attempt, *attempt.problem, names);
}

std::string verdict_of(const Attempt& attempt, const NameAttempt& name) {
  if (attempt.succeeded || name.status == "valid") return "";
  std::optional<Problem> problem = name.problem ? name.problem : subproblem_of(attempt, name);
  if (!problem) return undecided(attempt, name);
  std::string general = general_verdict(attempt, *problem, names_of(name));
  return general.empty() ? Judge(attempt, name, *problem).verdict() : general;
}

}  // namespace countersign::acme
