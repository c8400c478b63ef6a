#include "acme/issue/verdict.hpp"

#include <boost/json.hpp>

#include "tests/unit/acme/verdict_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::tests;

namespace {

struct Row {
  const char* what;
  Problem problem;
  std::vector<SeenQuery> queries;
  std::vector<std::string> says;
};

}  // namespace

TEST_CASE("what went well has no verdict", "[acme][verdict]") {
  NameAttempt good = failed(std::nullopt, kManyPlaces);
  good.status = "valid";
  Attempt attempt = attempt_of({good, failed(kNxDomain)});
  CHECK(verdict_of(attempt, attempt.names[0]) == "");
  CHECK(verdict_of(attempt, attempt.names[1]) != "");
  attempt.succeeded = true;
  CHECK(verdict_of(attempt, attempt.names[1]) == "");
  CHECK(verdict_of(attempt) == "");
}

TEST_CASE("queries and the CA's words together make the verdict", "[acme][verdict]") {
  const std::vector<Row> rows{
      {"boulder NXDOMAIN, nobody came",
       kNxDomain,
       kNobody,
       {"no query for www.example.com.auth.example.net arrived", "NXDOMAIN", "is missing", kCname}},
      {"boulder NXDOMAIN, answered correctly",
       kNxDomain,
       kManyPlaces,
       {"answered correctly (4 queries from 3 networks), but the CA says NXDOMAIN",
        "the CNAME at _acme-challenge.www.example.com is missing on some", kCname}},
      {"boulder NXDOMAIN, and the daemon said so",
       kNxDomain,
       kNoSuchName,
       {"the value was not there at that time (NXDOMAIN)", "removed it early"}},
      {"boulder secondary, and the value went away",
       kSecondary,
       kGoneMeanwhile,
       {"the CA asked 3 times for www.example.com.auth.example.net, and got the value only once", "took it away"}},
      {"boulder no TXT, nobody came", kNoTxt, kNobody, {"no query for", "no TXT record", kCname}},
      {"boulder no TXT, and the daemon had none", kNoTxt, kEmpty, {"the value was not there at that time (no value)"}},
      {"boulder no TXT, the daemon refused",
       kNoTxt,
       kRefused,
       {"refused the CA's queries for www.example.com.auth.example.net", "[[zone]]"}},
      {"SERVFAIL by the daemon", kServerFailure, kServFail, {"with SERVFAIL", "see its log"}},
      {"boulder another value, nobody came",
       kIncorrect,
       kNobody,
       {"\"old-value\"", "finds the record somewhere else", "remove the TXT records at _acme-challenge.www.example.com",
        kCname}},
      {"boulder another value, answered correctly",
       kIncorrect,
       kManyPlaces,
       {"answered correctly", "\"old-value\"", "one of the name servers", "old answer"}},
      {"boulder read ours",
       problem("unauthorized", "Incorrect TXT record \"gfj9Xq0v\" found at _acme-challenge.x"),
       kManyPlaces,
       {"the CA read the value that was published, and expects another one", "run it again alone"}},
      {"boulder timeout, nobody came",
       kTimedOut,
       kNobody,
       {"no query for www.example.com.auth.example.net arrived", "timed out", "firewall", "port 53", "UDP and TCP"}},
      {"boulder timeout, one place",
       kTimedOut,
       kOnePlace,
       {"asked from one place only (192.0.2.0/24)", "something blocks the CA's other networks", "firewall"}},
      {"boulder timeout, many places",
       kTimedOut,
       kManyPlaces,
       {"answered correctly (4 queries from 3 networks)", "do not get back", "UDP and TCP on port 53"}},
      {"boulder SERVFAIL, nobody came", kServerFailure, kNobody, {"no query for", "SERVFAIL", "port 53"}},
      {"boulder SERVFAIL of a local CA is not one place",
       kServerFailure,
       kLocal,
       {"answered correctly (2 queries from 1 network)", "SERVFAIL"}},
      {"boulder secondary validation",
       kSecondary,
       kManyPlaces,
       {"some of the CA's networks fail", "limits countries, networks or rates"}},
      {"boulder secondary validation, one place", kSecondary, kOnePlace, {"asked from one place only"}},
      {"boulder network",
       problem("dns", "DNS problem: networking error looking up TXT for _acme-challenge.x"),
       kNobody,
       {"no query for", "firewall"}},
      {"boulder REFUSED elsewhere",
       problem("dns", "DNS problem: REFUSED looking up TXT for _acme-challenge.x"),
       kNobody,
       {"REFUSED", "take it out of the NS records"}},
      {"boulder with an EDE",
       problem("dns",
               "DNS problem: looking up TXT for _acme-challenge.www.example.com: DNSSEC: DNSKEY Missing: validation "
               "failure <_acme-challenge.www.example.com. TXT IN>: No DNSKEY record"),
       kNobody,
       {"DNSSEC validation fails", "DS record", "does not sign"}},
      {"boulder without reachable servers",
       problem("dns",
               "DNS problem: SERVFAIL looking up TXT for _acme-challenge.x: EDE: 22: No Reachable Authority: at "
               "delegation"),
       kNobody,
       {"no query for", "port 53"}},
      {"boulder CAA",
       problem("caa", "CAA record for example.com prevents issuance"),
       kManyPlaces,
       {"the CAA records of example.com do not allow", "`www.example.com. IN CAA 0 issue \"letsencrypt.org\"`",
        "account show --caa"}},
      {"boulder CAA lookup",
       problem("dns",
               "While processing CAA for www.example.com: DNS problem: SERVFAIL looking up CAA for example.com - the "
               "domain's nameservers may be malfunctioning"),
       kManyPlaces,
       {"the challenge is not to blame", "the name servers of example.com", "CAA"}},
      {"Pebble NXDOMAIN",
       problem(
           "unauthorized",
           "Error retrieving TXT records for DNS challenge (\"DNS lookup for \\\"_acme-challenge.www.example.com\\\" "
           "returned an unsuccessful response: '\\\\x03'\")"),
       kNobody,
       {"no query for", "NXDOMAIN", kCname}},
      {"Pebble SERVFAIL",
       problem(
           "unauthorized",
           "Error retrieving TXT records for DNS challenge (\"DNS lookup for \\\"_acme-challenge.www.example.com\\\" "
           "returned an unsuccessful response: '\\\\x02'\")"),
       kLocal,
       {"answered correctly (2 queries from 1 network)", "SERVFAIL"}},
      {"Pebble timeout",
       problem("unauthorized",
               "Error retrieving TXT records for DNS challenge (\"read udp 127.0.0.1:1->127.0.0.1:53: i/o timeout\")"),
       kNobody,
       {"no query for", "firewall"}},
      {"Pebble no TXT",
       problem("unauthorized", "No TXT records found for DNS challenge :\"www.example.com\""),
       kEmpty,
       {"the value was not there"}},
      {"Pebble another value",
       problem("unauthorized", "Correct value not found for DNS challenge :\"www.example.com\""),
       kLocal,
       {"answered correctly", "the CA read another value"}},
      {"Pebble dns-persist-01",
       problem("unauthorized", "No valid TXT record found for DNS-PERSIST-01 challenge"),
       kLocal,
       {"the standing record at", "issuer", "policy=wildcard"}},
      {"a connection problem",
       problem("connection", "Timeout during connect (likely firewall problem)"),
       kNobody,
       {"no query for", "firewall"}},
      {"words that nobody knows, nobody came",
       problem("unauthorized", "computer says no"),
       kNobody,
       {"no query for", "firewall"}},
      {"words that nobody knows, one place",
       problem("unauthorized", "computer says no"),
       kOnePlace,
       {"one place only"}},
      {"words that nobody knows, all is well",
       problem("unauthorized", "computer says no"),
       kManyPlaces,
       {"answered correctly", "another reason"}},
      {"rate limit",
       problem("rateLimited", "too many certificates already issued"),
       kNobody,
       {"rate limit", "try again"}},
      {"trouble at the CA", problem("serverInternal", "Internal error"), kNobody, {"trouble of its own", "try again"}},
      {"policy",
       problem("rejectedIdentifier", "The ACME server refuses to issue a certificate"),
       kNobody,
       {"by its own policy", "another CA"}},
      {"account",
       problem("unauthorized", "Account is not valid, has status \"deactivated\""),
       kNobody,
       {"does not accept the account", "countersign account"}},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    std::string said = verdict(row.problem, row.queries);
    REQUIRE_FALSE(said.empty());
    for (const std::string& part : row.says) CHECK(contains(said, part));
    // One line that ends in what to do.
    CHECK(said.find('\n') == std::string::npos);
    CHECK_FALSE(said.ends_with('.'));
  }
}

