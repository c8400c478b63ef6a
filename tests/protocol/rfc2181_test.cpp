// RFC 2181: RRsets, TTLs, names of any octets, truncation of whole RRsets.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 2181 §5: a record given twice is served once", "[protocol]") {
  AnswerFixture server({{"auth.example.net",
                         {"ns.outside.test"},
                         {"www 300 A 203.0.113.80", "WWW 300 IN A 203.0.113.80", "www 300 A 203.0.113.81"}}});
  Reply reply = server.ask("www.auth.example.net A");
  require_answer(reply, {"www.auth.example.net. 300 IN A 203.0.113.80", "www.auth.example.net. 300 IN A 203.0.113.81"});
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 2181 §5.2: one RRset has one TTL, even if it was given several", "[protocol]") {
  AnswerFixture server(
      {{"auth.example.net", {"ns.outside.test"}, {"www 300 A 203.0.113.80", "www 100 A 203.0.113.81"}}});
  // find_broken_rule() judges; the lower one is the choice that lies to nobody.
  Reply reply = server.ask("www.auth.example.net A");
  require_answer(reply, {"www.auth.example.net. 100 IN A 203.0.113.80", "www.auth.example.net. 100 IN A 203.0.113.81"});
}

TEST_CASE("RFC 2181 §5.2: static and dynamic TXT values of one name have one TTL", "[protocol]") {
  AnswerFixture server;
  server.publish("texts.auth.example.net", {"dynamic"});
  Reply reply = server.ask("texts.auth.example.net TXT");
  REQUIRE(reply.message.answer.size() == 3);
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 2181 §8: no TTL has its first bit set", "[protocol]") {
  for (std::string_view ttl : {"2147483648", "4294967295"}) {
    INFO(ttl);
    std::string record = "www " + std::string(ttl) + " A 203.0.113.80";
    bool refused = false;
    try {
      AnswerFixture server({{"auth.example.net", {"ns.outside.test"}, {record}}});
      REQUIRE(server.ask("www.auth.example.net A").answered);  // judged by find_broken_rule()
    } catch (const std::runtime_error& error) {
      INFO(error.what());
      refused = std::string_view(error.what()).starts_with("record 1: ");
      REQUIRE(refused);
    }
  }
}

TEST_CASE("RFC 2181 §11: a label may hold any octet", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("nul\\000dot\\.label.auth.example.net TXT");
  require_answer(reply, {"nul\\000dot\\.label.auth.example.net. 300 IN TXT \"odd\""});
  REQUIRE(reply.counters == kCountedAnswer);
  // The same text as two labels is another name.
  require_nxdomain(server.ask("nul\\000dot.label.auth.example.net TXT"), server);
  require_nxdomain(server.ask("nul.auth.example.net TXT"), server);
  require_nxdomain(server.ask("\\000.auth.example.net TXT"), server);
}

TEST_CASE("RFC 2181 §11: the octets of the zone's name inside a label are not the zone", "[protocol]") {
  AnswerFixture server;
  // One label "x\4auth\7example\3net" at the root, and one that ends like the zone's wire form below "test".
  require_refused(server.ask("x\\004auth\\007example\\003net TXT"));
  require_refused(server.ask("x\\004auth\\007example\\003net.test TXT"));
  require_nxdomain(server.ask("www\\.auth.auth.example.net A"), server);
}

TEST_CASE("RFC 2181 §9: what does not fit loses whole RRsets and sets TC", "[protocol]") {
  AnswerFixture server;
  server.publish("full.auth.example.net", challenge_values(16));
  Reply reply = server.ask("full.auth.example.net TXT");
  REQUIRE(reply.message.tc);
  REQUIRE(reply.message.answer.empty());
  REQUIRE(reply.counters == "queries_udp responses noerror truncated");
}

TEST_CASE("RFC 2181 §9: additional records that do not fit are left out without TC", "[protocol]") {
  // 16 mail hosts with two addresses each: 16 * 16 octets of MX fit into 512, their 32 addresses do not.
  std::vector<std::string> records;
  for (int i = 0; i < 16; ++i) {
    records.push_back(fmt::format("@ 300 MX 10 h{:02}", i));
    records.push_back(fmt::format("h{:02} 300 A 203.0.113.{}", i, i));
    records.push_back(fmt::format("h{:02} 300 AAAA 2001:db8::{}", i, i));
  }
  AnswerFixture server({{"a.test", {"ns.outside.test"}, records}});
  Reply small = server.ask("a.test MX");
  INFO(small.message.size);
  REQUIRE(small.message.answer.size() == 16);
  REQUIRE_FALSE(small.message.tc);
  REQUIRE(small.message.additional.size() < 32);
  REQUIRE(small.counters == kCountedAnswer);
  Reply tcp = server.ask_tcp("a.test MX");
  REQUIRE(tcp.message.answer.size() == 16);
  REQUIRE(tcp.message.additional.size() == 32);
}

TEST_CASE("RFC 2181 §10.1: an alias stands alone", "[protocol]") {
  for (const char* other : {"www 300 A 203.0.113.80", "www 300 CNAME other"}) {
    REQUIRE_THROWS_AS(AnswerFixture({{"auth.example.net", {"ns.outside.test"}, {"www 300 CNAME mail", other}}}),
                      std::runtime_error);
  }
  REQUIRE_THROWS_AS(AnswerFixture({{"auth.example.net", {"ns.outside.test"}, {"@ 300 CNAME mail"}}}),
                    std::runtime_error);
  AnswerFixture server;
  REQUIRE(server.refusal("alias.auth.example.net", {"value"}).find("CNAME") != std::string::npos);
}

}  // namespace countersign::tests
