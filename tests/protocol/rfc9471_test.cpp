// RFC 9471 and RFC 1034 §4.2.1: referrals, with all glue that the resolver cannot get elsewhere.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

const Lines kChildNs{"child.auth.example.net. 600 IN NS ns.child.auth.example.net.",
                     "child.auth.example.net. 600 IN NS ns.outside.test."};
const Lines kChildGlue{"ns.child.auth.example.net. 600 IN A 203.0.113.53",
                       "ns.child.auth.example.net. 600 IN AAAA 2001:db8::53"};

// `count` name servers inside the delegated zone, with an address of each kind.
std::vector<std::string> wide_delegation(int count) {
  std::vector<std::string> records;
  for (int i = 0; i < count; ++i) {
    records.push_back(fmt::format("cut 600 NS n{:02}.cut", i));
    records.push_back(fmt::format("n{:02}.cut 600 A 203.0.113.{}", i, i));
    records.push_back(fmt::format("n{:02}.cut 600 AAAA 2001:db8::{}", i, i));
  }
  return records;
}

}  // namespace

TEST_CASE("RFC 1034 §4.2.1: below a delegation the answer is a referral without AA", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text :
       {"child.auth.example.net A", "child.auth.example.net NS", "child.auth.example.net SOA",
        "www.child.auth.example.net TXT", "a.b.c.child.auth.example.net A", "child.auth.example.net ANY",
        "ns.child.auth.example.net A", "ns.child.auth.example.net MX", "x.ns.child.auth.example.net A"}) {
    INFO(text);
    Reply reply = server.ask(text);
    REQUIRE(reply.message.rcode == rcode::kNoError);
    REQUIRE(reply.message.flags() == "qr");
    REQUIRE(reply.message.answer.empty());
    REQUIRE(reply.message.authority == kChildNs);
    REQUIRE(reply.message.additional == kChildGlue);
    REQUIRE(reply.counters == kCountedReferral);
  }
}

TEST_CASE("RFC 4035 §3.1.4.1: DS at a delegation is the parent's to answer", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("child.auth.example.net DS"), server);
  // Below the delegation it is the child's, so we can only refer.
  REQUIRE(server.ask("x.child.auth.example.net DS").counters == kCountedReferral);
}

TEST_CASE("RFC 4035 §3.1.4.1: DS for a zone of ours inside another is answered by the upper one", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("nested.auth.example.net DS"), server);
  // The parents of these are not ours: all that can be said is that the zone itself has none.
  require_nodata(server.ask("auth.example.net DS"), server);
  require_nodata(server.ask("_acme-challenge.example.com DS"), server, "_acme-challenge.example.com", 3);
}

TEST_CASE("RFC 4035 §3.1.4.1: DS records at a delegation are served with AA", "[protocol]") {
  std::string ds = "cut 300 DS 60485 8 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A";
  AnswerFixture server({{"a.test", {"ns.outside.test"}, {"cut 600 NS ns.outside.test.", ds}}});
  Reply reply = server.ask("cut.a.test DS");
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer.size() == 1);
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 9471 §3: a referral leaves out no glue without saying so", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns.outside.test"}, wide_delegation(8)}});
  // Eight NS records fit into 512 octets; their sixteen addresses do not.
  Reply udp = server.ask("www.cut.a.test A");
  REQUIRE(udp.message.flags() == "qr tc");
  REQUIRE(udp.counters.starts_with("queries_udp responses noerror"));
  REQUIRE(udp.counters.ends_with("truncated"));
  for (const Reply& whole : {server.ask("www.cut.a.test A size=4096"), server.ask_tcp("www.cut.a.test A")}) {
    REQUIRE(whole.message.flags() == "qr");
    REQUIRE(whole.message.authority.size() == 8);
    REQUIRE(whole.message.additional.size() == 16);
  }
}

TEST_CASE("RFC 9471 §3: glue that fits exactly is sent without TC", "[protocol]") {
  // 12 + 4 + 16 octets of question for cut.a.test, then per server 12 + 2 + 4 of NS and 16 + 28 of glue at the least.
  for (int count = 1; count < 13; ++count) {
    AnswerFixture server({{"a.test", {"ns.outside.test"}, wide_delegation(count)}});
    Reply reply = server.ask("cut.a.test A");
    INFO(count << " servers, " << reply.message.size << " octets");
    if (!reply.message.tc) {
      REQUIRE(reply.message.authority.size() == static_cast<std::size_t>(count));
      REQUIRE(reply.message.additional.size() == static_cast<std::size_t>(2 * count));
    } else {
      REQUIRE(count > 4);  // four fit even without any compression
    }
  }
}

