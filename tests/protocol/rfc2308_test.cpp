// RFC 2308: negative answers carry the SOA, and how long they may be believed.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 2308 §2.1: a name that does not exist is NXDOMAIN with the SOA", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {"missing.auth.example.net", "below.missing.auth.example.net",
                                "below.www.auth.example.net", "a.below.www.auth.example.net"}) {
    INFO(name);
    for (std::string_view type : {"A", "AAAA", "TXT", "NS", "SOA", "CAA", "DS", "DNSKEY", "TYPE65", "TYPE1000", "ANY"})
      require_nxdomain(server.ask(std::string(name) + " " + std::string(type)), server);
  }
}

TEST_CASE("RFC 2308 §2.2: a name without the type is NODATA with the SOA", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {"auth.example.net", "mail.auth.example.net", "host.wild.auth.example.net"})
    for (std::string_view type : {"DS", "DNSKEY", "TYPE65", "LOC", "RRSIG", "NSEC", "NSEC3PARAM", "SPF", "TYPE65535"}) {
      INFO(name << " " << type);
      require_nodata(server.ask(std::string(name) + " " + std::string(type)), server);
    }
}

TEST_CASE("RFC 2308 §3: the SOA of a negative answer has the TTL of the MINIMUM, not its own", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("missing.other.example.org A");
  REQUIRE(reply.message.rcode == rcode::kNxDomain);
  REQUIRE(is_soa(reply.message.authority, "other.example.org", server.serial(2), 30));
  reply = server.ask("www.other.example.org AAAA");
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(is_soa(reply.message.authority, "other.example.org", server.serial(2), 30));
  REQUIRE(reply.counters == kCountedNodata);
}

TEST_CASE("RFC 2308 §3: with a MINIMUM of 0 nothing negative is kept", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns1.auth.example.net"}, {}, std::chrono::seconds(0)}});
  Reply reply = server.ask("missing.a.test TXT");
  REQUIRE(is_soa(reply.message.authority, "a.test", server.serial(0), 0));
}

TEST_CASE("RFC 2308 §3: a MINIMUM larger than the SOA's TTL does not lengthen it", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns1.auth.example.net"}, {}, std::chrono::seconds(86400)}});
  Reply soa = server.ask("a.test SOA");
  Reply negative = server.ask("missing.a.test TXT");
  auto ttl_of = [](const std::string& line) { return std::stoul(line.substr(line.find(' ') + 1)); };
  std::size_t last = soa.message.answer.at(0).rfind(' ');
  unsigned long minimum = std::stoul(soa.message.answer.at(0).substr(last + 1));
  REQUIRE(minimum == 86400);
  REQUIRE(ttl_of(negative.message.authority.at(0)) == std::min(minimum, ttl_of(soa.message.answer.at(0))));
}

TEST_CASE("RFC 2308: the SOA shows the serial of the moment", "[protocol]") {
  AnswerFixture server;
  std::uint32_t before = server.serial(0);
  server.publish("x.auth.example.net", {"value"});
  REQUIRE(server.serial(0) == before + 1);
  require_nxdomain(server.ask("missing.auth.example.net A"), server);
  require_nodata(server.ask("x.auth.example.net A"), server);
  // Another zone's serial does not move.
  require_nodata(server.ask("nested.auth.example.net AAAA"), server, "nested.auth.example.net", 1);
}

TEST_CASE("RFC 2308: a zone of one challenge name answers for its apex", "[protocol]") {
  AnswerFixture server;
  for (std::string_view type : {"TXT", "A", "AAAA", "CAA", "DS", "CNAME"})
    require_nodata(server.ask("_acme-challenge.example.com " + std::string(type)), server,
                   "_acme-challenge.example.com", 3);
  require_nxdomain(server.ask("x._acme-challenge.example.com TXT"), server, "_acme-challenge.example.com", 3);
  server.publish("_acme-challenge.example.com", {"token"});
  require_answer(server.ask("_acme-challenge.example.com TXT"), {"_acme-challenge.example.com. 1 IN TXT \"token\""});
  server.publish("_acme-challenge.example.com", {});
  require_nodata(server.ask("_acme-challenge.example.com TXT"), server, "_acme-challenge.example.com", 3);
  require_refused(server.ask("example.com TXT"));
}

}  // namespace countersign::tests
