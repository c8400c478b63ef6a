// Attempts as tests make them: one name, what the CA says about it, and who asked for it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "acme/issue/verdict.hpp"
#include "tests/support/catch.hpp"

namespace countersign::tests {

using namespace countersign::acme;

inline base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

inline Problem problem(const std::string& type, const std::string& detail) {
  Problem made;
  made.type = "urn:ietf:params:acme:error:" + type;
  made.detail = detail;
  return made;
}

inline SeenQuery query(const std::string& client, const std::string& rcode = "NOERROR", unsigned values = 1) {
  return {"2026-11-22T10:00:00.500Z", client, "udp", rcode, name("www.example.com.auth.example.net"), "TXT", values};
}

inline NameAttempt failed(std::optional<Problem> why, std::vector<SeenQuery> queries = {}) {
  NameAttempt made;
  made.name = "www.example.com";
  made.target = name("www.example.com.auth.example.net");
  made.value = "gfj9Xq0v";
  made.status = "invalid";
  made.queries = std::move(queries);
  made.problem = std::move(why);
  return made;
}

inline Attempt attempt_of(std::vector<NameAttempt> names) {
  Attempt made;
  made.ca = "https://acme-v02.api.letsencrypt.org/directory";
  made.triggered = base::parse_rfc3339("2026-11-22T10:00:00Z").value();
  made.watched = true;
  made.names = std::move(names);
  return made;
}

inline std::string verdict(const std::optional<Problem>& why, std::vector<SeenQuery> queries, bool watched = true) {
  Attempt attempt = attempt_of({failed(why, std::move(queries))});
  attempt.watched = watched;
  return verdict_of(attempt, attempt.names.front());
}

inline bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

inline const std::vector<SeenQuery> kNobody;
inline const std::vector<SeenQuery> kOnePlace{query("192.0.2.1"), query("192.0.2.77")};
inline const std::vector<SeenQuery> kManyPlaces{query("192.0.2.1"), query("198.51.100.7"), query("2001:db8:5::1"),
                                                query("2001:db8:5::2")};
inline const std::vector<SeenQuery> kLocal{query("127.0.0.1"), query("127.0.0.1")};
inline const std::vector<SeenQuery> kNoSuchName{query("192.0.2.1", "NXDOMAIN", 0)};
inline const std::vector<SeenQuery> kEmpty{query("192.0.2.1", "NOERROR", 0)};
inline const std::vector<SeenQuery> kGoneMeanwhile{query("192.0.2.1"), query("198.51.100.7", "NXDOMAIN", 0),
                                                   query("203.0.113.1", "NOERROR", 0)};
inline const std::vector<SeenQuery> kRefused{query("192.0.2.1", "REFUSED", 0)};
inline const std::vector<SeenQuery> kServFail{query("192.0.2.1", "SERVFAIL", 0)};

inline const std::string kCname = "`_acme-challenge.www.example.com. IN CNAME www.example.com.auth.example.net.`";

inline const Problem kNxDomain =
    problem("dns",
            "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.www.example.com - check that a DNS record exists "
            "for this domain");
inline const Problem kTimedOut =
    problem("dns", "DNS problem: query timed out looking up TXT for _acme-challenge.www.example.com");
inline const Problem kServerFailure = problem(
    "dns",
    "DNS problem: SERVFAIL looking up TXT for _acme-challenge.www.example.com - the domain's nameservers may be "
    "malfunctioning");
inline const Problem kNoTxt = problem("unauthorized", "No TXT record found at _acme-challenge.www.example.com");
inline const Problem kIncorrect =
    problem("unauthorized", "Incorrect TXT record \"old-value\" (and 1 more) found at _acme-challenge.www.example.com");
inline const Problem kSecondary =
    problem("dns",
            "During secondary validation: DNS problem: query timed out looking up TXT for "
            "_acme-challenge.www.example.com");

}  // namespace countersign::tests
