// RFC 6891: EDNS(0), with nothing configured that an option could ask for.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

constexpr std::string_view kQuestion = "www.auth.example.net AAAA";
const Lines kAnswer{"www.auth.example.net. 300 IN AAAA 2001:db8::80"};
constexpr std::string_view kCountedEdns = "queries_udp responses noerror edns";

}  // namespace

TEST_CASE("RFC 6891: an answer with OPT, octet by octet", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("wWw.auth.example.net AAAA id=0x0102 edns do");
  REQUIRE(to_hex(reply.response) == to_hex(from_hex("0102 8400 0001 0001 0000 0001"
                                                    "03775777 0461757468 076578616d706c65 036e6574 00 001c 0001"
                                                    "c00c 001c 0001 0000012c 0010 20010db8000000000000000000000080"
                                                    "00 0029 04d0 00008000 0000")));
  REQUIRE(reply.counters == kCountedEdns);
}

TEST_CASE("RFC 6891 §6.1.1: OPT comes back when it was sent and only then", "[protocol]") {
  AnswerFixture server;
  for (std::string_view question : {"www.auth.example.net A", "missing.auth.example.net A", "mail.auth.example.net TXT",
                                    "x.child.auth.example.net A", "alias.auth.example.net A", "outside.test A",
                                    "auth.example.net SOA class=CH", "auth.example.net ANY"}) {
    INFO(question);
    Reply without = server.ask(question);
    REQUIRE_FALSE(without.message.opt);
    Reply with = server.ask(std::string(question) + " edns");
    REQUIRE(with.message.opt);
    REQUIRE(with.message.opt->version == 0);
    REQUIRE(with.message.opt->size == 1232);
    REQUIRE(with.message.opt->flags == 0);
    // An extended error comes without being asked for (RFC 8914 §3).
    REQUIRE((with.message.opt->options.empty() || with.message.rcode == rcode::kRefused));
    REQUIRE(with.message.rcode == without.message.rcode);
    REQUIRE(with.message.answer == without.message.answer);
    REQUIRE(with.message.authority == without.message.authority);
    REQUIRE(with.message.additional == without.message.additional);
    REQUIRE(with.counters == without.counters + " edns");
  }
}

TEST_CASE("RFC 6891 §6.2.5: what the server offers is what it is configured for", "[protocol]") {
  AnswerFixture server(standard_zones(), 1400);
  REQUIRE(server.ask("www.auth.example.net A edns size=512").message.opt->size == 1400);
}

TEST_CASE("RFC 3225 §3: DO is copied, other flags are not", "[protocol]") {
  AnswerFixture server;
  REQUIRE(server.ask(std::string(kQuestion) + " do").message.opt->flags == 0x8000);
  REQUIRE(server.ask(std::string(kQuestion) + " edns").message.opt->flags == 0);
  REQUIRE(server.ask(std::string(kQuestion) + " ednsflags=0x7fff").message.opt->flags == 0);
  Reply all = server.ask(std::string(kQuestion) + " ednsflags=0xffff");
  REQUIRE(all.message.opt->flags == 0x8000);
  REQUIRE(all.counters == kCountedEdns);
}

TEST_CASE("RFC 6891 §6.1.2: unknown options are passed over and not echoed", "[protocol]") {
  AnswerFixture server;
  for (std::string_view options : {"option=100:", "option=100:00", "option=65535:0102030405",
                                   "option=3:", "option=8:00010000", "option=10:0102030405060708", "option=9:",
                                   "option=12:0000000000", "option=15:0000", "option=100: option=100: option=100:"}) {
    INFO(options);
    Reply reply = server.ask(std::string(kQuestion) + " " + std::string(options));
    require_answer(reply, kAnswer);
    REQUIRE(reply.message.opt->options.empty());
    REQUIRE(reply.counters == kCountedEdns);
  }
}

