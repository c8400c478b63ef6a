#include "acme/check/delegation.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/acme/fake_name_server.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using dns::RecordType;
using test::Asked;
using test::FakeNameServer;
using test::Says;

namespace {

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

const base::Name kZone = base::Name::parse("auth.example.test").value();

const Says kDelegated{.answer = {"auth.example.test NS ns1.auth.example.test"}};

std::map<std::string, Says> with_zone(std::map<std::string, Says> entries) {
  entries.emplace("auth.example.test NS", kDelegated);
  return entries;
}

base::Result<std::vector<Delegation>> follow(const FakeNameServer& resolver, const std::vector<std::string>& names,
                                             const std::vector<base::Name>& zones = {kZone},
                                             const std::vector<base::SocketAddress>& daemon = {}) {
  return follow_delegations(dns01_places(parse_identifiers(names).value()), zones, {resolver.address()}, daemon);
}

Delegation follow_one(std::map<std::string, Says> entries, const std::string& identifier = "www.example.test") {
  FakeNameServer resolver(test::table(std::move(entries)));
  auto followed = follow(resolver, {identifier});
  REQUIRE(followed);
  REQUIRE(followed->size() == 1);
  return followed->front();
}

const std::string kRemedy = "_acme-challenge.www.example.test. IN CNAME www.example.test.auth.example.test.";

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

std::string link(int number) {
  return "l" + std::to_string(number) + ".example.test";
}

// _acme-challenge.www -> l1 -> ... -> l`count`
std::map<std::string, Says> long_chain(int count) {
  std::map<std::string, Says> entries;
  entries["_acme-challenge.www.example.test CNAME"] = {.answer = {"_acme-challenge.www.example.test CNAME " + link(1)}};
  for (int i = 1; i < count; ++i) entries[link(i) + " CNAME"] = {.answer = {link(i) + " CNAME " + link(i + 1)}};
  return entries;
}

}  // namespace

TEST_CASE("a CNAME chain is followed to the daemon's zone, for a name and its wildcard at once", "[acme][check]") {
  FakeNameServer resolver(test::table(with_zone({
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME hop.example.test"}}},
      {"hop.example.test CNAME", {.answer = {"hop.example.test CNAME WWW.auth.example.test"}}},
  })));
  auto followed = follow(resolver, {"www.example.test", "*.www.example.test"});
  REQUIRE(followed);
  REQUIRE(followed->size() == 2);
  for (const Delegation& delegation : *followed) {
    CHECK(delegation.problem == "");
    CHECK(delegation.warning == "");
    CHECK(delegation.challenge_name == name("_acme-challenge.www.example.test"));
    CHECK(delegation.target == name("www.auth.example.test"));
    REQUIRE(delegation.zone);
    CHECK(*delegation.zone == kZone);
    CHECK(delegation.chain.size() == 3);
  }
  CHECK(followed->at(1).identifier.text() == "*.www.example.test");
  // The place of the value is never asked for: a "no" would stay in the resolver's cache.
  for (const Asked& asked : resolver.log()) CHECK(asked.name != "www.auth.example.test");
  CHECK(resolver.log().size() == 3);
}

TEST_CASE("a resolver that gives the whole chain at once is asked once", "[acme][check]") {
  FakeNameServer resolver(test::table(with_zone({
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME hop.example.test",
                   "hop.example.test CNAME www.auth.example.test"}}},
  })));
  auto followed = follow(resolver, {"www.example.test"});
  REQUIRE(followed);
  CHECK(followed->front().zone);
  CHECK(resolver.log().size() == 2);
}

TEST_CASE("the most specific of the daemon's zones is chosen", "[acme][check]") {
  FakeNameServer resolver(test::table({
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME a.sub.auth.example.test"}}},
      {"sub.auth.example.test NS", {.answer = {"sub.auth.example.test NS ns1.auth.example.test"}}},
  }));
  auto followed = follow(resolver, {"www.example.test"}, {kZone, name("sub.auth.example.test")});
  REQUIRE(followed);
  REQUIRE(followed->front().zone);
  CHECK(*followed->front().zone == name("sub.auth.example.test"));
}

TEST_CASE("a missing CNAME comes with the record to add", "[acme][check]") {
  auto delegation = follow_one({});
  CHECK_FALSE(delegation.zone);
  CHECK(delegation.problem == "_acme-challenge.www.example.test does not exist");
  CHECK(delegation.remedy == kRemedy);
}

