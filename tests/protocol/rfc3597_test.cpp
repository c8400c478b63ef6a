// RFC 3597: types that nobody here has heard of.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 3597 §5: a record of an unknown type is served as it was given", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("opaque.auth.example.net TYPE65400");
  require_answer(reply, {"opaque.auth.example.net. 300 IN TYPE65400 \\# 4 0a000001"});
  REQUIRE(reply.counters == kCountedAnswer);
  require_nodata(server.ask("opaque.auth.example.net TYPE65401"), server);
  require_nodata(server.ask("opaque.auth.example.net A"), server);
}

TEST_CASE("RFC 3597 §3: every unknown type is NODATA at a name that exists", "[protocol]") {
  AnswerFixture server;
  // All that IANA has not given away between 1 and 65535, and many that it has: never an error, never silence.
  for (unsigned type = 66; type <= 65535; type += type < 600 ? 1 : 997) {
    bool meta = type == 128 || (type >= 249 && type <= 255) || type == 257;
    if (meta) continue;
    INFO("type " << type);
    Reply reply = server.ask(fmt::format("auth.example.net TYPE{}", type));
    require_nodata(reply, server);
  }
}

TEST_CASE("RFC 3597 §4: names inside RDATA of later types are written out", "[protocol]") {
  // find_wire_defect() refuses a compressed SRV target; here the octets of types that it does not read.
  AnswerFixture server({{"auth.example.net",
                         {"ns.outside.test"},
                         {"www 300 HTTPS 1 svc.auth.example.net. alpn=h2", "kx 300 KX 10 www.auth.example.net.",
                          "naptr 300 NAPTR 1 1 \"u\" \"s\" \"\" www.auth.example.net."}}});
  for (std::string_view text :
       {"www.auth.example.net TYPE65", "kx.auth.example.net TYPE36", "naptr.auth.example.net TYPE35"}) {
    INFO(text);
    Reply reply = server.ask(text);
    REQUIRE(reply.message.answer.size() == 1);
    // The zone's name stands in the question, and once more in the RDATA.
    std::string zone = wire_name("auth.example.net");
    std::size_t in_question = reply.response.find(zone);
    REQUIRE(reply.response.find(zone, in_question + 1) != std::string::npos);
    REQUIRE(reply.counters == kCountedAnswer);
  }
}

TEST_CASE("RFC 3597 §5: a known type may be given as octets", "[protocol]") {
  AnswerFixture server({{"auth.example.net", {"ns.outside.test"}, {"www 300 TYPE1 \\# 4 cb007150"}}});
  require_answer(server.ask("www.auth.example.net A"), {"www.auth.example.net. 300 IN A 203.0.113.80"});
}

TEST_CASE("RFC 8659: CAA is served at the apex and absent elsewhere", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("auth.example.net CAA");
  require_answer(reply, {"auth.example.net. 300 IN CAA 0 issue \"ca.example\""});
  REQUIRE(reply.counters == kCountedAnswer);
  require_nodata(server.ask("www.auth.example.net CAA"), server);
}

}  // namespace countersign::tests
