// RFC 8020: NXDOMAIN means nothing below either; so empty non-terminals must be NODATA, and come and go with values.
#include <array>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 8020 §3.1: an empty non-terminal is NODATA", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {"c.auth.example.net", "b.c.auth.example.net", "_tcp.auth.example.net"})
    for (std::string_view type : {"A", "AAAA", "NS", "TXT", "CAA", "DS", "SOA", "CNAME", "ANY"}) {
      INFO(name << " " << type);
      require_nodata(server.ask(std::string(name) + " " + std::string(type)), server);
    }
}

TEST_CASE("RFC 8020 §3.1: names beside and below an empty non-terminal do not exist", "[protocol]") {
  AnswerFixture server;
  require_nxdomain(server.ask("x.c.auth.example.net TXT"), server);
  require_nxdomain(server.ask("x.b.c.auth.example.net TXT"), server);
  require_nxdomain(server.ask("x.a.b.c.auth.example.net TXT"), server);
}

TEST_CASE("RFC 8020: the labels between two zones of ours exist in the upper one", "[protocol]") {
  AnswerFixture server({{"a.test", {"ns1.auth.example.net"}, {}}, {"x.y.a.test", {"ns1.auth.example.net"}, {}}});
  require_nodata(server.ask("y.a.test NS"), server, "a.test", 0);
  require_nxdomain(server.ask("z.y.a.test NS"), server, "a.test", 0);
  REQUIRE(server.ask("x.y.a.test NS").message.answer.size() == 1);
}

TEST_CASE("RFC 8020: a value makes the names above it exist, and its removal unmakes them", "[protocol]") {
  AnswerFixture server;
  const auto path = std::to_array<std::string_view>({"_acme-challenge.www.example.com.auth.example.net",
                                                     "www.example.com.auth.example.net", "example.com.auth.example.net",
                                                     "com.auth.example.net"});
  for (std::string_view name : path) require_nxdomain(server.ask(std::string(name) + " TXT"), server);

  server.publish(path[0], {"token"});
  REQUIRE(server.ask(std::string(path[0]) + " TXT").message.answer.size() == 1);
  require_nodata(server.ask(std::string(path[0]) + " NS"), server);
  for (std::string_view name : {path[1], path[2], path[3]}) {
    INFO(name);
    require_nodata(server.ask(std::string(name) + " NS"), server);
    require_nxdomain(server.ask("x." + std::string(name) + " NS"), server);
  }

  // A second value half way up; when the first goes, what the second needs stays.
  server.publish(path[2], {"other"});
  server.publish(path[0], {});
  require_nxdomain(server.ask(std::string(path[0]) + " TXT"), server);
  require_nxdomain(server.ask(std::string(path[1]) + " TXT"), server);
  require_answer(server.ask(std::string(path[2]) + " TXT"), {"example.com.auth.example.net. 1 IN TXT \"other\""});
  require_nodata(server.ask(std::string(path[3]) + " TXT"), server);

  // A name with a value of its own that is also above another one keeps existing without it.
  server.publish(path[0], {"again"});
  server.publish(path[2], {});
  require_nodata(server.ask(std::string(path[2]) + " TXT"), server);
  server.publish(path[0], {});
  for (std::string_view name : path) require_nxdomain(server.ask(std::string(name) + " TXT"), server);
}

TEST_CASE("RFC 8020: values do not disturb the static names around them", "[protocol]") {
  AnswerFixture server;
  server.publish("x.www.auth.example.net", {"below a host"});
  server.publish("b.c.auth.example.net", {"at an empty non-terminal"});
  server.publish("auth.example.net", {"at the apex"});
  REQUIRE(server.ask("www.auth.example.net A").message.answer.size() == 2);
  REQUIRE(server.ask("a.b.c.auth.example.net TXT").message.answer.size() == 1);
  require_answer(server.ask("b.c.auth.example.net TXT"),
                 {"b.c.auth.example.net. 1 IN TXT \"at an empty non-terminal\""});
  REQUIRE(server.ask("auth.example.net TXT").message.answer.size() == 2);

  server.publish("x.www.auth.example.net", {});
  server.publish("b.c.auth.example.net", {});
  server.publish("auth.example.net", {});
  require_nxdomain(server.ask("x.www.auth.example.net TXT"), server);
  REQUIRE(server.ask("www.auth.example.net A").message.answer.size() == 2);
  require_nodata(server.ask("b.c.auth.example.net TXT"), server);
  REQUIRE(server.ask("a.b.c.auth.example.net TXT").message.answer.size() == 1);
  require_answer(server.ask("auth.example.net TXT"), {"auth.example.net. 300 IN TXT \"v=spf1 -all\""});
}

TEST_CASE("RFC 8020: a thousand names come and go and leave nothing behind", "[protocol]") {
  AnswerFixture server;
  auto name = [](int i) { return fmt::format("_acme-challenge.h{}.d{}.auth.example.net", i, i % 37); };
  for (int i = 0; i < 1000; ++i) server.publish(name(i), {fmt::format("v{}", i)});
  for (int i = 0; i < 1000; ++i) {
    Reply reply = server.ask(name(i) + " TXT");
    REQUIRE(reply.message.answer == Lines{fmt::format("{}. 1 IN TXT \"v{}\"", name(i), i)});
  }
  require_nodata(server.ask("d36.auth.example.net TXT"), server);
  for (int i = 0; i < 1000; ++i) server.publish(name(i), {});
  for (int i = 0; i < 37; ++i) require_nxdomain(server.ask(fmt::format("d{}.auth.example.net TXT", i)), server);
  for (int i = 0; i < 1000; ++i) require_nxdomain(server.ask(name(i) + " TXT"), server);
}

}  // namespace countersign::tests
