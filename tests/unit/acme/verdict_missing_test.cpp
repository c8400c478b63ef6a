#include "acme/issue/missing_delegations.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::acme;

namespace {

Delegation delegation(const std::string& identifier, const std::string& labels, const std::string& problem,
                      const std::string& remedy) {
  auto place = place_of(DnsIdentifier::parse(identifier).value(), labels).value();
  Delegation made;
  made.identifier = place.identifier;
  made.challenge_name = place.name;
  made.target = place.name;
  made.problem = problem;
  made.remedy = remedy;
  if (problem.empty()) made.zone = base::Name::parse("auth.test").value();
  return made;
}

}  // namespace

TEST_CASE("every missing delegation is told once, with its record", "[acme][verdict]") {
  base::Error error = missing_delegations({
      delegation("a.test", "_acme-challenge", "no CNAME", "_acme-challenge.a.test. IN CNAME a.test.auth.test."),
      delegation("*.a.test", "_acme-challenge", "no CNAME", "_acme-challenge.a.test. IN CNAME a.test.auth.test."),
      delegation("b.test", "_acme-challenge", "", ""),
      delegation("c.test", "_acme-challenge", "not delegated", "auth.test. IN NS ns.auth.test."),
      delegation("d.test", "_acme-challenge", "not delegated", "auth.test. IN NS ns.auth.test."),
  });
  CHECK(error.code == base::ErrorCode::NotFound);
  CHECK(error.message ==
        "the challenges of 4 of 5 names cannot be answered, so nothing was ordered; add what follows to the DNS, then "
        "run it again\n"
        "a.test: no CNAME\n"
        "_acme-challenge.a.test. IN CNAME a.test.auth.test.\n"
        "c.test: not delegated\n"
        "auth.test. IN NS ns.auth.test.\n"
        "d.test: not delegated");
}

TEST_CASE("a name with places of several challenge types counts once and is told for each", "[acme][verdict]") {
  base::Error error = missing_delegations({
      delegation("a.test", "_acme-challenge", "no CNAME", "one"),
      delegation("a.test", "_validation-persist", "no CNAME there", "two"),
  });
  CHECK(error.message.find("of 1 of 1 name cannot") != std::string::npos);
  CHECK(error.message.ends_with("\na.test: no CNAME\none\na.test: no CNAME there\ntwo"));
}

TEST_CASE("what no record mends is not called a record to add", "[acme][verdict]") {
  base::Error error = missing_delegations({delegation("a.test", "_acme-challenge", "SERVFAIL", "")});
  CHECK(error.message.find("mend what follows, then run it again\na.test: SERVFAIL") != std::string::npos);
}