TEST_CASE("RFC 1034 §4.2.1: a delegation to servers elsewhere has no glue", "[protocol]") {
  AnswerFixture server(
      {{"a.test", {"ns.outside.test"}, {"cut 600 NS ns.outside.test.", "cut 600 NS ns.elsewhere.test."}}});
  Reply reply = server.ask("www.cut.a.test A");
  REQUIRE(reply.message.flags() == "qr");
  REQUIRE(reply.message.authority ==
          Lines{"cut.a.test. 600 IN NS ns.outside.test.", "cut.a.test. 600 IN NS ns.elsewhere.test."});
  REQUIRE(reply.message.additional.empty());
  REQUIRE(reply.counters == kCountedReferral);
}

TEST_CASE("RFC 1034 §4.2.1: of two delegations on one path the upper one counts", "[protocol]") {
  AnswerFixture server(
      {{"a.test", {"ns.outside.test"}, {"cut 600 NS ns.outside.test.", "deep.cut 600 NS ns.elsewhere.test."}}});
  Reply reply = server.ask("x.deep.cut.a.test A");
  REQUIRE(reply.message.authority == Lines{"cut.a.test. 600 IN NS ns.outside.test."});
}

TEST_CASE("RFC 1034 §4.2.1: nothing can be published below a delegation", "[protocol]") {
  AnswerFixture server;
  REQUIRE_FALSE(server.refusal("x.child.auth.example.net", {"value"}).empty());
  REQUIRE(server.refusal("x.nested.auth.example.net", {"value"}).empty());
  REQUIRE_FALSE(server.refusal("x.outside.test", {"value"}).empty());
}

TEST_CASE("RFC 1034 §4.2.1: a delegation to a zone that we serve ourselves is answered from that zone", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns1.auth.example.net"}, {"b 600 NS ns1.auth.example.net."}},
                        {"b.a.test", {"ns1.auth.example.net"}, {"www 300 A 203.0.113.1"}}});
  require_answer(server.ask("www.b.a.test A"), {"www.b.a.test. 300 IN A 203.0.113.1"});
  Reply soa = server.ask("b.a.test SOA");
  REQUIRE(soa.message.flags() == "qr aa");
  REQUIRE(soa.message.answer.size() == 1);
  require_nodata(server.ask("b.a.test DS"), server, "a.test", 0);
}

TEST_CASE("RFC 1034 §4.2.1: a zone of ours below a zone that we delegated away leaves the delegation whole",
          "[protocol]") {
  // The parent and one challenge name far below are here; what lies between is somebody else's.
  for (bool deepest_first : {false, true}) {
    std::vector<ZoneText> zones{{"a.test", {"ns1.auth.example.net"}, {"cut 600 NS ns.outside.test."}},
                                {"_acme-challenge.www.cut.a.test", {"ns1.auth.example.net"}, {}}};
    if (deepest_first) std::swap(zones[0], zones[1]);
    AnswerFixture server(zones);
    std::size_t deep = deepest_first ? 0 : 1;
    server.publish("_acme-challenge.www.cut.a.test", {"token"});
    require_answer(server.ask("_acme-challenge.www.cut.a.test TXT"),
                   {"_acme-challenge.www.cut.a.test. 1 IN TXT \"token\""});
    for (std::string_view text :
         {"www.cut.a.test A", "cut.a.test A", "x.www.cut.a.test A", "www.cut.a.test DS", "x.cut.a.test TXT"}) {
      INFO(text);
      Reply reply = server.ask(text);
      REQUIRE(reply.message.flags() == "qr");
      REQUIRE(reply.message.authority == Lines{"cut.a.test. 600 IN NS ns.outside.test."});
      REQUIRE(reply.counters == kCountedReferral);
    }
    require_nodata(server.ask("_acme-challenge.www.cut.a.test DS"), server, "_acme-challenge.www.cut.a.test", deep);
    require_nxdomain(server.ask("x._acme-challenge.www.cut.a.test TXT"), server, "_acme-challenge.www.cut.a.test",
                     deep);
    server.publish("_acme-challenge.www.cut.a.test", {});
    require_nodata(server.ask("_acme-challenge.www.cut.a.test TXT"), server, "_acme-challenge.www.cut.a.test", deep);
  }
}

TEST_CASE("RFC 1034 §4.2.1: glue is given in referrals only, never with an answer of ours", "[protocol]") {
  AnswerFixture server({{"a.test",
                         {"ns.outside.test"},
                         {"d1 600 NS ns1.d1", "ns1.d1 600 A 203.0.113.53", "mx-cut 600 MX 1 ns1.d1",
                          "mx-own 600 MX 1 mail", "mail 600 A 203.0.113.25"}}});
  Reply mx = server.ask("mx-cut.a.test MX");
  require_answer(mx, {"mx-cut.a.test. 600 IN MX 1 ns1.d1.a.test."});
  REQUIRE(mx.message.additional.empty());
  REQUIRE(server.ask("mx-own.a.test MX").message.additional == Lines{"mail.a.test. 600 IN A 203.0.113.25"});
  REQUIRE(server.ask("x.d1.a.test A").message.additional == Lines{"ns1.d1.a.test. 600 IN A 203.0.113.53"});
}

}  // namespace countersign::tests