TEST_CASE("a challenge name with other records but no CNAME is told apart", "[acme][check]") {
  Says nodata{.authority = {"example.test SOA example.test"}};
  CHECK(follow_one({{"_acme-challenge.www.example.test CNAME", nodata}}).problem ==
        "_acme-challenge.www.example.test has no CNAME");
  auto own_zone = follow_one({{"_acme-challenge.www.example.test CNAME",
                               {.authority = {"_acme-challenge.www.example.test SOA example.test"}}}});
  CHECK(contains(own_zone.problem, "zone of its own"));
  auto txt =
      follow_one({{"_acme-challenge.www.example.test CNAME", nodata},
                  {"_acme-challenge.www.example.test TXT", {.answer = {"_acme-challenge.www.example.test TXT old"}}}});
  CHECK(contains(txt.problem, "has 1 TXT record of its own"));
  CHECK(txt.remedy == kRemedy);
}

TEST_CASE("a CNAME to somewhere else says where it leads and where it should", "[acme][check]") {
  auto delegation = follow_one({{"_acme-challenge.www.example.test CNAME",
                                 {.answer = {"_acme-challenge.www.example.test CNAME www.acme-dns.example"}}}});
  CHECK_FALSE(delegation.zone);
  CHECK(delegation.target == name("www.acme-dns.example"));
  CHECK(contains(delegation.problem, "leads to www.acme-dns.example"));
  CHECK(contains(delegation.problem, "auth.example.test"));
  CHECK(delegation.remedy == kRemedy);
}

TEST_CASE("a CNAME loop ends and is shown", "[acme][check]") {
  auto delegation = follow_one({
      {"_acme-challenge.www.example.test CNAME", {.answer = {"_acme-challenge.www.example.test CNAME a.example.test"}}},
      {"a.example.test CNAME", {.answer = {"a.example.test CNAME b.example.test"}}},
      {"b.example.test CNAME", {.answer = {"b.example.test CNAME a.example.test"}}},
  });
  CHECK_FALSE(delegation.zone);
  CHECK(
      contains(delegation.problem,
               "in a circle: _acme-challenge.www.example.test -> a.example.test -> b.example.test -> a.example.test"));
}

TEST_CASE("eleven CNAMEs are followed, twelve are too many", "[acme][check]") {
  auto entries = with_zone(long_chain(10));
  entries[link(10) + " CNAME"] = {.answer = {link(10) + " CNAME end.auth.example.test"}};
  CHECK(follow_one(entries).zone);
  auto longer = long_chain(11);
  longer[link(11) + " CNAME"] = {.answer = {link(11) + " CNAME " + link(12)}};
  auto delegation = follow_one(longer);
  CHECK_FALSE(delegation.zone);
  CHECK(contains(delegation.problem, "more than 11 CNAMEs"));
}

TEST_CASE("a name inside a daemon's zone by its own text needs no CNAME", "[acme][check]") {
  base::Name own = name("_acme-challenge.www.example.test");
  FakeNameServer resolver(test::table({{"_acme-challenge.www.example.test NS",
                                        {.answer = {"_acme-challenge.www.example.test NS ns1.auth.example.test"}}}}));
  auto followed = follow(resolver, {"www.example.test"}, {kZone, own});
  REQUIRE(followed);
  REQUIRE(followed->front().zone);
  CHECK(*followed->front().zone == own);
  CHECK(followed->front().target == own);
  CHECK(resolver.log().size() == 1);
}

TEST_CASE("a zone that its parent does not delegate comes with NS and glue to add", "[acme][check]") {
  FakeNameServer daemon(test::table({
      {"auth.example.test NS",
       {.aa = true, .answer = {"auth.example.test NS ns1.auth.example.test", "auth.example.test NS ns2.example.org"}}},
      {"ns1.auth.example.test A", {.aa = true, .answer = {"ns1.auth.example.test A 203.0.113.5"}}},
      {"ns1.auth.example.test AAAA", {.aa = true, .answer = {"ns1.auth.example.test AAAA 2001:db8::5"}}},
  }));
  FakeNameServer resolver(test::table({
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME www.auth.example.test"}}},
  }));
  auto followed = follow(resolver, {"www.example.test"}, {kZone}, {daemon.address()});
  REQUIRE(followed);
  const Delegation& delegation = followed->front();
  CHECK_FALSE(delegation.zone);
  CHECK(contains(delegation.problem, "the daemon's zone auth.example.test is not delegated"));
  CHECK(contains(delegation.problem, "the zone example.test says that no such name exists"));
  CHECK(delegation.remedy ==
        "auth.example.test. IN NS ns1.auth.example.test.\n"
        "auth.example.test. IN NS ns2.example.org.\n"
        "ns1.auth.example.test. IN A 203.0.113.5\n"
        "ns1.auth.example.test. IN AAAA 2001:db8::5");
}

