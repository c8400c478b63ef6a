// RFC 6604 and RFC 1034 §3.6.2: aliases are followed as far as our zones go, and the RCODE is the last name's.
#include <array>

#include "dnsd/answer/composer.hpp"
#include "tests/protocol/expect.hpp"
#include "zones/name_hash.hpp"
#include "zones/record_type.hpp"

namespace countersign::tests {

TEST_CASE("RFC 1034 §3.6.2: an alias is answered with itself and what it stands for", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("chain.auth.example.net AAAA");
  require_answer(reply, {"chain.auth.example.net. 200 IN CNAME alias.auth.example.net.",
                         "alias.auth.example.net. 300 IN CNAME www.auth.example.net.",
                         "www.auth.example.net. 300 IN AAAA 2001:db8::80"});
  REQUIRE(reply.message.authority.empty());
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 1034 §3.6.2: a query for the alias itself is not followed", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("chain.auth.example.net CNAME");
  require_answer(reply, {"chain.auth.example.net. 200 IN CNAME alias.auth.example.net."});
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 1034 §4.3.2: an alias is followed from one zone of ours into another", "[protocol]") {
  AnswerFixture server;
  require_answer(server.ask("across.auth.example.net A"),
                 {"across.auth.example.net. 300 IN CNAME www.other.example.org.",
                  "www.other.example.org. 300 IN A 198.51.100.80"});
  require_answer(
      server.ask("back.other.example.org AAAA"),
      {"back.other.example.org. 300 IN CNAME www.auth.example.net.", "www.auth.example.net. 300 IN AAAA 2001:db8::80"});
  require_answer(server.ask("to-nested.auth.example.net A"),
                 {"to-nested.auth.example.net. 300 IN CNAME www.nested.auth.example.net.",
                  "www.nested.auth.example.net. 300 IN A 203.0.113.91"});
  server.publish("_acme-challenge.example.com", {"token"});
  require_answer(server.ask("to-challenge.auth.example.net TXT"),
                 {"to-challenge.auth.example.net. 300 IN CNAME _acme-challenge.example.com.",
                  "_acme-challenge.example.com. 1 IN TXT \"token\""});
}

TEST_CASE("RFC 1034 §4.3.2: an alias out of our zones is all there is to say", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("outside.auth.example.net A");
  require_answer(reply, {"outside.auth.example.net. 300 IN CNAME www.outside.test."});
  REQUIRE(reply.message.authority.empty());
  REQUIRE(reply.message.additional.empty());
  REQUIRE(reply.counters == kCountedAnswer);
}

TEST_CASE("RFC 6604 §3: an alias to a name that does not exist is NXDOMAIN with the last zone's SOA", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("dangling.auth.example.net A");
  REQUIRE(reply.message.rcode == rcode::kNxDomain);
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer == Lines{"dangling.auth.example.net. 300 IN CNAME missing.auth.example.net."});
  REQUIRE(is_soa(reply.message.authority, "auth.example.net", server.serial(0)));
  REQUIRE(reply.counters == kCountedNxdomain);

  AnswerFixture two({{"a.test", {"ns1.auth.example.net"}, {"x 300 CNAME gone.b.test."}},
                     {"b.test", {"ns1.auth.example.net"}, {}, std::chrono::seconds(30)}});
  reply = two.ask("x.a.test TXT");
  REQUIRE(reply.message.rcode == rcode::kNxDomain);
  REQUIRE(is_soa(reply.message.authority, "b.test", two.serial(1), 30));
}

TEST_CASE("RFC 2308 §2.2: an alias to a name without the type is NODATA with the SOA", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("to-nodata.auth.example.net AAAA");
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer == Lines{"to-nodata.auth.example.net. 300 IN CNAME mail.auth.example.net."});
  REQUIRE(is_soa(reply.message.authority, "auth.example.net", server.serial(0)));
  REQUIRE(reply.counters == kCountedNodata);
}

TEST_CASE("RFC 1034 §4.3.2: an alias below a delegation ends in the referral", "[protocol]") {
  AnswerFixture server;
  Reply reply = server.ask("to-cut.auth.example.net A");
  REQUIRE(reply.message.rcode == rcode::kNoError);
  // RFC 1035 §4.1.1: AA speaks of the name asked for, which is ours.
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer == Lines{"to-cut.auth.example.net. 300 IN CNAME www.child.auth.example.net."});
  REQUIRE(reply.message.authority == Lines{"child.auth.example.net. 600 IN NS ns.child.auth.example.net.",
                                           "child.auth.example.net. 600 IN NS ns.outside.test."});
  REQUIRE(reply.message.additional == Lines{"ns.child.auth.example.net. 600 IN A 203.0.113.53",
                                            "ns.child.auth.example.net. 600 IN AAAA 2001:db8::53"});
  REQUIRE(reply.counters == kCountedReferral);
}

TEST_CASE("RFC 1034 §5.2.2: a circle of aliases is cut off and answered with what it is", "[protocol]") {
  AnswerFixture server;
  const auto counters =
      std::to_array<std::string_view>({"queries_udp responses noerror", "queries_tcp responses noerror"});
  for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
    Reply self = server.ask("self.auth.example.net A", transport);
    require_answer(self, {"self.auth.example.net. 300 IN CNAME self.auth.example.net."});
    REQUIRE(self.counters == counters[transport == dnsd::Transport::Udp ? 0 : 1]);
    require_answer(server.ask("Loop-B.auth.example.net A", transport),
                   {"Loop-B.auth.example.net. 300 IN CNAME loop-a.auth.example.net.",
                    "loop-a.auth.example.net. 300 IN CNAME loop-b.auth.example.net."});
  }
}

