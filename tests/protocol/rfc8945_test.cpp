// RFC 8945: TSIG on queries, as far as a server without keys goes: each is refused in due form.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

struct Tsig {
  std::string key = "key.example";
  std::string algorithm = "hmac-sha256";
  Packet mac = Packet(32, 'm');
  std::uint16_t klass = 255;
  std::uint32_t ttl = 0;
  Packet tail{};  // behind the other data

  [[nodiscard]] Packet wire() const {
    Packet rdata = wire_name(algorithm) + from_hex("000065000000 012c") +
                   wire_u16(static_cast<std::uint16_t>(mac.size())) + mac + from_hex("4321 0000 0000") + tail;
    return RawRecord{.owner = wire_name(key), .type = 250, .klass = klass, .ttl = ttl, .rdata = rdata}.wire();
  }
};

Reply ask(AnswerFixture& server, std::string_view question, const Tsig& tsig,
          dnsd::Transport transport = dnsd::Transport::Udp) {
  return server.send(QueryBuilder(question).additional(tsig.wire()).build(), transport);
}

}  // namespace

TEST_CASE("RFC 8945 §5.2.1: a key that is not known is NOTAUTH, BADKEY, unsigned", "[protocol]") {
  AnswerFixture server;
  for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
    Reply reply = ask(server, "auth.example.net SOA", {}, transport);
    REQUIRE(reply.message.rcode == rcode::kNotAuth);
    REQUIRE(reply.message.flags() == "qr");
    REQUIRE(reply.message.answer.empty());
    // Name, algorithm, time, fudge and original ID are the client's; the MAC is empty; the error is BADKEY (17).
    std::string suffix = to_hex(wire_name("key.example") + from_hex("00fa 00ff 00000000 001d") +
                                wire_name("hmac-sha256") + from_hex("000065000000 012c 0000 4321 0011 0000"));
    REQUIRE(to_hex(reply.response.substr(reply.response.size() - 52)) == suffix);
    REQUIRE(reply.counters.ends_with(" responses notauth"));
  }
}

TEST_CASE("RFC 8945: genreport's dnswkk, a key whose name is the root", "[protocol]") {
  AnswerFixture server;
  Reply reply = ask(server, "auth.example.net SOA", {.key = "."});
  REQUIRE(reply.message.rcode == rcode::kNotAuth);
  REQUIRE(reply.message.tsig.find("TSIG") != std::string::npos);
}

TEST_CASE("RFC 8945 §5.1: beside EDNS the TSIG comes last", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.nsid = "ns1"});
  Packet opt = RawOpt{.options = from_hex("00030000")}.wire();
  Reply reply = server.send(QueryBuilder("auth.example.net SOA").additional(opt).additional(Tsig{}.wire()).build());
  REQUIRE(reply.message.rcode == rcode::kNotAuth);
  REQUIRE(reply.message.opt);
  REQUIRE_FALSE(reply.message.tsig.empty());
}

TEST_CASE("RFC 8945 §5.2: a TSIG in a wrong place or form is a format error", "[protocol]") {
  AnswerFixture server;
  Packet address = RawRecord{.owner = wire_name("a.test"), .type = 1, .rdata = Packet(4, '\1')}.wire();
  Packet good = Tsig{}.wire();
  QueryBuilder question("auth.example.net SOA");
  for (const Packet& wrong : {good + address, good + good}) {
    // Two records in one string: counted as one, so the claim is set right.
    Reply reply = server.send(QueryBuilder("auth.example.net SOA").additional(wrong).claim_count(3, 2).build());
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.message.tsig.empty());
  }
  for (const Tsig& wrong : {Tsig{.klass = 1}, Tsig{.ttl = 1}, Tsig{.tail = Packet(1, '\0')}}) {
    Reply reply = ask(server, "auth.example.net SOA", wrong);
    REQUIRE(reply.message.rcode == rcode::kFormErr);
    REQUIRE(reply.counters == kCountedFormerr);
  }
  // Compressed names (§4.2).
  Packet rdata = from_hex("c00c 000065000000 012c 0000 4321 0000 0000");
  Packet compressed_algorithm = RawRecord{.owner = wire_name("k"), .type = 250, .klass = 255, .rdata = rdata}.wire();
  Packet owner = RawRecord{.owner = from_hex("c00c"), .type = 250, .klass = 255, .rdata = good.substr(23)}.wire();
  for (const Packet& wrong : {compressed_algorithm, owner})
    REQUIRE(server.send(QueryBuilder("auth.example.net SOA").additional(wrong).build()).message.rcode ==
            rcode::kFormErr);
  // Every cut.
  for (std::size_t octets = 1; octets < good.size(); ++octets) {
    Packet cut = QueryBuilder("auth.example.net SOA").additional(good.substr(0, octets)).build();
    REQUIRE(server.send(cut).message.rcode == rcode::kFormErr);
  }
}