TEST_CASE("what nobody watched is not claimed", "[acme][verdict]") {
  for (const Problem& why : {kNxDomain, kTimedOut, kServerFailure, kNoTxt, kIncorrect, kSecondary}) {
    std::string said = verdict(why, kNobody, false);
    INFO(said);
    CHECK_FALSE(said.empty());
    CHECK_FALSE(contains(said, "no query"));
    CHECK_FALSE(contains(said, "answered"));
  }
  CHECK(contains(verdict(kNxDomain, kNobody, false), kCname));
}

TEST_CASE("a zone that is the challenge name itself needs no CNAME", "[acme][verdict]") {
  NameAttempt own = failed(kNxDomain);
  own.target = name("_acme-challenge.www.example.com");
  Attempt attempt = attempt_of({own});
  std::string said = verdict_of(attempt, attempt.names[0]);
  CHECK(contains(said, "not delegated to this server"));
  CHECK_FALSE(contains(said, "CNAME"));
}

TEST_CASE("the record is that of the challenge type", "[acme][verdict]") {
  NameAttempt account = failed(kNxDomain);
  account.target = name("_ujmmovf2vn55tgye.www.example.com.auth.example.net");
  NameAttempt persist = failed(kNxDomain);
  persist.name = "*.example.com";
  persist.value = "letsencrypt.org; accounturi=https://ca.example/acct/1; policy=wildcard";
  NameAttempt told = failed(kNxDomain);
  told.challenge_name = name("_abc._acme-challenge.www.example.com");
  Attempt attempt = attempt_of({account, persist, told});
  CHECK(contains(verdict_of(attempt, attempt.names[0]),
                 "`_ujmmovf2vn55tgye._acme-challenge.www.example.com. IN CNAME "
                 "_ujmmovf2vn55tgye.www.example.com.auth.example.net.`"));
  CHECK(contains(verdict_of(attempt, attempt.names[1]), "`_validation-persist.example.com. IN CNAME"));
  CHECK(contains(verdict_of(attempt, attempt.names[2]), "`_abc._acme-challenge.www.example.com. IN CNAME"));
}

