// RFC 1035 §4 and RFC 1034 §4.3: header, question, plain answers, additional records, what is not ours.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("RFC 1035: an answer with two addresses, octet by octet", "[protocol]") {
  AnswerFixture server;
  Reply reply =
      server.send(from_hex("abcd 0100 0001 0000 0000 0000"
                           "03777777 0461757468 076578616d706c65 036e6574 00 0001 0001"));
  REQUIRE(to_hex(reply.response) == to_hex(from_hex("abcd 8500 0001 0002 0000 0000"
                                                    "03777777 0461757468 076578616d706c65 036e6574 00 0001 0001"
                                                    "c00c 0001 0001 0000012c 0004 cb007150"
                                                    "c00c 0001 0001 0000012c 0004 cb007151")));
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 1035: a refusal is the header and the question, octet by octet", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.send(from_hex("0001 0000 0001 0000 0000 0000 01780474657374 00 0010 0001"));
  REQUIRE(to_hex(reply.response) == to_hex(from_hex("0001 8005 0001 0000 0000 0000 01780474657374 00 0010 0001")));
  REQUIRE(reply.counters == kCountedRefused);
}

TEST_CASE("RFC 1035: ID and RD are copied, everything else in the header is ours", "[protocol]") {
  AnswerFixture server;
  Reply plain = server.ask("www.auth.example.net AAAA id=0");
  REQUIRE(plain.message.id == 0);
  REQUIRE(plain.message.flags() == "qr aa");
  Reply flagged = server.ask("www.auth.example.net AAAA id=0xffff aa tc rd ra z ad");
  REQUIRE(flagged.message.id == 0xffff);
  REQUIRE(flagged.message.flags() == "qr aa rd");
  REQUIRE(flagged.message.answer == Lines{"www.auth.example.net. 300 IN AAAA 2001:db8::80"});
  REQUIRE(flagged.counters == kCountedAnswer);
}

TEST_CASE("RFC 1035: over TCP the same message is sent and counted as TCP", "[protocol]") {
  AnswerFixture server;
  Reply udp = server.ask("www.auth.example.net A");
  Reply tcp = server.ask_tcp("www.auth.example.net A");
  REQUIRE(udp.response == tcp.response);
  REQUIRE(tcp.counters == "queries_tcp responses noerror");
}

TEST_CASE("RFC 1035: the apex answers for SOA and NS", "[protocol]") {
  AnswerFixture server;
  Reply soa = server.ask("auth.example.net SOA");
  REQUIRE(soa.message.flags() == "qr aa");
  REQUIRE(soa.message.answer.size() == 1);
  REQUIRE(soa.message.answer[0].find(" IN SOA ns1.auth.example.net. hostmaster.example.net. 2026112200 ") !=
          std::string::npos);
  REQUIRE(soa.counters == kCountedAnswer);

  Reply ns = server.ask("auth.example.net NS");
  REQUIRE(ns.message.flags() == "qr aa");
  REQUIRE(ns.message.answer.size() == 2);
  REQUIRE(ns.message.answer[0].ends_with(" IN NS ns1.auth.example.net."));
  REQUIRE(ns.message.answer[1].ends_with(" IN NS ns.outside.test."));
  REQUIRE(ns.counters == kCountedAnswer);
}

TEST_CASE("RFC 1035: hosts named in NS, MX and SRV come with their addresses, others do not", "[protocol]") {
  AnswerFixture server;
  REQUIRE(server.ask("auth.example.net NS").message.additional ==
          Lines{"ns1.auth.example.net. 300 IN A 203.0.113.5", "ns1.auth.example.net. 300 IN AAAA 2001:db8::5"});

  Reply mx = server.ask("auth.example.net MX");
  require_answer(
      mx, {"auth.example.net. 300 IN MX 10 mail.auth.example.net.", "auth.example.net. 300 IN MX 20 mx.outside.test."});
  REQUIRE(mx.message.additional == Lines{"mail.auth.example.net. 300 IN A 203.0.113.25"});
  REQUIRE(mx.counters == kCountedAnswer);

  Reply srv = server.ask("_sip._tcp.auth.example.net SRV");
  require_answer(srv, {"_sip._tcp.auth.example.net. 300 IN SRV 1 2 5060 www.auth.example.net."});
  REQUIRE(srv.message.additional == Lines{"www.auth.example.net. 300 IN A 203.0.113.80",
                                          "www.auth.example.net. 300 IN A 203.0.113.81",
                                          "www.auth.example.net. 300 IN AAAA 2001:db8::80"});
}

TEST_CASE("RFC 1034 §4.3.2: a name in no zone of ours is refused, without a referral upwards", "[protocol]") {
  AnswerFixture server;
  for (std::string_view name : {".", "net", "example.net", "xauth.example.net", "www.example.net", "example.com",
                                "x_acme-challenge.example.com", "auth.example.net.example.com", "outside.test"}) {
    INFO(name);
    Reply reply = server.ask(std::string(name) + " NS");
    require_refused(reply);
    REQUIRE(reply.counters == kCountedRefused);
  }
}