TEST_CASE("RFC 6891 §6.1.2: options that overrun the OPT are a format error", "[protocol]") {
  AnswerFixture server;
  for (std::string_view rdata : {"00", "0064", "006400", "00640001", "0064ffff01", "00640000 00", "00640002 ff"}) {
    INFO(rdata);
    Reply reply = server.send(QueryBuilder(kQuestion).additional(RawOpt{.options = from_hex(rdata)}.wire()).build());
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.answer.empty());
    REQUIRE(reply.counters.starts_with(kCountedFormerr));
  }
  Packet cut = QueryBuilder(kQuestion).additional(RawOpt{.options = from_hex("00640000")}.wire()).build();
  cut[cut.size() - 5] = '\x08';  // RDLENGTH
  REQUIRE(server.send(cut).message.rcode == rcode::kFormErr);
}

TEST_CASE("RFC 6891 §6.1.1: two OPTs are a format error", "[protocol]") {
  AnswerFixture server;
  Reply reply =
      server.send(QueryBuilder(kQuestion).additional(RawOpt{}.wire()).additional(RawOpt{.version = 1}.wire()).build());
  REQUIRE(reply.message.rcode == rcode::kFormErr);
  REQUIRE(reply.message.answer.empty());
  REQUIRE(reply.counters.starts_with(kCountedFormerr));
}

TEST_CASE("RFC 6891 §6.1.2: an OPT that has an owner is a format error", "[protocol]") {
  AnswerFixture server;
  Packet opt = RawRecord{.owner = wire_name("x"), .type = 41, .klass = 1232}.wire();
  Reply reply = server.send(QueryBuilder(kQuestion).additional(opt).build());
  REQUIRE(reply.message.rcode == rcode::kFormErr);
  REQUIRE(reply.message.answer.empty());
}

TEST_CASE("RFC 6891 §6.1.1: the OPT may stand anywhere in the additional section", "[protocol]") {
  AnswerFixture server;
  Packet other = RawRecord{.owner = wire_name("a.b"), .type = 16, .ttl = 1, .rdata = Packet("\1x", 2)}.wire();
  Reply first = server.send(QueryBuilder(kQuestion).additional(RawOpt{}.wire()).additional(other).build());
  Reply last = server.send(QueryBuilder(kQuestion).additional(other).additional(RawOpt{}.wire()).build());
  require_answer(first, kAnswer);
  REQUIRE(first.message.opt);
  REQUIRE(first.response == last.response);
  REQUIRE(first.counters == kCountedEdns);
}

TEST_CASE("RFC 6891 §6.1.3: another version is answered BADVERS, octet by octet", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("x.auth.example.net SOA id=0x0102 version=1 do rd option=100:01");
  REQUIRE(to_hex(reply.response) == to_hex(from_hex("0102 8100 0001 0000 0000 0001"
                                                    "0178 0461757468 076578616d706c65 036e6574 00 0006 0001"
                                                    "00 0029 04d0 01008000 0000")));
  REQUIRE(reply.message.rcode == rcode::kBadVers);
  REQUIRE(reply.counters == "queries_udp responses badvers edns");
}

TEST_CASE("RFC 6891 §6.1.3: BADVERS comes before every answer but a format error", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text : {"www.auth.example.net A version=1", "missing.auth.example.net A version=255",
                                "outside.test A version=2", "auth.example.net SOA class=CH version=1",
                                "auth.example.net AXFR version=1", "auth.example.net ANY version=1 size=0"}) {
    INFO(text);
    Reply reply = server.ask(text);
    REQUIRE(reply.message.rcode == rcode::kBadVers);
    REQUIRE(reply.message.opt->version == 0);
    REQUIRE(reply.message.answer.empty());
    REQUIRE(reply.message.flags() == "qr");
    REQUIRE(reply.counters == "queries_udp responses badvers edns");
  }
  Packet broken = QueryBuilder(kQuestion).additional(RawOpt{.version = 1, .options = "x"}.wire()).build();
  REQUIRE(server.send(broken).message.rcode == rcode::kFormErr);
}