TEST_CASE("a wildcard's CAA is issuewild, and an unknown CA has no domain to name", "[acme][verdict]") {
  NameAttempt wildcard = failed(problem("caa", "CAA record for example.com prevents issuance"));
  wildcard.name = "*.example.com";
  Attempt attempt = attempt_of({wildcard});
  CHECK(contains(verdict_of(attempt, attempt.names[0]), "`example.com. IN CAA 0 issuewild \"letsencrypt.org\"`"));
  attempt.ca = "https://ca.internal/directory";
  CHECK(contains(verdict_of(attempt, attempt.names[0]), "add one for it"));
}

TEST_CASE("a CA that never decided is told by who asked", "[acme][verdict]") {
  Attempt attempt = attempt_of({failed(std::nullopt, kNobody), failed(std::nullopt, kManyPlaces)});
  for (NameAttempt& one : attempt.names) one.status = "pending";
  CHECK(contains(verdict_of(attempt, attempt.names[0]), "no query for"));
  CHECK(contains(verdict_of(attempt, attempt.names[1]), "the CA has not decided"));
}

TEST_CASE("a name that needed no proof has nothing to look at", "[acme][verdict]") {
  NameAttempt unproved = failed(std::nullopt);
  unproved.target = base::Name();
  unproved.value = "";
  unproved.status = "";
  Attempt attempt = attempt_of({unproved});
  CHECK(verdict_of(attempt, attempt.names[0]) == "");
  attempt.problem = problem("orderNotReady", "");
  CHECK(verdict_of(attempt, attempt.names[0]) == "");
}

TEST_CASE("the order's subproblems are told to their names", "[acme][verdict]") {
  Attempt attempt = attempt_of({failed(std::nullopt), failed(std::nullopt)});
  attempt.names[1].name = "*.shop.example.com";
  Problem whole = problem("rejectedIdentifier", "Error creating new order");
  whole.subproblems = {{"urn:ietf:params:acme:error:rejectedIdentifier", "forbidden by policy", "shop.example.com"}};
  attempt.problem = whole;
  CHECK(verdict_of(attempt, attempt.names[0]) == "");
  CHECK(contains(verdict_of(attempt, attempt.names[1]), "by its own policy"));
  CHECK(contains(verdict_of(attempt), "by its own policy"));
}