TEST_CASE("RFC 1034 §4.3.2: the deepest zone that holds the name answers", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("www.nested.auth.example.net A"), {"www.nested.auth.example.net. 300 IN A 203.0.113.91"});
  require_answer(server.ask("nested.auth.example.net A"), {"nested.auth.example.net. 300 IN A 203.0.113.90"});
  require_nxdomain(server.ask("missing.nested.auth.example.net A"), server, "nested.auth.example.net", 1);
  require_nodata(server.ask("nested.auth.example.net TXT"), server, "nested.auth.example.net", 1);
  // Wildcards and everything else of the parent end at the nested zone's apex.
  require_nxdomain(server.ask("missing.auth.example.net A"), server);
}

TEST_CASE("RFC 1035 §3.2.4: other classes than IN are refused", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text :
       {"version.bind TXT class=CH", "id.server TXT class=CH", "auth.example.net SOA class=CH",
        "auth.example.net SOA class=4", "www.auth.example.net A class=254", "www.auth.example.net A class=0"}) {
    INFO(text);
    Reply reply = server.ask(text);
    require_refused(reply);
    REQUIRE(reply.counters == kCountedRefused);
  }
}

TEST_CASE("RFC 1035 §3.2.5: class ANY is refused or answered as IN, never dropped", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("www.auth.example.net A class=ANY");
  bool refused = reply.message.rcode == rcode::kRefused && reply.message.answer.empty();
  bool served = reply.message.rcode == rcode::kNoError && reply.message.answer.size() == 2;
  REQUIRE((refused || served));
}

TEST_CASE("RFC 1035 §3.2.3: query types that stand for operations get an error, not data", "[protocol]") {
  AnswerFixture server;
  // RFC 5936 §4.2: no AXFR over UDP; over TCP a zone that may not be transferred is refused.
  for (std::string_view type : {"AXFR", "IXFR"})
    for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
      Reply reply = server.ask("auth.example.net " + std::string(type), transport);
      INFO(type << " rcode " << reply.message.rcode);
      bool error = reply.message.rcode == rcode::kRefused || reply.message.rcode == rcode::kNotImp ||
                   (reply.message.rcode == rcode::kFormErr && transport == dnsd::Transport::Udp);
      REQUIRE(error);
      REQUIRE(reply.message.answer.empty());
    }
  // MAILB and MAILA are long obsolete: no data of that kind, or not implemented.
  for (std::string_view type : {"TYPE253", "TYPE254"}) {
    Reply reply = server.ask("auth.example.net " + std::string(type));
    INFO(type << " rcode " << reply.message.rcode);
    REQUIRE((reply.message.rcode == rcode::kNotImp || reply.message.rcode == rcode::kNoError));
    REQUIRE(reply.message.answer.empty());
  }
  // OPT, TKEY, TSIG and NXNAME are never asked for (RFC 6891 §6.1.1, RFC 8945 §4.2, RFC 9824 §3.4).
  for (std::string_view type : {"TYPE41", "TYPE249", "TYPE250", "TYPE128"}) {
    Reply reply = server.ask("auth.example.net " + std::string(type));
    INFO(type);
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.counters == kCountedFormerr);
  }
}

TEST_CASE("RFC 1035 §4.1.1: operations that are not queries get NOTIMP and a bare header", "[protocol]") {
  AnswerFixture server;
  for (unsigned opcode = 1; opcode < 16; ++opcode) {
    INFO("opcode " << opcode);
    Reply reply = server.ask(fmt::format("auth.example.net SOA opcode={} rd cd ad aa tc z ra", opcode));
    REQUIRE(reply.response.size() == 12);
    REQUIRE(reply.message.opcode == opcode);
    REQUIRE(reply.message.rcode == rcode::kNotImp);
    REQUIRE(reply.message.flags() == "qr");
    REQUIRE(reply.counters == kCountedNotimp);
  }
}

TEST_CASE("RFC 1035 §2.3.4: the longest name is looked up", "[protocol]") {
  AnswerFixture server;
  // 3 labels of 63, one of 44, and auth.example.net: 255 octets with the root.
  std::string label(63, 'x');
  std::string name = label + "." + label + "." + label + "." + std::string(44, 'y') + ".auth.example.net";
  REQUIRE(wire_name(name).size() == 255);
  require_nxdomain(server.ask(name + " A"), server);
  // 127 labels, the most there can be.
  std::string many;
  for (int i = 0; i < 118; ++i) many += "z.";
  many += "auth.example.net";
  REQUIRE(wire_name(many).size() == 254);
  require_nxdomain(server.ask(many + " TXT"), server);
}

TEST_CASE("RFC 1035 §2.3.4: a record at the longest name is served", "[protocol]") {
  AnswerFixture server;
  std::string label(63, 'x');
  std::string name = label + "." + label + "." + label + "." + std::string(44, 'y') + ".auth.example.net";
  server.publish(name, {"far"});
  REQUIRE(server.ask(name + " TXT").message.answer == Lines{name + ". 1 IN TXT \"far\""});
}

}  // namespace countersign::tests
