// What a person is told when a CA says no.
#include "acme/protocol/problem.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;

namespace {

base::WallTime at(const char* text) {
  return tests::taken(base::parse_rfc3339(text));
}

Problem problem_with(const std::string& type, const std::string& detail = "it says") {
  Problem problem;
  problem.type = "urn:ietf:params:acme:error:" + type;
  problem.detail = detail;
  problem.status = 403;
  return problem;
}

HttpResponse answer(long status, const std::string& body, std::vector<std::pair<std::string, std::string>> headers = {},
                    const std::string& type = "application/problem+json") {
  HttpResponse response;
  response.status = status;
  response.headers = std::move(headers);
  response.headers.emplace_back("content-type", type);
  response.body = body;
  return response;
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every error type of the RFCs comes with what to do", "[acme]") {
  for (const char* type : {"accountDoesNotExist",
                           "alreadyRevoked",
                           "badCSR",
                           "badNonce",
                           "badPublicKey",
                           "badRevocationReason",
                           "badSignatureAlgorithm",
                           "caa",
                           "connection",
                           "dns",
                           "externalAccountRequired",
                           "incorrectResponse",
                           "invalidContact",
                           "malformed",
                           "orderNotReady",
                           "rateLimited",
                           "rejectedIdentifier",
                           "serverInternal",
                           "tls",
                           "unauthorized",
                           "unsupportedContact",
                           "unsupportedIdentifier",
                           "userActionRequired",
                           "alreadyReplaced",
                           "invalidProfile",
                           "onionCAARequired"}) {
    Problem problem = problem_with(type);
    INFO(problem.describe());
    REQUIRE(problem.advice().size() > 10);
    REQUIRE(problem.describe().find(std::string(type) + ": it says (HTTP 403)") == 0);
    REQUIRE(problem.describe().find(problem.advice()) != std::string::npos);
    REQUIRE(problem.summary().find(problem.advice()) == std::string::npos);
    REQUIRE(problem.describe().find('\n') == std::string::npos);
  }
}

TEST_CASE("a compound error is advised on by its parts, an unknown one not at all", "[acme]") {
  Problem compound = problem_with("compound");
  compound.subproblems = {{"urn:ietf:params:acme:error:nobodyKnows", "a", "a.test"},
                          {"urn:ietf:params:acme:error:caa", "b", "b.test"}};
  REQUIRE(compound.advice() == problem_with("caa").advice());
  REQUIRE(has(compound.describe(), R"("a.test": nobodyKnows: a; "b.test": caa: b)"));
  REQUIRE(problem_with("nobodyKnows").advice().empty());
  // A type of somebody else's that happens to end alike.
  Problem foreign = problem_with("x");
  foreign.type = "https://proxy.test/caa";
  REQUIRE(foreign.advice().empty());
  Problem broken;
  broken.status = 502;
  REQUIRE(has(broken.advice(), "run again later"));
}

TEST_CASE("unauthorized is about a name in a challenge, and about the account in an answer", "[acme]") {
  auto of_answer = problem_of(answer(403, R"({"type":"urn:ietf:params:acme:error:unauthorized"})"));
  REQUIRE(has(of_answer.advice(), "account"));
  auto document = tests::taken(JsonDocument::parse(R"({"type":"urn:ietf:params:acme:error:unauthorized"})", "x"));
  REQUIRE(has(problem_of(document.root()).advice(), "countersign delegate"));
}

TEST_CASE("a signature algorithm that is refused comes with those that are taken", "[acme]") {
  auto problem = problem_of(answer(
      400, R"({"type":"urn:ietf:params:acme:error:badSignatureAlgorithm","algorithms":["ES256","RS256\u001b"]})"));
  REQUIRE(problem.algorithms.size() == 2);
  REQUIRE(has(problem.describe(), "the CA takes ES256, RS256?"));
  auto broken =
      problem_of(answer(400, R"({"type":"urn:ietf:params:acme:error:badSignatureAlgorithm","algorithms":"ES256"})"));
  REQUIRE(broken.is("badSignatureAlgorithm"));
  REQUIRE(broken.algorithms.empty());
}

TEST_CASE("the time to try again is Retry-After's, in seconds or as a date", "[acme]") {
  auto now = at("2026-05-01T12:00:00Z");
  auto limited = [&](std::vector<std::pair<std::string, std::string>> headers) {
    return problem_of(answer(429, R"({"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"})",
                             std::move(headers)))
        .try_again(now);
  };
  REQUIRE(limited({{"retry-after", "129600"}}) == now + 36h);
  REQUIRE(limited({{"date", "Fri, 01 May 2026 12:00:10 GMT"}, {"retry-after", "Fri, 01 May 2026 13:00:10 GMT"}}) ==
          now + 1h);
  REQUIRE(limited({{"retry-after", "0"}}) == now);
  REQUIRE(limited({{"retry-after", "soon"}}) == std::nullopt);
  REQUIRE(limited({}) == std::nullopt);
}

TEST_CASE("the time to try again is read from a rate limit's words", "[acme]") {
  auto now = at("2025-12-31T20:00:00Z");
  auto told = [&](const std::string& detail) { return problem_with("rateLimited", detail).try_again(now); };
  REQUIRE(told("too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, "
               "retry after 2026-01-01 00:00:00 UTC: see https://ca.test/docs/limits") == at("2026-01-01T00:00:00Z"));
  REQUIRE(told("retry after 2026-01-01T00:00:00Z") == at("2026-01-01T00:00:00Z"));
  REQUIRE(told("retry after a while, retry after 2026-01-01 00:00:00 UTC") == at("2026-01-01T00:00:00Z"));
  for (const char* detail :
       {"", "retry after ", "retry after 2026-01-01 00:00:00", "retry after 2026-13-01 00:00:00 UTC",
        "retry after 2026-01-01 00:00:00 CET", "retry after 2025-12-31 19:59:59 UTC",
        "retry after 9999-01-01 00:00:00 UTC", "retry after 2026-01-0", "2026-01-01 00:00:00 UTC"}) {
    INFO(detail);
    REQUIRE(told(detail) == std::nullopt);
  }
  // Both: the later one, which is the one that lets the next try pass.
  Problem both = problem_with("rateLimited", "retry after 2026-01-01 00:00:00 UTC");
  both.retry_after = 1h;
  REQUIRE(both.try_again(now) == at("2026-01-01T00:00:00Z"));
  both.retry_after = 12h;
  REQUIRE(both.try_again(now) == now + 12h);
}

TEST_CASE("a rate limit is told with the time in UTC and the page that explains it", "[acme]") {
  auto problem = problem_of(answer(429, R"({"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"})",
                                   {{"retry-after", "3600"}, {"link", R"(<https://ca.test/limits>;rel="help")"}}));
  std::string expected = "try again after " + base::format_rfc3339(base::SystemClock().wall() + 1h).substr(0, 13);
  REQUIRE(has(problem.describe(), expected));
  REQUIRE(has(problem.describe(), "Z; see https://ca.test/limits"));
  REQUIRE(problem.code() == base::ErrorCode::Unavailable);
}

TEST_CASE("a conflict keeps whose the thing is", "[acme]") {
  auto problem = problem_of(answer(409, "", {{"location", "https://ca.test/acct/7"}}, "text/plain"));
  REQUIRE(problem.location == "https://ca.test/acct/7");
  REQUIRE(problem.describe() == "no reason given (HTTP 409)");
}
