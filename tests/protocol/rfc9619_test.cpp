// RFC 9619: a query has exactly one question.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 9619 §4: a query with several questions is a format error", "[protocol]") {
  AnswerFixture server;
  Packet second = wire_name("mail.auth.example.net") + from_hex("0001 0001");
  for (const Packet& packet : {QueryBuilder("www.auth.example.net A").question(second).build(),
                               QueryBuilder("www.auth.example.net A edns").question(second).build(),
                               QueryBuilder("www.auth.example.net A").claim_count(0, 2).build(),
                               QueryBuilder("www.auth.example.net A").claim_count(0, 0xffff).build()}) {
    Reply reply = server.send(packet);
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.answer.empty());
    REQUIRE(reply.counters.starts_with(kCountedFormerr));
  }
}

TEST_CASE("RFC 9619 §4: a query without a question is a format error", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text : {"-", "- rd", "- edns", "- edns option=100:00"}) {
    Reply reply = server.ask(text);
    INFO(text);
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.question.empty());
    REQUIRE(reply.counters.starts_with(kCountedFormerr));
  }
}

TEST_CASE("RFC 9619 §3: other operations may have any number of questions", "[protocol]") {
  AnswerFixture server;
  Packet second = wire_name("mail.auth.example.net") + from_hex("0001 0001");
  for (unsigned opcode : {2U, 4U, 5U, 6U, 15U}) {
    Reply reply = server.send(QueryBuilder(fmt::format("x.test A opcode={}", opcode)).question(second).build());
    REQUIRE(reply.message.rcode == rcode::kNotImp);
    REQUIRE(reply.counters == kCountedNotimp);
  }
}

}  // namespace countersign::tests
