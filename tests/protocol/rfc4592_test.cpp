// RFC 4592: wildcards, with the closest encloser deciding.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 4592 §2.2.1: a wildcard answers for names that do not exist, at any depth", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name :
       {"x.wild.auth.example.net", "y.x.wild.auth.example.net", "a.b.c.d.wild.auth.example.net"}) {
    Reply reply = server.ask(std::string(name) + " TXT");
    require_answer(reply, {std::string(name) + ". 300 IN TXT \"any\""});
    REQUIRE(reply.counters == kCountedAnswer);
  }
}

TEST_CASE("RFC 4592 §2.2.1: a wildcard without the type is NODATA", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("x.wild.auth.example.net AAAA"), server);
  require_nodata(server.ask("*.wild.auth.example.net MX"), server);
}

TEST_CASE("RFC 4592 §2.2.1: a name that exists is not covered, whatever types it has", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("host.wild.auth.example.net TXT"), server);
  require_nodata(server.ask("wild.auth.example.net A"), server);
  require_answer(server.ask("host.wild.auth.example.net A"), {"host.wild.auth.example.net. 300 IN A 203.0.113.98"});
}

TEST_CASE("RFC 4592 §3.3.1: below a name that exists the wildcard above it does not count", "[protocol]") {
  AnswerFixture server;
  require_nxdomain(server.ask("x.host.wild.auth.example.net TXT"), server);
}

TEST_CASE("RFC 4592 §2.2.2: an empty non-terminal is not covered, nor is what lies below it", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("empty.wild.auth.example.net TXT"), server);
  require_nxdomain(server.ask("x.empty.wild.auth.example.net TXT"), server);
  require_answer(server.ask("sub.empty.wild.auth.example.net A"),
                 {"sub.empty.wild.auth.example.net. 300 IN A 203.0.113.97"});
}

TEST_CASE("RFC 4592 §2.1.1: the wildcard's own name is an ordinary one when asked for", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("*.wild.auth.example.net TXT"), {"*.wild.auth.example.net. 300 IN TXT \"any\""});
  // §3.3.1: `*.wild` exists, so it encloses the names below it, and has no wildcard child itself.
  require_nxdomain(server.ask("x.*.wild.auth.example.net TXT"), server);
}

TEST_CASE("RFC 4592 §2.2: an asterisk inside a name or a label is nothing special", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("x.*.mid.auth.example.net A"), {"x.*.mid.auth.example.net. 300 IN A 203.0.113.96"});
  require_nxdomain(server.ask("x.*x.auth.example.net A"), server);
  require_nxdomain(server.ask("**.auth.example.net A"), server);
}

TEST_CASE("RFC 4592 §4.7: a wildcard that is an empty non-terminal gives NODATA to what it covers", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("*.mid.auth.example.net A"), server);
  require_nodata(server.ask("y.mid.auth.example.net A"), server);
  require_nodata(server.ask("x.y.mid.auth.example.net TXT"), server);
  // x.*.mid exists, so its wildcard relatives do not cover what is below it.
  require_nxdomain(server.ask("z.x.*.mid.auth.example.net A"), server);
}

TEST_CASE("RFC 4592 §3.3.1: of two wildcards the one at the closest encloser counts", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("x.deep.wild.auth.example.net TXT"),
                 {"x.deep.wild.auth.example.net. 300 IN TXT \"deeper\""});
  require_nodata(server.ask("x.deep.wild.auth.example.net A"), server);
  require_nodata(server.ask("deep.wild.auth.example.net TXT"), server);
}

TEST_CASE("RFC 4592 §4.4: a wildcard alias is followed for the name asked", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("Some.alias-wild.auth.example.net AAAA");
  require_answer(reply, {"Some.alias-wild.auth.example.net. 300 IN CNAME www.auth.example.net.",
                         "www.auth.example.net. 300 IN AAAA 2001:db8::80"});
  REQUIRE(reply.counters == kCountedAnswer);
  require_answer(server.ask("x.alias-wild.auth.example.net CNAME"),
                 {"x.alias-wild.auth.example.net. 300 IN CNAME www.auth.example.net."});
}

