// TXT values as challenges use them: several at one name, long ones, added and taken away, seen by the stream.
#include <algorithm>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("a TXT value is served, octet by octet", "[protocol]") {
  AnswerFixture server;
  server.publish("x.auth.example.net", {"token"});
  Reply reply = server.ask("x.auth.example.net TXT id=0x0a0b");
  REQUIRE(to_hex(reply.response) == to_hex(from_hex("0a0b 8400 0001 0001 0000 0000"
                                                    "0178 0461757468 076578616d706c65 036e6574 00 0010 0001"
                                                    "c00c 0010 0001 00000001 0006 05746f6b656e")));
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("several TXT values at one name are served in the order they came", "[protocol]") {
  AnswerFixture server;
  server.publish("x.auth.example.net", {"b", "a", "c"});
  Lines expected{"x.auth.example.net. 1 IN TXT \"b\"", "x.auth.example.net. 1 IN TXT \"a\"",
                 "x.auth.example.net. 1 IN TXT \"c\""};
  for (int i = 0; i < 5; ++i) require_answer(server.ask("x.auth.example.net TXT"), expected);  // no rotation
}

TEST_CASE("sixteen TXT values need EDNS or TCP, and fit then", "[protocol]") {
  AnswerFixture server;
  std::vector<std::string> values = challenge_values(16);
  REQUIRE(server.refusal("x.auth.example.net", values).empty());
  server.publish("x.auth.example.net", values);

  Reply plain = server.ask("x.auth.example.net TXT");
  REQUIRE(plain.message.flags() == "qr aa tc");
  REQUIRE(plain.message.answer.empty());
  REQUIRE(plain.counters == "queries_udp responses noerror truncated");

  Reply edns = server.ask("x.auth.example.net TXT edns");
  REQUIRE(edns.message.flags() == "qr aa");
  REQUIRE(edns.message.answer.size() == 16);
  REQUIRE(edns.counters == "queries_udp responses noerror edns");

  Reply tcp = server.ask_tcp("x.auth.example.net TXT");
  REQUIRE(tcp.message.flags() == "qr aa");
  REQUIRE(tcp.message.answer == edns.message.answer);
  REQUIRE(tcp.counters == "queries_tcp responses noerror");
}

TEST_CASE("the number of TXT values at which TC begins is where 512 octets end", "[protocol]") {
  AnswerFixture server;
  // 12 + 24 of header and question, 56 for each value: eight fit.
  for (int count = 1; count <= 16; ++count) {
    server.publish("x.auth.example.net", challenge_values(count));
    Reply reply = server.ask("x.auth.example.net TXT");
    INFO(count << " values, " << reply.message.size << " octets");
    REQUIRE(reply.message.tc == (count > 8));
    REQUIRE(reply.message.answer.size() == static_cast<std::size_t>(count > 8 ? 0 : count));
  }
}

TEST_CASE("more values than the limit, or an answer larger than we send, are refused", "[protocol]") {
  AnswerFixture server;
  REQUIRE_FALSE(server.refusal("x.auth.example.net", challenge_values(17)).empty());
  REQUIRE_FALSE(server.refusal("x.auth.example.net", {std::string(700, 'a'), std::string(700, 'b')}).empty());
  REQUIRE(server.refusal("x.auth.example.net", {std::string(700, 'a')}).empty());
}

TEST_CASE("a long TXT value is cut into strings of 255 octets", "[protocol]") {
  AnswerFixture server;
  std::string value = std::string(255, 'a') + std::string(255, 'b') + "c";
  server.publish("x.auth.example.net", {value});
  Reply reply = server.ask("x.auth.example.net TXT edns");
  require_answer(reply, {"x.auth.example.net. 1 IN TXT \"" + std::string(255, 'a') + "\" \"" + std::string(255, 'b') +
                         "\" \"c\""});
  server.publish("x.auth.example.net", {std::string(255, 'a')});
  require_answer(server.ask("x.auth.example.net TXT"),
                 {"x.auth.example.net. 1 IN TXT \"" + std::string(255, 'a') + "\""});
}

TEST_CASE("static TXT records may have several strings and empty ones", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("texts.auth.example.net TXT");
  require_answer(reply,
                 {"texts.auth.example.net. 300 IN TXT \"one\" \"two\"", "texts.auth.example.net. 300 IN TXT \"\""});
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("values stand beside static TXT records, which stay when the values go", "[protocol]") {
  AnswerFixture server;
  server.publish("auth.example.net", {"token"});
  Reply reply = server.ask("auth.example.net TXT");
  REQUIRE(reply.message.answer.size() == 2);
  auto has = [&](std::string_view end) {
    return std::ranges::any_of(reply.message.answer, [&](const std::string& line) { return line.ends_with(end); });
  };
  REQUIRE(has("\"token\""));
  REQUIRE(has("\"v=spf1 -all\""));
  server.publish("auth.example.net", {});
  require_answer(server.ask("auth.example.net TXT"), {"auth.example.net. 300 IN TXT \"v=spf1 -all\""});
}

TEST_CASE("removing one of two values leaves the other", "[protocol]") {
  AnswerFixture server;
  server.publish("x.auth.example.net", {"one", "two"});
  server.publish("x.auth.example.net", {"two"});
  require_answer(server.ask("x.auth.example.net TXT"), {"x.auth.example.net. 1 IN TXT \"two\""});
  server.publish("x.auth.example.net", {});
  require_nxdomain(server.ask("x.auth.example.net TXT"), server);
}

TEST_CASE("the stream of seen queries is told of TXT queries in our zones and of nothing else", "[protocol]") {
  AnswerFixture server;
  server.publish("x.auth.example.net", {"one", "two"});
  std::string name = wire_name("x.auth.example.net");

  Reply reply = server.ask("X.Auth.Example.net TXT");
  REQUIRE(reply.seen_name == name);
  REQUIRE(reply.seen.type == 16);
  REQUIRE(reply.seen.rcode == rcode::kNoError);
  REQUIRE(reply.seen.values == 2);

  // The alias that led there is no value.
  server.publish("_acme-challenge.example.com", {"one"});
  reply = server.ask("to-challenge.auth.example.net TXT");
  REQUIRE(reply.seen_name == wire_name("to-challenge.auth.example.net"));
  REQUIRE(reply.seen.values == 1);

  reply = server.ask("Missing.auth.example.net TXT");
  REQUIRE(reply.seen_name == wire_name("missing.auth.example.net"));
  REQUIRE(reply.seen.rcode == rcode::kNxDomain);
  REQUIRE(reply.seen.values == 0);

  reply = server.ask("www.auth.example.net TXT");
  REQUIRE(reply.seen.rcode == rcode::kNoError);
  REQUIRE(reply.seen.values == 0);

  for (std::string_view text : {"x.auth.example.net A", "x.outside.test TXT", "x.auth.example.net TXT class=CH",
                                "x.auth.example.net TXT version=1", "x.auth.example.net TXT opcode=4"}) {
    INFO(text);
    REQUIRE(server.ask(text).seen_name.empty());
  }
}

}  // namespace countersign::tests
