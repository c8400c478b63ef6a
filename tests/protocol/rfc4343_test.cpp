// RFC 4343: names compare without case; the question comes back as it was asked (0x20 randomisation depends on it).
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 4343: the question is echoed with its case, and the owner points to it", "[protocol]") {
  AnswerFixture server;
  server.publish("example.com.auth.example.net", {"token"});
  Reply reply = server.ask("eXaMpLe.CoM.aUtH.ExAmPlE.nEt TXT");
  REQUIRE(reply.message.question == wire_name("eXaMpLe.CoM.aUtH.ExAmPlE.nEt") + from_hex("0010 0001"));
  require_answer(reply, {"eXaMpLe.CoM.aUtH.ExAmPlE.nEt. 1 IN TXT \"token\""});
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 4343: every kind of answer keeps the case of the question", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text :
       {"WWW.Auth.Example.NET A", "mIsSiNg.auth.example.net A", "MAIL.auth.example.net TXT", "Chain.AUTH.example.net A",
        "X.Wild.Auth.Example.Net TXT", "Www.Child.Auth.Example.Net A", "Not.Ours.Example A", "AUTH.EXAMPLE.NET SOA",
        "Www.Auth.Example.Net A class=CH", "WWW.Auth.example.net A edns version=1"}) {
    INFO(text);
    Reply reply = server.ask(text);
    Packet name = wire_name(text.substr(0, text.find(' ')));
    REQUIRE(reply.message.question.substr(0, name.size()) == name);
    Reply lower = server.ask(std::string(text));
    REQUIRE(lower.message.rcode == reply.message.rcode);
  }
}

TEST_CASE("RFC 4343: answers differ in nothing but the question's case", "[protocol]") {
  AnswerFixture server;
  for (std::string_view type : {"A", "AAAA", "TXT", "MX", "NS", "SOA", "CNAME", "ANY"}) {
    for (std::string_view name : {"www.auth.example.net", "auth.example.net", "x.wild.auth.example.net",
                                  "alias.auth.example.net", "nothing.auth.example.net"}) {
      INFO(name << " " << type);
      std::string text = std::string(name) + " " + std::string(type);
      std::string upper = text;
      for (std::size_t i = 0; i < name.size(); ++i)
        if (upper[i] >= 'a' && upper[i] <= 'z') upper[i] = static_cast<char>(upper[i] - 0x20);
      Reply one = server.ask(text);
      Reply other = server.ask(upper);
      std::size_t question = 12 + one.message.question.size();
      REQUIRE(one.response.substr(0, 12) == other.response.substr(0, 12));
      REQUIRE(one.response.substr(question) == other.response.substr(question));
      REQUIRE(one.counters == other.counters);
    }
  }
}

TEST_CASE("RFC 4343 §2: only ASCII letters have case", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("\\228.auth.example.net TXT"), {"\\228.auth.example.net. 300 IN TXT \"small a umlaut\""});
  require_nxdomain(server.ask("\\196.auth.example.net TXT"), server);  // 0xc4, the same with bit 0x20 clear
  require_answer(server.ask("\\091X.auth.example.net TXT"), {"[X.auth.example.net. 300 IN TXT \"bracket\""});
  require_nxdomain(server.ask("\\123x.auth.example.net TXT"), server);  // {
  require_nxdomain(server.ask("\\064.auth.example.net TXT"), server);   // @
}

TEST_CASE("RFC 4343: names are published without case, too", "[protocol]") {
  AnswerFixture server;
  server.publish("Mixed.AUTH.example.net", {"one"});
  server.publish("mIXED.auth.Example.net", {"two"});
  require_answer(server.ask("mixed.auth.example.net TXT"), {"mixed.auth.example.net. 1 IN TXT \"two\""});
}

TEST_CASE("RFC 1035 §2.3.3: the case of names in records is kept, and they are followed without it", "[protocol]") {
  AnswerFixture server(
      {{"a.test", {"ns.outside.test"}, {"alias 300 CNAME WWW.A.Test.", "www 300 A 203.0.113.1", "mx 300 MX 10 WWW"}}});
  require_answer(server.ask("alias.a.test A"),
                 {"alias.a.test. 300 IN CNAME WWW.A.Test.", "WWW.A.Test. 300 IN A 203.0.113.1"});
  Reply mx = server.ask("mx.a.test MX");
  require_answer(mx, {"mx.a.test. 300 IN MX 10 WWW.a.test."});
  REQUIRE(mx.message.additional.size() == 1);
}

}  // namespace countersign::tests