TEST_CASE("RFC 8945 §5.3: what does not fit goes without the question, then without the TSIG", "[protocol]") {
  AnswerFixture server;
  std::string label(63, 'k');
  std::string longest = label + "." + label + "." + label + "." + std::string(61, 'k');
  // Twice 255 octets of key and algorithm and the question's 22: above 512.
  Reply reply = ask(server, "auth.example.net SOA", {.key = longest, .algorithm = longest});
  REQUIRE(reply.message.rcode == rcode::kNotAuth);
  REQUIRE(reply.message.tsig.empty());
  REQUIRE(reply.response.size() <= 512);
  Reply shorter = ask(server, longest + " SOA", {.key = label + "." + label + "." + label});
  REQUIRE(shorter.message.rcode == rcode::kNotAuth);
  REQUIRE_FALSE(shorter.message.tsig.empty());
  REQUIRE(ask(server, "auth.example.net SOA", {.key = longest, .algorithm = longest}, dnsd::Transport::Tcp)
              .message.tsig.find("TSIG") != std::string::npos);
}

TEST_CASE("RFC 8945: an algorithm name that is longer than a name is a format error", "[protocol]") {
  // It was copied into a buffer for two names.
  AnswerFixture server;
  for (std::size_t labels : {4U, 5U, 15U, 200U}) {
    Packet algorithm;
    for (std::size_t i = 0; i < labels; ++i) algorithm += Packet(1, '\x3f') + Packet(63, 'a');
    algorithm += Packet(1, '\0');
    Packet rdata = algorithm + from_hex("000065000000 012c 0000 4321 0000 0000");
    Packet tsig = RawRecord{.owner = wire_name("."), .type = 250, .klass = 255, .rdata = rdata}.wire();
    INFO(labels);
    for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
      Reply reply = server.send(QueryBuilder(". SOA").additional(tsig).build(), transport);
      REQUIRE(reply.message.rcode == rcode::kFormErr);
      REQUIRE(reply.message.tsig.empty());
    }
  }
}

TEST_CASE("RFC 8945 §5.3.2: no option takes the room of the reason", "[protocol]") {
  AnswerFixture server(standard_zones(), dnsd::AnswerSettings{.nsid = std::string(64, 'n')});
  std::string label(63, 'k');
  Packet tsig = Tsig{.key = label + "." + label + "." + label, .algorithm = label + "." + label + "." + label}.wire();
  Packet opt = RawOpt{.size = 512, .options = from_hex("00030000")}.wire();
  Reply reply = server.send(QueryBuilder("auth.example.net SOA").additional(opt).additional(tsig).build());
  REQUIRE(reply.message.rcode == rcode::kNotAuth);
  REQUIRE_FALSE(reply.message.tsig.empty());
}

TEST_CASE("RFC 8945 §4.1: TSIG with a version of EDNS that is not known is BADVERS", "[protocol]") {
  AnswerFixture server;
  Packet opt = RawOpt{.version = 1}.wire();
  Reply reply = server.send(QueryBuilder("auth.example.net SOA").additional(opt).additional(Tsig{}.wire()).build());
  REQUIRE(reply.message.rcode == rcode::kBadVers);
}

}  // namespace countersign::tests
