#include "dnsd/update/update_service.hpp"

#include "tests/unit/dnsd/update_serving.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::kUpdateTime;
using tests::make_policy;
using tests::Packet;
using tests::QueryBuilder;
using tests::RawRecord;
using tests::rcode_of;
using tests::record;
using tests::Service;
using tests::TsigClient;
using tests::update_message;

TEST_CASE("a signed update is durable and visible before its signed NOERROR", "[dnsd][update]") {
  Service service;
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    std::string value = transport == Transport::Udp ? "one" : "two";
    TsigClient::Signed request = service.key.sign(update_message(7, "A.Auth.Test", value), kUpdateTime);
    auto pending = service.start(request.wire, transport);
    CHECK_FALSE(pending->has_value());
    CHECK(service.service->pending() == 1);
    service.run();
    REQUIRE(pending->has_value());
    CHECK(service.values("a.auth.test").contains("key:key.test " + value));
    auto answer = tests::decode(**pending);
    if (!answer) FAIL(answer.error().message);
    CHECK(answer->id == 7);
    CHECK(answer->opcode == 5);
    CHECK(answer->flags() == "qr");
    CHECK(answer->rcode == 0);
    CHECK(answer->question == tests::wire_name("auth.test") + tests::wire_u16(6) + tests::wire_u16(1));
    CHECK_FALSE(answer->tsig.empty());
    CHECK(service.key.verifies(**pending, request.mac));
  }
  CHECK(service.ask(update_message(9, "a.auth.test", "one", true)) == 0);
  CHECK(service.values("a.auth.test") == std::set<std::string>{"key:key.test two"});
  CHECK(service.service->pending() == 0);
  CHECK(service.service->counters().updates == 3);
  CHECK(service.service->counters().applied == 3);
  CHECK(service.service->query_counters().noerror.read() == 3);
  CHECK(service.service->query_counters().queries_udp.read() == 0);
}

