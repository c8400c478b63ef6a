// RFC 4892: what a server says of itself, in class CH.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

constexpr std::string_view kCounted = "queries_udp responses noerror";

}  // namespace

TEST_CASE("RFC 4892: id.server and version.bind are refused until they are configured", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {"id.server", "hostname.bind", "version.bind", "version.server", "authors.bind"}) {
    INFO(name);
    Reply reply = server.ask(std::string(name) + " TXT class=CH");
    require_refused(reply);
    REQUIRE(reply.counters == kCountedRefused);
  }
}

TEST_CASE("RFC 4892: both are told when they are configured", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.nsid = "ns1", .version = "countersign 1"});
  struct Row {
    std::string_view name;
    std::string_view text;
  };
  for (Row row : {Row{"id.server", "ns1"}, Row{"ID.Server", "ns1"}, Row{"hostname.bind", "ns1"},
                  Row{"version.bind", "countersign 1"}, Row{"VERSION.server", "countersign 1"}}) {
    for (std::string_view type : {" TXT", " ANY"}) {
      INFO(row.name << type);
      Reply reply = server.ask(std::string(row.name) + std::string(type) + " class=CH");
      require_answer(reply, {fmt::format("{}. 0 CH TXT \"{}\"", row.name, row.text)});
      REQUIRE(reply.message.authority.empty());
      REQUIRE(reply.counters == kCounted);
    }
  }
  Reply edns = server.ask("id.server TXT class=CH option=3:");
  REQUIRE(edns.message.option(3) == "ns1");
  REQUIRE(edns.counters == std::string(kCounted) + " edns");
}

TEST_CASE("RFC 4892: everything else in class CH, and these names elsewhere, stay refused", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.nsid = "ns1", .version = "countersign 1"});
  for (std::string_view query :
       {"id.server A class=CH", "x.id.server TXT class=CH", "server TXT class=CH", "auth.example.net TXT class=CH",
        "id.server TXT", "id.server TXT class=255", "version.bind TXT class=4", ". TXT class=CH"}) {
    INFO(query);
    require_refused(server.ask(query));
  }
}

TEST_CASE("RFC 4892: the longest text fits a UDP response without EDNS", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.version = std::string(255, 'v')});
  Reply reply = server.ask("version.server TXT class=CH");
  require_answer(reply, {fmt::format("version.server. 0 CH TXT \"{}\"", std::string(255, 'v'))});
}

}  // namespace countersign::tests