TEST_CASE("a challenge zone of the daemon's without NS records in its parent is missing", "[acme][check]") {
  base::Name own = name("_acme-challenge.www.example.test");
  FakeNameServer resolver(test::table({}));
  auto followed = follow(resolver, {"www.example.test"}, {own});
  REQUIRE(followed);
  CHECK_FALSE(followed->front().zone);
  CHECK(followed->front().remedy == "_acme-challenge.www.example.test. IN NS NAME-OF-THIS-SERVER.");
}

TEST_CASE("name servers that the resolver cannot reach are a warning, broken DNSSEC is a problem", "[acme][check]") {
  std::map<std::string, Says> entries{
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME www.auth.example.test"}}},
      {"auth.example.test NS", {.rcode = dns::kServFail, .ede = {{22, "at delegation"}}}}};
  auto delegation = follow_one(entries);
  CHECK(delegation.zone);
  CHECK(contains(delegation.warning, "EDE 22, no reachable authority: at delegation"));
  entries["auth.example.test NS"] = {.rcode = dns::kServFail, .ede = {{10, ""}}};
  delegation = follow_one(entries);
  CHECK_FALSE(delegation.zone);
  CHECK(contains(delegation.problem, "EDE 10, RRSIGs missing"));
}

TEST_CASE("errors of the resolver have words of their own", "[acme][check]") {
  auto with = [](Says says) { return follow_one({{"_acme-challenge.www.example.test CNAME", std::move(says)}}); };
  auto bogus = with({.rcode = dns::kServFail, .ede = {{7, "expired in May"}}});
  CHECK(contains(bogus.problem, "DNSSEC validation of _acme-challenge.www.example.test fails"));
  CHECK(contains(bogus.problem, "EDE 7, signature expired: expired in May"));
  CHECK(bogus.remedy == "");
  CHECK(contains(with({.rcode = dns::kServFail}).problem, "SERVFAIL"));
  CHECK(contains(with({.rcode = dns::kRefused}).problem, "refuses"));
  CHECK(contains(with({.ra = false, .authority = {"test NS ns.test"}}).problem, "no recursive resolver"));
}

TEST_CASE("a dead resolver is passed over for the next one", "[acme][check]") {
  FakeNameServer resolver(test::table(with_zone({
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME www.auth.example.test"}}},
  })));
  FakeNameServer refuses([](const Asked& asked) -> std::vector<std::string> {
    return {reply_to(asked, {.rcode = dns::kRefused, .ra = false})};
  });
  auto followed = follow_delegations(dns01_places(parse_identifiers({"www.example.test"}).value()), {kZone},
                                     {test::closed_port(), refuses.address(), resolver.address()});
  REQUIRE(followed);
  CHECK(followed->front().zone);
}

TEST_CASE("when no resolver answers the error names them and the setting", "[acme][check]") {
  auto dead = test::closed_port();
  auto followed = follow_delegations(dns01_places(parse_identifiers({"www.example.test"}).value()), {kZone}, {dead});
  REQUIRE_FALSE(followed);
  CHECK(followed.error().code == ErrorCode::Unavailable);
  CHECK(contains(followed.error().message, dead.text()));
  CHECK(contains(followed.error().message, "acme.resolver"));
}

TEST_CASE("the recommended record drops the wildcard and refuses a name that gets too long", "[acme][check]") {
  auto wildcard = DnsIdentifier::parse("*.www.example.test").value();
  CHECK(recommended_record({wildcard, wildcard.challenge_name()}, kZone).value() == kRemedy);
  std::string label(60, 'a');
  auto longest = DnsIdentifier::parse(label + "." + label + "." + label + ".example.test").value();
  auto record = recommended_record({longest, longest.challenge_name()}, name(label + ".example.test"));
  REQUIRE_FALSE(record);
  CHECK(record.error().code == ErrorCode::Invalid);
  CHECK(contains(record.error().message, "too long"));
}