TEST_CASE("who does not sign, or wrongly, changes nothing and hears why", "[dnsd][update]") {
  Service service;
  Packet update = update_message(7, "a.auth.test", "v");
  CHECK(rcode_of(service.serve(update)) == 5);
  // BADKEY and BADSIG are told without a signature (RFC 8945 §5.2.1, §5.2.2).
  TsigClient stranger{.name = "stranger.test"};
  std::string answer = service.serve(stranger.sign(update, kUpdateTime).wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(TsigClient::error_of(answer) == 17);
  TsigClient guesser{.secret = "a guess"};
  answer = service.serve(guesser.sign(update, kUpdateTime).wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(TsigClient::error_of(answer) == 16);
  // BADTIME is signed, and has the server's time.
  for (std::uint64_t time : {kUpdateTime - 301, kUpdateTime + 301}) {
    TsigClient::Signed late = service.key.sign(update, time);
    answer = service.serve(late.wire);
    CHECK(rcode_of(answer) == 9);
    CHECK(TsigClient::error_of(answer, 6) == 18);
    CHECK(answer.substr(answer.size() - 6) == tests::wire_u48(kUpdateTime));
    CHECK(service.key.verifies(answer, late.mac));
  }
  // A record behind the TSIG.
  Packet bad = service.key.sign(update, kUpdateTime).wire + tests::RawOpt().wire();
  bad.replace(10, 2, tests::wire_u16(2));
  CHECK(rcode_of(service.serve(bad)) == 1);
  CHECK(service.values("a.auth.test").empty());
  const UpdateCounters& counters = service.service->counters();
  CHECK(counters.updates == 6);
  CHECK(counters.refused == 6);
  CHECK(counters.applied == 0);
  CHECK(counters.tsig_errors == 4);
  CHECK(service.service->query_counters().notauth.read() == 4);
}

TEST_CASE("without a policy, or after a reload without it, no key is known", "[dnsd][update]") {
  Service service;
  Packet update = update_message(7, "a.auth.test", "v");
  CHECK(service.ask(update) == 0);
  service.service->use(std::make_shared<UpdatePolicy>());
  CHECK(rcode_of(service.serve(service.key.sign(update_message(8, "a.auth.test", "w"), kUpdateTime).wire)) == 9);
  service.service->use(make_policy());
  CHECK(service.ask(update_message(9, "a.auth.test", "w")) == 0);
}

TEST_CASE("an answer is signed with the key of its request, though a reload took it away meanwhile", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime);
  auto pending = service.start(request.wire);
  service.service->use(std::make_shared<UpdatePolicy>());
  service.run();
  REQUIRE(pending->has_value());
  CHECK(rcode_of(**pending) == 0);
  CHECK(service.key.verifies(**pending, request.mac));
}

TEST_CASE("each prerequisite has its own error", "[dnsd][update]") {
  Service service;
  CHECK(service.ask(update_message(1, "used.auth.test", "v")) == 0);
  struct Row {
    const char* name;
    std::uint16_t type;
    std::uint16_t klass;
    unsigned rcode;
  };
  unsigned id = 10;
  for (const Row& row :
       {Row{"free.auth.test", 255, 255, 3}, Row{"used.auth.test", 255, 254, 6}, Row{"used.auth.test", 16, 254, 7},
        Row{"free.auth.test", 16, 255, 8}, Row{"used.auth.test", 255, 255, 0}, Row{"free.auth.test", 16, 254, 0}}) {
    Packet packet = QueryBuilder("auth.test SOA opcode=5 id=" + std::to_string(++id))
                        .answer(record(row.name, row.type, row.klass))
                        .authority(record("new.auth.test", 16, 1, tests::txt_rdata("v")))
                        .build();
    CHECK(service.ask(packet) == row.rcode);
    CHECK(service.values("new.auth.test").empty() == (row.rcode != 0));
  }
}

TEST_CASE("what may not be, and what cannot be, is refused whole", "[dnsd][update]") {
  Service service;
  auto with = [](std::string_view zone, const std::vector<Packet>& records) {
    static unsigned id = 100;
    QueryBuilder builder(std::string(zone) + " opcode=5 id=" + std::to_string(++id));
    for (const Packet& one : records) builder.authority(one);
    return builder.build();
  };
  Packet fine = record("fine.auth.test", 16, 1, tests::txt_rdata("v"));
  CHECK(service.ask(with("other.test SOA", {fine})) == 9);
  CHECK(service.ask(with("auth.test TXT", {fine})) == 1);
  CHECK(service.ask(with("auth.test SOA", {fine, record("a.other.test", 16, 1, tests::txt_rdata("v"))})) == 10);
  CHECK(service.ask(with("auth.test SOA", {fine, record("auth.test", 16, 1, tests::txt_rdata("v"))})) == 5);
  CHECK(service.ask(with("auth.test SOA", {fine, record("a.auth.test", 1, 1, "\x7f\1\1\1")})) == 5);
  std::vector<Packet> many{fine};
  for (const char* value : {"1", "2", "3", "4"})
    many.push_back(record("many.auth.test", 16, 1, tests::txt_rdata(value)));
  CHECK(service.ask(with("auth.test SOA", many)) == 5);  // challenge.max_values is 3
  service.key.name = "narrow.test";
  CHECK(service.ask(with("auth.test SOA", {fine})) == 5);
  CHECK(service.values("fine.auth.test").empty());
  CHECK(service.values("many.auth.test").empty());
  CHECK(service.ask(with("auth.test SOA", {record("only.auth.test", 16, 1, tests::txt_rdata("v"))})) == 0);
  CHECK(service.values("only.auth.test") == std::set<std::string>{"key:narrow.test v"});
}

TEST_CASE("errors over UDP for who proved nothing are rate limited, and nothing else", "[dnsd][update]") {
  Service service;
  Packet update = update_message(7, "a.auth.test", "v");
  TsigClient stranger{.name = "stranger.test"};
  TsigClient guesser{.secret = "a guess"};
  std::vector<Packet> bad{update,
                          stranger.sign(update, kUpdateTime).wire,
                          guesser.sign(update, kUpdateTime).wire,
                          service.key.sign(update, kUpdateTime - 301).wire,
                          update.substr(0, update.size() - 1),
                          guesser.sign(tests::query("a.auth.test TXT"), kUpdateTime).wire};
  for (const Packet& packet : bad) {
    for (std::uint32_t slip : {0U, 2U}) {
      // A network of its own for each.
      static unsigned networks = 0;
      service.client = *base::SocketAddress::parse("10.0." + std::to_string(++networks) + ".1:53");
      service.zone.use({.responses_per_second = 8, .slip = slip, .defers_signed = true});
      unsigned whole = service.serve(packet).empty() ? 0 : 1;
      CHECK(whole == 1);
      unsigned answered = 0;
      for (unsigned i = 0; i < 400; ++i) {
        std::string answer = service.serve(packet);
        if (answer.empty()) continue;
        ++answered;
        CHECK(answer.size() <= packet.size());
      }
      // A quarter of eight, and a few more should this take seconds.
      CHECK(answered >= (slip == 0 ? 1U : 190U));
      CHECK(answered <= (slip == 0 ? 40U : 230U));
      for (unsigned i = 0; i < 20; ++i) CHECK_FALSE(service.serve(packet, Transport::Tcp).empty());
    }
  }
  const Counters& counters = service.service->query_counters();
  CHECK(counters.rate_limited.read() == counters.dropped_rate.read() + counters.slipped.read());
  CHECK(counters.slipped.read() > 1000);
  CHECK(counters.dropped_rate.read() > 2000);
  CHECK(service.service->counters().refused == 421 * 2 * 5);
  // Whoever signs with a key of ours hears each error, from the same address.
  Packet forbidden = update_message(8, "a.other.test", "v");
  for (unsigned i = 0; i < 100; ++i) {
    forbidden.replace(0, 2, tests::wire_u16(static_cast<std::uint16_t>(i)));
    CHECK(service.ask(forbidden) == 10);
  }
}

TEST_CASE("a signed query gets a signed answer", "[dnsd][update]") {
  Service service;
  service.zone.publish("n1.auth.test", "the value");
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    for (const char* text : {"n1.auth.test TXT", "n1.auth.test TXT edns rd", "auth.test SOA", "_x.y.auth.test SOA edns",
                             "elsewhere.test TXT", "auth.test AXFR", "n1.auth.test TXT edns version=1", "- "}) {
      TsigClient::Signed request = service.key.sign(tests::query(text), kUpdateTime);
      std::string packet = service.serve(request.wire, transport);
      CHECK(service.key.verifies(packet, request.mac));
      auto answer = tests::decode(packet);
      if (!answer) FAIL(text << ": " << answer.error().message);
      CHECK(answer->id == 0x1234);
      if (std::string_view(text).starts_with("n1.auth.test TXT") && answer->rcode == 0)
        CHECK(answer->answer.size() == 1);
    }
  }
  CHECK(service.service->counters().signed_queries == 16);
  CHECK(service.service->query_counters().type_soa.read() == 4);
  CHECK(service.service->query_counters().queries_udp.read() == 0);
  CHECK(service.service->query_counters().edns.read() == 0);
  CHECK(service.service->query_counters().badvers.read() == 2);
}