TEST_CASE("RFC 6891 §6.2.3: the response is no larger than the client takes, nor than we send", "[protocol]") {
  AnswerFixture server(standard_zones(), 1232);
  server.publish("full.auth.example.net", challenge_values(16));  // 16 * 56 octets behind header and question
  struct Case {
    std::string_view size;
    bool fits;
  };
  // 12 + 27 + 16 * 56 + 11 = 946
  for (const Case& c :
       {Case{"size=0", false}, Case{"size=511", false}, Case{"size=512", false}, Case{"size=945", false},
        Case{"size=946", true}, Case{"size=1232", true}, Case{"size=4096", true}, Case{"size=65535", true}}) {
    INFO(c.size);
    Reply reply = server.ask("full.auth.example.net TXT " + std::string(c.size));
    REQUIRE(reply.message.tc == !c.fits);
    REQUIRE(reply.message.opt);
    REQUIRE(reply.message.answer.size() == (c.fits ? 16 : 0));
    if (c.fits) REQUIRE(reply.message.size == 946);
    REQUIRE(reply.counters ==
            (c.fits ? "queries_udp responses noerror edns" : "queries_udp responses noerror truncated edns"));
  }
}

TEST_CASE("RFC 6891: over TCP the offered size does not matter", "[protocol]") {
  AnswerFixture server;
  server.publish("full.auth.example.net", challenge_values(16));
  for (std::string_view size : {"size=0", "size=512", "size=65535"}) {
    Reply reply = server.ask_tcp("full.auth.example.net TXT " + std::string(size));
    REQUIRE(reply.message.answer.size() == 16);
    REQUIRE(reply.counters == "queries_tcp responses noerror edns");
  }
}

TEST_CASE("RFC 6891 §7: errors have an OPT when the query had one", "[protocol]") {
  AnswerFixture server;
  REQUIRE(server.ask("outside.test A edns").message.opt);
  REQUIRE(server.ask("auth.example.net TYPE250 edns").message.opt);
  REQUIRE(server.ask_tcp("auth.example.net AXFR edns").message.opt);
  // RFC 1995 §3: IXFR has the client's SOA in its authority section, before the OPT.
  Packet soa =
      RawRecord{.owner = from_hex("c00c"), .type = 6, .ttl = 1, .rdata = from_hex("c00cc00c") + Packet(20, '\0')}
          .wire();
  REQUIRE(server.send(QueryBuilder("auth.example.net IXFR edns").authority(soa).build()).message.opt);
  Reply reply = server.ask("outside.test A edns do");
  REQUIRE(reply.message.opt->flags == 0x8000);
  REQUIRE(reply.counters == "queries_udp responses refused edns");
}

TEST_CASE("RFC 6891 §6.1.1: a format error has an OPT too, when the query's could be read", "[protocol]") {
  AnswerFixture server;
  Packet address = RawRecord{.owner = wire_name("a.test"), .type = 1, .rdata = Packet(4, '\1')}.wire();
  for (bool answer : {true, false}) {
    QueryBuilder query("www.auth.example.net A edns");
    Reply reply = server.send((answer ? query.answer(address) : query.authority(address)).build());
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.opt);
    REQUIRE(reply.counters == "queries_udp responses formerr edns");
  }
}

TEST_CASE("RFC 6891 §6.1.3: what options mean in another version is not judged", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.cookie_secrets = {dnsd::CookieSecret{}}});
  REQUIRE(server.ask("www.auth.example.net A version=1 option=10:010203").message.rcode == rcode::kBadVers);
  REQUIRE(server.ask_tcp("www.auth.example.net A version=1 option=11:01").message.rcode == rcode::kBadVers);
  REQUIRE(server.ask("www.auth.example.net A option=10:010203").message.rcode == rcode::kFormErr);
}

TEST_CASE("RFC 6891 §6.1.1: OPT and TSIG belong into the additional section", "[protocol]") {
  AnswerFixture server;
  Packet opt = RawOpt{}.wire();
  REQUIRE(server.send(QueryBuilder("auth.example.net IXFR").authority(opt).build()).message.rcode == rcode::kFormErr);
}

}  // namespace countersign::tests
