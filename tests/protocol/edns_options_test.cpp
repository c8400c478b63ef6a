// EDNS options that are answered when they are asked for: RFC 5001, 7314, 7828, 9660, and extended errors, RFC 8914.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

using dnsd::AnswerSettings;
using dnsd::Transport;

constexpr unsigned kNsid = 3, kExpire = 9, kKeepalive = 11, kExtendedError = 15, kZoneVersion = 19;

std::string be16(unsigned value) {
  return wire_u16(static_cast<std::uint16_t>(value));
}

}  // namespace

TEST_CASE("RFC 5001 §2.2: NSID comes when it is asked for and configured", "[protocol]") {
  AnswerFixture server(standard_zones(), AnswerSettings{.nsid = "ns1.site-a"});
  for (std::string_view question :
       {"www.auth.example.net A", "missing.auth.example.net A", "x.child.auth.example.net A", "outside.test A"}) {
    INFO(question);
    Reply reply = server.ask(std::string(question) + " option=3:");
    REQUIRE(reply.message.option(kNsid) == "ns1.site-a");
    REQUIRE_FALSE(server.ask(std::string(question) + " edns").message.option(kNsid));
  }
  // A client that sends data with it gets the same (§2.1 forbids it the client, not us).
  REQUIRE(server.ask("www.auth.example.net A option=3:6162").message.option(kNsid) == "ns1.site-a");
  server.use({});
  REQUIRE_FALSE(server.ask("www.auth.example.net A option=3:").message.option(kNsid));
}

TEST_CASE("RFC 5001: an answer that leaves no room goes without NSID, not cut short", "[protocol]") {
  AnswerFixture server(standard_zones(), AnswerSettings{.nsid = std::string(64, 'n')});
  server.publish("full.auth.example.net", challenge_values(16));
  Reply plain = server.ask("full.auth.example.net TXT size=1232");
  REQUIRE_FALSE(plain.message.tc);
  for (std::size_t size = plain.message.size; size <= 1232; ++size) {
    Reply reply = server.ask("full.auth.example.net TXT option=3: size=" + std::to_string(size));
    REQUIRE_FALSE(reply.message.tc);
    REQUIRE(reply.message.option(kNsid).has_value() == (size >= plain.message.size + 4 + 64));
  }
}

TEST_CASE("RFC 7314 §3.1: EXPIRE of a primary is the SOA's, for the SOA alone", "[protocol]") {
  AnswerFixture server;
  REQUIRE(server.ask("auth.example.net SOA option=9:").message.option(kExpire) == from_hex("00127500"));
  for (std::string_view question : {"auth.example.net NS", "www.auth.example.net SOA", "www.auth.example.net A",
                                    "missing.auth.example.net SOA", "outside.test SOA"}) {
    INFO(question);
    REQUIRE_FALSE(server.ask(std::string(question) + " option=9:").message.option(kExpire));
  }
}

TEST_CASE("RFC 7828 §3.2: the keepalive option tells the idle time over TCP, and nothing over UDP", "[protocol]") {
  AnswerFixture server(standard_zones(), AnswerSettings{.tcp_idle_timeout = std::chrono::milliseconds(12'340)});
  REQUIRE(server.ask_tcp("www.auth.example.net A option=11:").message.option(kKeepalive) == be16(123));
  REQUIRE(server.ask_tcp("outside.test A option=11:").message.option(kKeepalive) == be16(123));
  REQUIRE_FALSE(server.ask_tcp("www.auth.example.net A edns").message.option(kKeepalive));
  for (std::string_view data : {"", "0064", "00"}) {
    INFO(data);
    Reply reply = server.ask("www.auth.example.net A option=11:" + std::string(data));
    REQUIRE(reply.message.rcode == rcode::kNoError);
    REQUIRE_FALSE(reply.message.option(kKeepalive));
  }
  // §3.2.2: a client sends it empty.
  REQUIRE(server.ask_tcp("www.auth.example.net A option=11:0064").message.rcode == rcode::kFormErr);
  server.use({.tcp_idle_timeout = std::chrono::hours(24)});
  REQUIRE(server.ask_tcp("www.auth.example.net A option=11:").message.option(kKeepalive) == be16(0xffff));
}

TEST_CASE("RFC 9660 §2.1: ZONEVERSION is the serial of the question's zone", "[protocol]") {
  AnswerFixture server;
  auto version = [&](std::string_view question) {
    return server.ask(std::string(question) + " option=19:").message.option(kZoneVersion);
  };
  auto wanted = [&](unsigned labels, std::size_t zone) {
    return from_hex(fmt::format("{:02x}00{:08x}", labels, server.serial(zone)));
  };
  REQUIRE(version("www.auth.example.net A") == wanted(3, 0));
  REQUIRE(version("missing.auth.example.net A") == wanted(3, 0));
  REQUIRE(version("www.nested.auth.example.net A") == wanted(4, 1));
  // Of the question's own name, wherever a CNAME leads.
  REQUIRE(version("across.auth.example.net A") == wanted(3, 0));
  REQUIRE_FALSE(version("outside.test A"));
  server.publish("new.auth.example.net", {"value"});
  REQUIRE(version("new.auth.example.net TXT") == wanted(3, 0));
}

TEST_CASE("RFC 8914 §4: an extended error says why, to clients with EDNS", "[protocol]") {
  AnswerFixture server;
  struct Row {
    std::string_view query;
    Transport transport;
    unsigned rcode;
    unsigned code;
  };
  for (Row row : {Row{"outside.test A edns", Transport::Udp, rcode::kRefused, 20},
                  Row{"auth.example.net AXFR edns", Transport::Tcp, rcode::kRefused, 21},
                  Row{"auth.example.net AXFR edns", Transport::Udp, rcode::kFormErr, 21},
                  Row{"auth.example.net IXFR edns", Transport::Udp, rcode::kRefused, 21},
                  Row{"auth.example.net TYPE128 edns", Transport::Udp, rcode::kFormErr, 30},
                  Row{"auth.example.net TYPE250 edns", Transport::Udp, rcode::kFormErr, 30}}) {
    INFO(row.query);
    Reply reply = server.ask(row.query, row.transport);
    REQUIRE(reply.message.rcode == row.rcode);
    auto data = reply.message.option(kExtendedError);
    REQUIRE(data);
    REQUIRE(data->substr(0, 2) == be16(row.code));
    for (char c : data->substr(2)) REQUIRE((c >= ' ' && c <= '~'));
    std::string plain(row.query.substr(0, row.query.size() - 5));
    REQUIRE_FALSE(server.ask(plain, row.transport).message.opt);
  }
  // Nothing is wrong with these.
  for (std::string_view fine : {"www.auth.example.net A edns", "missing.auth.example.net A edns",
                                "www.auth.example.net "
                                "TXT edns"}) {
    INFO(fine);
    REQUIRE_FALSE(server.ask(fine).message.option(kExtendedError));
  }
}

TEST_CASE("RFC 8914: what was wrong with one query is not told of the next", "[protocol]") {
  AnswerFixture server;
  REQUIRE(server.ask("outside.test A edns").message.option(kExtendedError));
  REQUIRE_FALSE(server.ask("www.auth.example.net A edns").message.option(kExtendedError));
  REQUIRE_FALSE(server.ask("auth.example.net A class=3 edns").message.option(kExtendedError));
}

}  // namespace countersign::tests