TEST_CASE("a signed answer keeps within what the client takes, with its signature", "[dnsd][update]") {
  Service service;
  for (char c : {'a', 'b', 'c'}) service.zone.publish("big.auth.test", std::string(150, c));
  for (auto [text, cut] : {std::pair{"big.auth.test TXT", true}, std::pair{"big.auth.test TXT edns size=512", true},
                           std::pair{"big.auth.test TXT edns size=1232", false}}) {
    TsigClient::Signed request = service.key.sign(tests::query(text), kUpdateTime);
    std::string packet = service.serve(request.wire);
    auto answer = tests::decode(packet);
    REQUIRE(answer);
    CHECK(answer->tc == cut);
    CHECK(packet.size() <= (cut ? 512U : 1232U));
    CHECK(service.key.verifies(packet, request.mac));
    std::string whole = service.serve(request.wire, Transport::Tcp);
    CHECK(tests::decode(whole)->answer.size() == 3);
    CHECK(service.key.verifies(whole, request.mac));
  }
}

TEST_CASE("a question and a key of the longest names still get a signed answer of 512 octets", "[dnsd][update]") {
  Service service;
  std::string label(63, 'k');
  service.key.name = label + "." + label + "." + label + "." + std::string(61, 'k');
  auto policy = make_policy();
  policy->keys[0].name = *base::Name::parse(service.key.name);
  service.service->use(policy);
  std::string longest = label + "." + label + "." + label + "." + std::string(50, 'x') + ".auth.test";
  for (const Packet& message : {tests::query(longest + " TXT"), tests::query(longest + " TXT edns size=512"),
                                update_message(1, longest, "v")}) {
    TsigClient::Signed request = service.key.sign(message, kUpdateTime);
    std::string packet = service.serve(request.wire);
    CHECK(packet.size() <= 512);
    CHECK(service.key.verifies(packet, request.mac));
  }
}