TEST_CASE("the experimental challenges have records of their own", "[acme][check]") {
  auto wildcard = DnsIdentifier::parse("*.www.example.test").value();
  auto account = place_of(wildcard, "_ujmmovf2vn55tgye._acme-challenge").value();
  CHECK(account.name == name("_ujmmovf2vn55tgye._acme-challenge.www.example.test"));
  CHECK(recommended_record(account, kZone).value() ==
        "_ujmmovf2vn55tgye._acme-challenge.www.example.test. IN CNAME "
        "_ujmmovf2vn55tgye.www.example.test.auth.example.test.");
  auto persist = place_of(wildcard, "_validation-persist").value();
  CHECK(recommended_record(persist, kZone).value() ==
        "_validation-persist.www.example.test. IN CNAME _validation-persist.www.example.test.auth.example.test.");
  // What they lead to is another place than that of dns-01, in words too.
  FakeNameServer resolver(test::table({}));
  auto followed = follow_delegations({account, persist}, {kZone}, {resolver.address()});
  REQUIRE(followed);
  CHECK(followed->at(0).problem == "_ujmmovf2vn55tgye._acme-challenge.www.example.test does not exist");
  CHECK(followed->at(0).remedy == recommended_record(account, kZone).value());
  CHECK(followed->at(1).challenge_name == persist.name);
  CHECK(followed->at(1).remedy == recommended_record(persist, kZone).value());
}

TEST_CASE("one name's places of several challenge types are followed apart", "[acme][check]") {
  auto www = DnsIdentifier::parse("www.example.test").value();
  auto persist = place_of(www, "_validation-persist").value();
  FakeNameServer resolver(
      test::table(with_zone({{"_acme-challenge.www.example.test CNAME",
                              {.answer = {"_acme-challenge.www.example.test CNAME www.auth.example.test"}}},
                             {"_validation-persist.www.example.test CNAME",
                              {.answer = {"_validation-persist.www.example.test CNAME p.auth.example.test"}}}})));
  auto followed = follow_delegations({{www, www.challenge_name()}, persist}, {kZone}, {resolver.address()});
  REQUIRE(followed);
  REQUIRE(followed->size() == 2);
  CHECK(followed->at(0).target == name("www.auth.example.test"));
  CHECK(followed->at(1).target == name("p.auth.example.test"));
}

TEST_CASE("a zone that is a challenge name holds the account's label too", "[acme][check]") {
  base::Name own = name("_acme-challenge.www.example.test");
  auto www = DnsIdentifier::parse("www.example.test").value();
  FakeNameServer resolver(test::table({{"_acme-challenge.www.example.test NS",
                                        {.answer = {"_acme-challenge.www.example.test NS ns1.auth.example.test"}}}}));
  auto followed = follow_delegations({place_of(www, "_abc._acme-challenge").value()}, {own}, {resolver.address()});
  REQUIRE(followed);
  REQUIRE(followed->front().zone);
  CHECK(*followed->front().zone == own);
  CHECK(followed->front().target == name("_abc._acme-challenge.www.example.test"));
}

TEST_CASE("a place that is no domain name is refused", "[acme][check]") {
  std::string label(60, 'a');
  auto longest =
      DnsIdentifier::parse(label + "." + label + "." + label + ".b" + std::string(40, 'b') + ".test").value();
  auto place = place_of(longest, "_ujmmovf2vn55tgye._acme-challenge");
  REQUIRE_FALSE(place);
  CHECK(place.error().code == ErrorCode::Invalid);
  CHECK(contains(place.error().message, "too long"));
  for (const char* labels : {"", ".", "a..b"}) CHECK_FALSE(place_of(longest, labels));
}

TEST_CASE("a zone made for one challenge name is not recommended for others", "[acme][check]") {
  CHECK(preferred_zone({name("_acme-challenge.x.test"), kZone}) == kZone);
  CHECK_FALSE(preferred_zone(
      {name("_acme-challenge.x.test"), name("_validation-persist.x.test"), name("_abc._acme-challenge.x.test")}));
}

TEST_CASE("resolv.conf gives the first three addresses, or loopback", "[acme][check]") {
  auto addresses = parse_resolv_conf(
      "# nameserver 192.0.2.9\nsearch example.test\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\n"
      "nameserver fe80::1%eth0\nnameserver example.test\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n");
  REQUIRE(addresses.size() == 3);
  CHECK(addresses[0].text() == "192.0.2.1:53");
  CHECK(addresses[1].text() == "[2001:db8::1]:53");
  CHECK(addresses[2].text() == "192.0.2.2:53");
  REQUIRE(parse_resolv_conf("").size() == 1);
  CHECK(parse_resolv_conf("")[0].text() == "127.0.0.1:53");
}

TEST_CASE("acme.resolver is taken with or without a port", "[acme][check]") {
  CHECK(resolver_addresses("192.0.2.1").value().at(0).text() == "192.0.2.1:53");
  CHECK(resolver_addresses("[2001:db8::1]:5353").value().at(0).text() == "[2001:db8::1]:5353");
  auto bad = resolver_addresses("resolver.example.test");
  REQUIRE_FALSE(bad);
  CHECK(contains(bad.error().message, "acme.resolver"));
}