TEST_CASE("RFC 1034 §5.2.2: a circle that does not hold the name asked is cut off where it closes", "[protocol]") {
  AnswerFixture server({{"a.test",
                         {"ns.outside.test"},
                         {"in 300 CNAME one", "one 300 CNAME two", "two 300 CNAME ONE", "*.w 300 CNAME x.w"}}});
  for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
    Reply reply = server.ask("in.a.test TXT", transport);
    REQUIRE(reply.message.flags() == "qr aa");
    REQUIRE(reply.message.answer.size() == 3);
    require_answer(server.ask("y.w.a.test TXT", transport),
                   {"y.w.a.test. 300 IN CNAME x.w.a.test.", "x.w.a.test. 300 IN CNAME x.w.a.test."});
  }
}

TEST_CASE("RFC 1034 §3.6.2: a very long chain costs bounded work and is answered", "[protocol]") {
  std::vector<std::string> records;
  records.reserve(201);
  for (int i = 0; i < 200; ++i) records.push_back(fmt::format("c{} 300 CNAME c{}", i, i + 1));
  records.emplace_back("c200 300 A 203.0.113.1");
  AnswerFixture server({{"a.test", {"ns.outside.test"}, records}});
  Reply reply = server.ask_tcp("c0.a.test A");
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(reply.message.answer.size() >= 8);
  REQUIRE(reply.message.answer.size() <= 64);
  Reply close = server.ask("c195.a.test A");
  require_answer(close, {"c195.a.test. 300 IN CNAME c196.a.test.", "c196.a.test. 300 IN CNAME c197.a.test.",
                         "c197.a.test. 300 IN CNAME c198.a.test.", "c198.a.test. 300 IN CNAME c199.a.test.",
                         "c199.a.test. 300 IN CNAME c200.a.test.", "c200.a.test. 300 IN A 203.0.113.1"});
}

TEST_CASE("RFC 2181 §9: a chain of aliases that does not fit is cut off with TC", "[protocol]") {
  std::string label(60, 'x');
  std::vector<std::string> records;
  records.reserve(11);
  for (int i = 0; i < 10; ++i) records.push_back(fmt::format("{0}{1}.{0} 300 CNAME {0}{2}.{0}", label, i, i + 1));
  records.push_back(fmt::format("{0}10.{0} 300 TXT \"end\"", label));
  AnswerFixture server({{"a.test", {"ns.outside.test"}, records}});
  std::string question = fmt::format("{0}0.{0}.a.test TXT", label);
  Reply udp = server.ask(question);
  REQUIRE(udp.message.tc);
  REQUIRE(udp.counters == "queries_udp responses noerror truncated");
  Reply tcp = server.ask_tcp(question);
  REQUIRE(tcp.message.answer.size() == 11);
  REQUIRE(tcp.counters == "queries_tcp responses noerror");
}

// The reader of records refuses them (static_zone_test.cpp); whoever follows them must not trust in that.
TEST_CASE("an alias whose target is not one whole name is not followed", "[protocol]") {
  std::string long_name;
  for (int i = 0; i < 4; ++i) long_name += "\x3f" + std::string(63, 'x');
  auto with_root = [](std::string labels) { return labels + std::string(1, '\0'); };
  for (const std::string& target :
       {std::string(), std::string("\1"), std::string("\1a"), std::string("\5ab\0", 4), with_root("\1a") + "x",
        with_root("\x40" + std::string(64, 'x')), std::string("\xc0\x0c"), with_root(long_name), long_name}) {
    zones::Epochs epochs;
    zones::NameTable table(epochs);
    zones::StaticZone zone;
    zone.apex = *base::Name::parse("a.test");
    base::Name alias = *base::Name::parse("c.a.test");
    zones::StaticRecordsBuilder builder;
    builder.add({alias.wire(), zones::record_type::kCname, 300, target}, 0);
    zone.records = builder.finish(32'768, [](const zones::RecordView&, std::uint32_t) {});
    std::vector<zones::StaticZone> all;
    all.push_back(std::move(zone));
    zones::ZoneRecords records(std::move(all), {}, table);
    records.publish_static();
    zones::Epochs::Reader& reader = epochs.add_reader();
    zones::ReadScope scope(reader);

    std::array<std::byte, 1232> packet{};
    auto query = std::make_unique<dnsd::Query>();
    query->packet = packet.data();
    query->capacity = query->limit = packet.size();
    query->type = zones::record_type::kA;
    alias.wire().copy(query->name.data(), alias.wire().size());
    alias.wire().copy(reinterpret_cast<char*>(packet.data()) + dnsd::kHeaderLength, alias.wire().size());
    query->name_length = static_cast<std::uint8_t>(alias.wire().size());
    query->labels = 3;
    query->question_length = static_cast<std::uint16_t>(alias.wire().size() + 4);
    query->names = table.view();
    query->hash = zones::hash_name(query->names.seed(), alias.wire().data(), alias.wire().size());
    dnsd::Composer composer(*query, 0);
    composer.answer();
    REQUIRE(composer.answers() == 1);
    REQUIRE(composer.rcode() == rcode::kNoError);
    REQUIRE(composer.position() == dnsd::kHeaderLength + query->question_length + 12 + target.size());
  }
}

}  // namespace countersign::tests
