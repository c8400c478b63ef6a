// RFC 8482: ANY is answered small.
#include <set>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

std::set<std::string> types_of(const Lines& lines) {
  std::set<std::string> types;
  for (const std::string& line : lines) {
    std::size_t at = line.find(" IN ") + 4;
    types.insert(line.substr(at, line.find(' ', at) - at));
  }
  return types;
}

}  // namespace

TEST_CASE("RFC 8482 §4.1: ANY gets one RRset of the name, or the HINFO that says so", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {"auth.example.net", "www.auth.example.net", "texts.auth.example.net",
                                "x.wild.auth.example.net", "opaque.auth.example.net"}) {
    INFO(name);
    Reply reply = server.ask(std::string(name) + " ANY");
    REQUIRE(reply.message.rcode == rcode::kNoError);
    REQUIRE(reply.message.flags() == "qr aa");
    REQUIRE(types_of(reply.message.answer).size() == 1);
    for (const std::string& line : reply.message.answer) REQUIRE(line.starts_with(std::string(name) + ". "));
    if (reply.message.answer[0].find(" HINFO ") != std::string::npos && name != "texts.auth.example.net")
      REQUIRE(reply.message.answer[0].ends_with(" IN HINFO \"RFC8482\" \"\""));
    REQUIRE(reply.counters == kCountedAnswer);
  }
}

TEST_CASE("RFC 8482: ANY at an alias gets the alias", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("chain.auth.example.net ANY");
  REQUIRE(types_of(reply.message.answer).size() == 1);
  REQUIRE(reply.message.answer.size() == 1);
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 8482: ANY does not change what exists", "[protocol]") {
  AnswerFixture server;
  require_nodata(server.ask("c.auth.example.net ANY"), server);
  require_nxdomain(server.ask("missing.auth.example.net ANY"), server);
  REQUIRE(server.ask("x.child.auth.example.net ANY").counters == kCountedReferral);
  require_refused(server.ask("outside.test ANY"));
}

TEST_CASE("RFC 8482 §4.1: ANY is no way around the limit of a response", "[protocol]") {
  AnswerFixture server;
  server.publish("full.auth.example.net", challenge_values(16));
  Reply reply = server.ask("full.auth.example.net ANY");
  REQUIRE(reply.message.tc);
  REQUIRE(reply.message.answer.empty());
  REQUIRE(reply.counters == "queries_udp responses noerror truncated");
}

}  // namespace countersign::tests
