// RFC 1035 §4, RFC 8906 §3: what is no proper query gets FORMERR when it can be answered at all, and never a crash.
#include <array>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

// A query whose QNAME is written octet by octet.
Packet question_of(std::string_view name_hex, std::string_view type_and_class = "0010 0001") {
  return QueryBuilder("-").question(from_hex(name_hex) + from_hex(type_and_class)).build();
}

}  // namespace

TEST_CASE("RFC 1035: messages shorter than a header are dropped", "[protocol]") {
  AnswerFixture server;
  Packet whole = query("www.auth.example.net A");
  for (std::size_t length = 0; length < 12; ++length) {
    for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
      Reply reply = server.send(whole.substr(0, length), transport);
      INFO(length);
      REQUIRE_FALSE(reply.answered);
      REQUIRE(reply.counters ==
              (transport == dnsd::Transport::Udp ? "queries_udp dropped_short" : "queries_tcp dropped_short"));
    }
  }
}

TEST_CASE("RFC 1035: responses are dropped, or two servers could talk for ever", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text : {"www.auth.example.net A qr", "- qr", "- qr opcode=15", "x.test A qr edns version=1"}) {
    Reply reply = server.ask(text);
    REQUIRE_FALSE(reply.answered);
    REQUIRE(reply.counters == "queries_udp dropped_response");
  }
  Reply own = server.ask("www.auth.example.net A");
  REQUIRE_FALSE(server.send(own.response).answered);
}

TEST_CASE("RFC 1035: a query cut off anywhere behind its header is a format error", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text : {"www.auth.example.net A", "www.auth.example.net A edns option=100:010203"}) {
    Packet whole = query(text);
    for (std::size_t length = 12; length < whole.size(); ++length) {
      INFO(text << " cut to " << length);
      Reply reply = server.send(whole.substr(0, length));
      REQUIRE(reply.message.rcode == rcode::kFormErr);
      REQUIRE(reply.message.answer.empty());
      REQUIRE(reply.counters.starts_with(kCountedFormerr));
    }
  }
}

TEST_CASE("RFC 1035: a format error keeps ID, opcode and RD", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.send(QueryBuilder("- id=0x4321 rd").claim_count(0, 1).build());
  REQUIRE(to_hex(reply.response) == "432181010000000000000000");
  REQUIRE(reply.counters == kCountedFormerr);
}

TEST_CASE("RFC 1035: bad names in the question are format errors", "[protocol]") {
  AnswerFixture server;
  struct Bad {
    std::string_view what;
    std::string hex;
  };
  std::string label = "3f";
  for (int i = 0; i < 63; ++i) label += "78";
  const auto bad = std::to_array<Bad>({
      {"no end", "03777777"},
      {"a label past the end", "05777777"},
      {"the longest label past the end", "3f7777"},
      {"a pointer to itself", "c00c"},
      {"a pointer to the header", "c000"},
      {"a pointer forward", "c020"},
      {"a pointer past the end", "ffff"},
      {"half a pointer", "c0"},
      {"a label, then a pointer to it", "0161c00c"},
      {"a label of kind 01", "416162"},
      {"a bit label (RFC 2673)", "410161"},
      {"a label of kind 10", "806162"},
      {"kind 01 behind a label", "016140"},
      {"256 octets", label + label + label + "3e" + std::string(124, '7') + "00"},
      {"far more than 255 octets", label + label + label + label + label + "00"},
  });
  for (const Bad& name : bad) {
    INFO(name.what);
    Reply reply = server.send(question_of(name.hex));
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.flags() == "qr");
    REQUIRE(reply.counters == kCountedFormerr);
  }
}

TEST_CASE("RFC 1035: counts that the message does not keep are format errors", "[protocol]") {
  AnswerFixture server;
  for (std::size_t section = 1; section < 4; ++section)
    for (std::uint16_t count : {std::uint16_t{1}, std::uint16_t{0xffff}}) {
      INFO("section " << section << " claims " << count);
      Reply reply = server.send(QueryBuilder("www.auth.example.net A").claim_count(section, count).build());
      REQUIRE(reply.message.rcode == rcode::kFormErr);
      REQUIRE(reply.counters == kCountedFormerr);
    }
}

TEST_CASE("RFC 1035: records in the answer or authority section of a query are answered or refused, not dropped",
          "[protocol]") {
  AnswerFixture server;
  Packet record = RawRecord{.owner = wire_name("www.auth.example.net"), .type = 1, .ttl = 1, .rdata = "abcd"}.wire();
  for (const Packet& packet : {QueryBuilder("www.auth.example.net A").answer(record).build(),
                               QueryBuilder("www.auth.example.net A").authority(record).build()}) {
    Reply reply = server.send(packet);
    REQUIRE((reply.message.rcode == rcode::kFormErr || reply.message.rcode == rcode::kNoError));
    REQUIRE(reply.counters.starts_with("queries_udp responses "));
  }
}

TEST_CASE("RFC 1035: records that mean nothing to us in the additional section are passed over", "[protocol]") {
  AnswerFixture server;
  Packet record = RawRecord{.owner = wire_name("a.b"), .type = 16, .ttl = 1, .rdata = Packet("\1x", 2)}.wire();
  Packet compressed = RawRecord{.owner = from_hex("c00c"), .type = 1, .ttl = 1, .rdata = "abcd"}.wire();
  Reply reply =
      server.send(QueryBuilder("www.auth.example.net AAAA").additional(record).additional(compressed).build());
  require_answer(reply, {"www.auth.example.net. 300 IN AAAA 2001:db8::80"});
  REQUIRE(reply.counters == kCountedAnswer);

  Packet overlong = record;
  overlong[overlong.size() - 3] = '\x7f';  // RDLENGTH
  reply = server.send(QueryBuilder("www.auth.example.net AAAA").additional(overlong).build());
  REQUIRE(reply.message.rcode == rcode::kFormErr);
}

TEST_CASE("RFC 1035: octets behind the message are a format error or ignored, and never answered with", "[protocol]") {
  AnswerFixture server;
  for (std::size_t count : {1U, 11U, 400U}) {
    Reply reply = server.send(QueryBuilder("www.auth.example.net AAAA").append(Packet(count, 'z')).build());
    REQUIRE((reply.message.rcode == rcode::kFormErr || reply.message.answer.size() == 1));
  }
}

TEST_CASE("RFC 1035: a thousand queries of one octet changed never break a rule", "[protocol]") {
  AnswerFixture server;
  for (std::string_view text : {"Chain.Auth.example.NET A rd edns do option=10:0102030405060708",
                                "www.child.auth.example.net TXT edns size=100", "x.wild.auth.example.net ANY"}) {
    Packet whole = query(text);
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (unsigned bit = 0; bit < 8; ++bit) {
        Packet changed = whole;
        changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1U << bit));
        for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
          Reply reply = server.send(changed, transport);  // throws when a rule is broken
          bool response = at == 2 && bit == 7;
          REQUIRE(reply.answered != response);
        }
      }
  }
}

}  // namespace countersign::tests