TEST_CASE("a rate limit says when", "[acme][verdict]") {
  Attempt attempt = attempt_of({});
  attempt.problem = problem("rateLimited", "too many new orders");
  attempt.try_again = base::parse_rfc3339("2026-11-23T04:05:06Z").value();
  CHECK(contains(verdict_of(attempt), "try again not before 2026-11-23T04:05:06Z"));
}

TEST_CASE("words of strangers cannot break the line", "[acme][verdict]") {
  std::string said =
      verdict(problem("unauthorized", "Incorrect TXT record \"\x1b[2Jevil\nline\" found at x"), kManyPlaces);
  CHECK(said.find('\x1b') == std::string::npos);
  CHECK(said.find('\n') == std::string::npos);
  std::string caa = verdict(problem("caa", "CAA record for \x1b[31m prevents issuance"), kNobody);
  CHECK(caa.find('\x1b') == std::string::npos);
  // Cut off anywhere.
  std::string detail = "Incorrect TXT record \"abc\" found; CAA record for x; unsuccessful response: '\\x03'";
  for (std::size_t length = 0; length <= detail.size(); ++length)
    for (const char* type : {"unauthorized", "dns", "caa"})
      static_cast<void>(verdict(problem(type, detail.substr(0, length)), kManyPlaces));
}

TEST_CASE("the timeline is in the order of time, and cut", "[acme][verdict]") {
  NameAttempt base = failed(kNxDomain, {query("192.0.2.7", "NOERROR", 2), query("2001:db8::1", "NXDOMAIN", 0)});
  base.queries[0].time = "2026-11-22T10:00:00.012Z";
  base.queries[1].time = "2026-11-22T10:00:15.5Z";
  NameAttempt other = failed(kNxDomain, {query("192.0.2.8", "NOERROR", 0)});
  other.target = name("b.auth.example.net");
  other.queries[0].name = other.target;
  other.queries[0].time = "2026-11-22T10:00:00.011Z";
  other.queries[0].transport = "tcp";
  NameAttempt wildcard = base;
  wildcard.name = "*.www.example.com";
  Attempt attempt = attempt_of({base, other, wildcard});
  CHECK(timeline_of(attempt, 10) ==
        std::vector<std::string>{"+11 ms  192.0.2.8 tcp  b.auth.example.net. TXT  NOERROR, no value",
                                 "+12 ms  192.0.2.7 udp  www.example.com.auth.example.net. TXT  NOERROR, 2 values",
                                 "+15.5 s  2001:db8::1 udp  www.example.com.auth.example.net. TXT  NXDOMAIN"});
  auto cut = timeline_of(attempt, 1);
  REQUIRE(cut.size() == 2);
  CHECK(cut[1] == "and 2 more");
  CHECK(timeline_of(attempt, 0) == std::vector<std::string>{"and 3 more"});
  attempt.names[0].queries[0].time = "yesterday";
  attempt.names[1].queries[0].time = "2026-11-22T09:59:59.999Z";
  auto odd = timeline_of(attempt, 10);
  CHECK(odd[0].starts_with("?  192.0.2.7"));
  CHECK(odd[1].starts_with("+0 ms  192.0.2.8"));
  CHECK(timeline_of(attempt_of({}), 5).empty());
}

TEST_CASE("the document has all of it", "[acme][verdict]") {
  Problem whole = problem("rateLimited", "bad octets \xff");
  whole.status = 429;
  Attempt attempt = attempt_of({failed(kNxDomain, kNoSuchName)});
  attempt.problem = whole;
  attempt.try_again = base::parse_rfc3339("2026-11-23T04:05:06Z").value();
  auto document = boost::json::parse(attempt_document(attempt)).as_object();
  CHECK(document["ca"] == "https://acme-v02.api.letsencrypt.org/directory");
  CHECK(document["succeeded"] == false);
  CHECK(document["try_again"] == "2026-11-23T04:05:06Z");
  CHECK(document["problem"].as_object()["status"] == 429);
  auto& one = document["names"].as_array().at(0).as_object();
  CHECK(one["target"] == "www.example.com.auth.example.net");
  CHECK(contains(std::string(one["verdict"].as_string()), "the value was not there"));
  CHECK(one["problem"].as_object()["type"] == "urn:ietf:params:acme:error:dns");
  CHECK(one["queries"].as_array().at(0).as_object()["rcode"] == "NXDOMAIN");
  Attempt good = attempt_of({});
  good.succeeded = true;
  auto nothing = boost::json::parse(attempt_document(good)).as_object();
  CHECK(nothing["problem"].is_null());
  CHECK(nothing["try_again"].is_null());
}