TEST_CASE("RFC 4592: an alias to a name that a wildcard covers is answered with that name", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("to-wild.auth.example.net A"),
                 {"to-wild.auth.example.net. 300 IN CNAME some.wild.auth.example.net.",
                  "some.wild.auth.example.net. 300 IN A 203.0.113.99"});
}

TEST_CASE("RFC 4592: a value published at a covered name makes it exist, until it goes", "[protocol]") {
  AnswerFixture server;
  server.publish("token.wild.auth.example.net", {"value"});
  require_answer(server.ask("token.wild.auth.example.net TXT"), {"token.wild.auth.example.net. 1 IN TXT \"value\""});
  require_nodata(server.ask("token.wild.auth.example.net A"), server);
  require_nxdomain(server.ask("x.token.wild.auth.example.net A"), server);
  server.publish("token.wild.auth.example.net", {});
  require_answer(server.ask("token.wild.auth.example.net TXT"), {"token.wild.auth.example.net. 300 IN TXT \"any\""});
  require_answer(server.ask("x.token.wild.auth.example.net A"),
                 {"x.token.wild.auth.example.net. 300 IN A 203.0.113.99"});
}

TEST_CASE("RFC 4592: a wildcard that is published and taken away covers names only meanwhile", "[protocol]") {
  AnswerFixture server;
  require_nxdomain(server.ask("x.new.auth.example.net TXT"), server);
  server.publish("*.new.auth.example.net", {"value"});
  require_answer(server.ask("x.new.auth.example.net TXT"), {"x.new.auth.example.net. 1 IN TXT \"value\""});
  require_nodata(server.ask("new.auth.example.net TXT"), server);
  server.publish("*.new.auth.example.net", {});
  require_nxdomain(server.ask("x.new.auth.example.net TXT"), server);
  require_nxdomain(server.ask("new.auth.example.net TXT"), server);
}

TEST_CASE("RFC 4592: a wildcard right below the apex leaves delegations and nested zones alone", "[protocol]") {
  AnswerFixture server(
      {{"a.test", {"ns.outside.test"}, {"* 300 TXT \"all\"", "cut 300 NS ns.outside.test.", "real 300 A 203.0.113.1"}},
       {"nested.a.test", {"ns.outside.test"}, {}}});
  require_answer(server.ask("x.a.test TXT"), {"x.a.test. 300 IN TXT \"all\""});
  REQUIRE(server.ask("x.cut.a.test TXT").message.flags() == "qr");
  REQUIRE(server.ask("x.nested.a.test TXT").message.rcode == rcode::kNxDomain);
  REQUIRE(server.ask("x.real.a.test TXT").message.rcode == rcode::kNxDomain);
  REQUIRE(server.ask("real.a.test TXT").counters == kCountedNodata);
  REQUIRE(server.ask("a.test TXT").counters == kCountedNodata);
}

TEST_CASE("RFC 4592 §4.2: a wildcard with NS records is refused when the zone is read", "[protocol]") {
  REQUIRE_THROWS_AS(AnswerFixture({{"a.test", {"ns.outside.test"}, {"*.w 600 NS ns.outside.test."}}}),
                    std::runtime_error);
}

TEST_CASE("RFC 4592: a zone that is named like a wildcard covers nothing of the zone above it", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns1.auth.example.net"}, {}}, {"*.a.test", {"ns1.auth.example.net"}, {}}});
  server.publish("*.a.test", {"token"});
  require_nxdomain(server.ask("abc.a.test TXT"), server, "a.test", 0);
  require_nxdomain(server.ask("abc.a.test A"), server, "a.test", 0);
  require_answer(server.ask("*.a.test TXT"), {"*.a.test. 1 IN TXT \"token\""});
}

}  // namespace countersign::tests