TEST_CASE("a stranger's long names get no answer longer than 512 octets", "[dnsd][update]") {
  Service service;
  std::string label(63, 'k');
  std::string longest = label + "." + label + "." + label + "." + std::string(61, 'k');
  RawRecord tsig;
  tsig.owner = tests::wire_name(longest);
  tsig.type = 250;
  tsig.klass = 255;
  tsig.rdata = tests::wire_name(longest) + tests::wire_u48(kUpdateTime) + tests::wire_u16(300) + tests::wire_u16(32) +
               std::string(32, 'm') + tests::wire_u16(1) + tests::wire_u16(0) + tests::wire_u16(0);
  Packet packet = QueryBuilder("auth.test SOA opcode=5").additional(tsig.wire()).build();
  std::string answer = service.serve(packet);
  CHECK(answer.size() <= 512);
  CHECK(rcode_of(answer) == 9);
}

TEST_CASE("an update with EDNS is answered with EDNS, and an unknown version of it is said", "[dnsd][update]") {
  Service service;
  auto with_opt = [](std::string_view words, unsigned id) {
    return QueryBuilder("auth.test SOA opcode=5 " + std::string(words) + " id=" + std::to_string(id))
        .authority(record("a.auth.test", 16, 1, tests::txt_rdata("v")))
        .build();
  };
  TsigClient::Signed request = service.key.sign(with_opt("edns size=4096", 1), kUpdateTime);
  std::string packet = service.serve(request.wire);
  auto answer = tests::decode(packet);
  if (!answer) FAIL(answer.error().message);
  REQUIRE(answer->opt);
  CHECK(answer->opt->size == 1232);
  CHECK(answer->rcode == 0);
  CHECK(service.key.verifies(packet, request.mac));
  request = service.key.sign(with_opt("edns version=1", 2), kUpdateTime);
  packet = service.serve(request.wire);
  answer = tests::decode(packet);
  REQUIRE(answer);
  CHECK(answer->rcode == 16);
  CHECK(service.key.verifies(packet, request.mac));
  CHECK_FALSE(
      tests::decode(service.serve(service.key.sign(update_message(3, "b.auth.test", "v"), kUpdateTime).wire))->opt);
}

TEST_CASE("what is no message, a response, or a header alone changes nothing", "[dnsd][update]") {
  Service service;
  Packet update = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime).wire;
  Packet response = update;
  response[2] = static_cast<char>(static_cast<unsigned char>(response[2]) | 0x80U);
  CHECK(service.serve(response).empty());
  CHECK(service.serve(update.substr(0, 11)).empty());
  CHECK(service.serve("").empty());
  for (std::size_t length = 12; length < update.size(); ++length) {
    std::string answer = service.serve(update.substr(0, length));
    REQUIRE(answer.size() >= 12);
    unsigned rcode = rcode_of(answer);
    CHECK((rcode == 1 || rcode == 5));
  }
  CHECK(service.values("a.auth.test").empty());
}
