// What must not be claimed: reasons that nobody saw, words that are a domain's, remedies that are none.
#include "tests/unit/acme/verdict_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::tests;

TEST_CASE("what nobody watched has several possible reasons, and none is left out", "[acme][verdict]") {
  for (const Problem& why : {kNxDomain, kNoTxt}) {
    std::string said = verdict(why, kNobody, false);
    for (const char* part : {"either the CNAME is missing", "or the value was not at www.example.com.auth.example.net"})
      CHECK(contains(said, part));
  }
  std::string other = verdict(kIncorrect, kNobody, false);
  for (const char* part : {"\"old-value\"", "instead of the CNAME", "gives an old answer", kCname.c_str()})
    CHECK(contains(other, part));
  for (const Problem& why : {kNxDomain, kNoTxt, kIncorrect, kTimedOut, kServerFailure,
                             problem("dns", "DNS problem: DNSSEC: bogus: validation failure")}) {
    NameAttempt own = failed(why);
    own.target = name("_acme-challenge.www.example.com");
    Attempt attempt = attempt_of({own});
    attempt.watched = false;
    std::string said = verdict_of(attempt, attempt.names[0]);
    INFO(said);
    CHECK_FALSE(said.empty());
    CHECK_FALSE(contains(said, "this server"));
    CHECK_FALSE(contains(said, "CNAME"));
  }
}

TEST_CASE("the words in a domain's name are no reason", "[acme][verdict]") {
  auto said_of = [](const std::string& domain, Problem why) {
    NameAttempt own = failed(std::nullopt);
    own.name = domain;
    own.challenge_name = name("_acme-challenge." + domain);
    std::size_t at = 0;
    while ((at = why.detail.find("$")) != std::string::npos) why.detail.replace(at, 1, domain);
    own.problem = why;
    Attempt attempt = attempt_of({own});
    attempt.problem = why;
    CHECK(verdict_of(attempt) == "");
    return verdict_of(attempt, attempt.names[0]);
  };
  for (const char* domain : {"dnssec-lab.example", "bogus.example", "network.example", "timeout.example",
                             "account.example.com", "servfail.example", "perspective.example", "bogus"}) {
    INFO(domain);
    CHECK(contains(said_of(domain, problem("dns",
                                           "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.$ - "
                                           "check that a DNS record exists for this domain; ns1.dnssec.example "
                                           "and https://ca.example/docs/dnssec say more")),
                   "says NXDOMAIN"));
    CHECK(contains(said_of(domain, problem("unauthorized", "No TXT record found at _acme-challenge.$")),
                   "there is no TXT record"));
    CHECK(contains(said_of(domain, problem("unauthorized", "computer says no to $.")), "no query for"));
  }
}

TEST_CASE("what to do about an account is told by what the CA wants", "[acme][verdict]") {
  auto said_of = [](Problem why) {
    Attempt attempt = attempt_of({failed(std::nullopt)});
    attempt.problem = std::move(why);
    return verdict_of(attempt);
  };
  Problem terms = problem("userActionRequired", "terms changed");
  terms.terms_url = "https://ca.example/terms";
  CHECK(contains(said_of(terms), "--agree-tos"));
  CHECK(contains(said_of(terms), "https://ca.example/terms"));
  CHECK_FALSE(contains(said_of(terms), "account register"));
  terms.instance = "https://ca.example/agree\x1b";
  CHECK(contains(said_of(terms), "visit https://ca.example/agree?"));
  CHECK(contains(said_of(problem("invalidContact", "no such mailbox")), "acme.contact"));
  CHECK_FALSE(contains(said_of(problem("invalidContact", "no such mailbox")), "account register"));
  CHECK(contains(said_of(problem("accountDoesNotExist", "who?")), "account register"));
}
