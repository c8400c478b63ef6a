// Response rate limiting: what is limited, what is exempt, and what becomes of it.
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

constexpr std::uint64_t kSecond = 1'000'000;
const dnsd::CookieSecret kSecret{std::byte{7}};

struct Limited : AnswerFixture {
  explicit Limited(std::uint32_t rate = 10, std::uint32_t slip = 0)
      : AnswerFixture(standard_zones(), {.responses_per_second = rate, .slip = slip, .cookie_secrets = {kSecret}}) {
    at(100 * kSecond);
  }
  void at(std::uint64_t elapsed_us) { set_moment({.elapsed_us = elapsed_us, .unix_seconds = 0x6a000000}); }

  struct Tally {
    int answered = 0, dropped = 0, slipped = 0;
  };
  Tally ask_often(std::string_view query, int times, dnsd::Transport transport = dnsd::Transport::Udp) {
    Tally tally;
    for (int i = 0; i < times; ++i) {
      Reply reply = ask(query, transport);
      bool slipped = reply.counters.find("slipped") != std::string::npos;
      if (!reply.answered) {
        REQUIRE(reply.counters.find("dropped_rate") != std::string::npos);
        ++tally.dropped;
      } else {
        ++(slipped ? tally.slipped : tally.answered);
      }
    }
    return tally;
  }
};

}  // namespace

TEST_CASE("rate limit: a network gets its share of one answer, then none", "[protocol]") {
  Limited server;
  auto tally = server.ask_often("www.auth.example.net A", 50);
  REQUIRE(tally.answered == 10);
  REQUIRE(tally.dropped == 40);
  // The same /24, whatever the case and the type: it is the same answer for a victim.
  server.come_from("192.0.2.200");
  REQUIRE(server.ask_often("WWW.auth.example.net AAAA", 3).answered == 0);
  // Another answer, another network.
  REQUIRE(server.ask_often("mail.auth.example.net A", 3).answered == 3);
  server.come_from("192.0.3.1");
  REQUIRE(server.ask_often("www.auth.example.net A", 3).answered == 3);
}

TEST_CASE("rate limit: the share comes back when the flood is over", "[protocol]") {
  Limited server;
  static_cast<void>(server.ask_often("www.auth.example.net A", 11));
  server.at(101 * kSecond);
  REQUIRE(server.ask_often("www.auth.example.net A", 20).answered == 9);
  // Who went on is remembered for some seconds, not for ever.
  static_cast<void>(server.ask_often("www.auth.example.net A", 10'000));
  server.at(103 * kSecond);
  REQUIRE(server.ask_often("www.auth.example.net A", 1).answered == 0);
  server.at(110 * kSecond);
  REQUIRE(server.ask_often("www.auth.example.net A", 20).answered == 10);
}

TEST_CASE("rate limit: a steady rate below the limit is never limited", "[protocol]") {
  Limited server;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    server.at(100 * kSecond + i * kSecond / 10);
    REQUIRE(server.ask_often("www.auth.example.net A", 1).answered == 1);
  }
}

TEST_CASE("rate limit: random subdomains are one answer, and so are a wildcard's names and errors", "[protocol]") {
  for (std::string_view suffix : {".auth.example.net TXT", ".wild.auth.example.net TXT", ".child.auth.example.net A"}) {
    Limited server(12);
    int answered = 0;
    for (int i = 0; i < 100; ++i) answered += server.ask_often(fmt::format("x{}{}", i, suffix), 1).answered;
    INFO(suffix);
    REQUIRE(answered == 12);
  }
  Limited server(12);
  int answered = 0;
  for (int i = 0; i < 100; ++i) answered += server.ask_often(fmt::format("x{}.outside.test TXT", i), 1).answered;
  REQUIRE(answered == 3);
}

TEST_CASE("rate limit: each so many-th is sent cut short, and no larger than the query", "[protocol]") {
  for (std::uint32_t slip : {1U, 2U, 5U}) {
    Limited server(10, slip);
    auto tally = server.ask_often("www.auth.example.net A", 110);
    REQUIRE(tally.answered == 10);
    REQUIRE(tally.slipped == static_cast<int>(100 / slip));
  }
  Limited server(10, 1);
  static_cast<void>(server.ask_often("www.auth.example.net A", 10));
  Reply reply = server.ask("www.auth.example.net A rd");
  REQUIRE(reply.message.flags() == "qr tc rd");
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(reply.response.size() == reply.query.size());
  REQUIRE(reply.counters == "queries_udp responses noerror rate_limited slipped");
  Reply edns = server.ask("www.auth.example.net A edns");
  REQUIRE(edns.response.size() == edns.query.size());
}

TEST_CASE("rate limit: TCP and a good cookie are exempt, and a client cookie gets one (RFC 7873 §5.2.3)",
          "[protocol]") {
  Limited server(10, 1);
  static_cast<void>(server.ask_often("www.auth.example.net A", 100));
  REQUIRE(server.ask_often("www.auth.example.net A", 100, dnsd::Transport::Tcp).answered == 100);
  Reply offer = server.ask("www.auth.example.net A option=10:0102030405060708");
  REQUIRE(offer.message.rcode == rcode::kBadCookie);
  REQUIRE(offer.message.flags() == "qr");
  REQUIRE(offer.counters == "queries_udp responses badcookie edns cookies_client rate_limited slipped");
  std::string cookie = to_hex(*offer.message.option(10));
  std::erase_if(cookie, [](char c) { return c == ' ' || c == '\n' || c == '-'; });
  REQUIRE(server.ask_often("www.auth.example.net A option=10:" + cookie, 1000).answered == 1000);
  // Somebody else's cookie is none.
  server.come_from("192.0.2.2");
  REQUIRE(server.ask_often("www.auth.example.net A option=10:" + cookie, 10).answered == 0);
}

TEST_CASE("rate limit: errors and answers about the server are cut down to the query as well", "[protocol]") {
  AnswerFixture server(standard_zones(), {.nsid = std::string(64, 'n'),
                                          .version = std::string(255, 'v'),
                                          .responses_per_second = 40,
                                          .slip = 1,
                                          .cookie_secrets = {kSecret}});
  struct Row {
    std::string_view query;
    unsigned rcode;
  };
  for (Row row :
       {Row{"version.bind TXT class=CH option=3:", rcode::kNoError}, Row{"outside.test A option=3:", rcode::kRefused},
        Row{"auth.example.net AXFR option=3:", rcode::kFormErr},
        Row{"www.auth.example.net A option=3: option=19: option=9:", rcode::kNoError}}) {
    INFO(row.query);
    int whole = 0, slipped = 0;
    for (int i = 0; i < 100; ++i) {
      Reply reply = server.ask(row.query);
      REQUIRE(reply.message.rcode == row.rcode);
      bool limited = reply.counters.find("rate_limited slipped") != std::string::npos;
      ++(limited ? slipped : whole);
      if (limited) REQUIRE(reply.response.size() <= reply.query.size());
      if (limited && row.rcode == rcode::kNoError) REQUIRE(reply.message.tc);
    }
    bool answer = row.query.starts_with("www");
    REQUIRE(whole == (answer ? 40 : 10));
    REQUIRE(slipped == 100 - whole);
  }
  // A cookie is the one thing that may make it larger.
  Reply cookie = server.ask("www.auth.example.net A option=3: option=10:0102030405060708");
  REQUIRE(cookie.message.rcode == rcode::kBadCookie);
  REQUIRE(cookie.response.size() <= cookie.query.size() + 16);
}

TEST_CASE("rate limit: many names do not add up to a weapon", "[protocol]") {
  Limited server(10, 2);
  for (int i = 0; i < 50; ++i) server.publish(fmt::format("n{}.auth.example.net", i), challenge_values(16));
  Limited::Tally sum;
  for (int i = 0; i < 500; ++i) {
    auto tally = server.ask_often(fmt::format("n{}.auth.example.net TXT edns", i % 50), 1);
    sum.answered += tally.answered;
    sum.slipped += tally.slipped;
  }
  // Ten times one answer's share; what is over that alone is cut short, never dropped.
  REQUIRE(sum.answered == 100);
  REQUIRE(sum.slipped == 400);
}

TEST_CASE("rate limit: a change of the name gives no new share", "[protocol]") {
  Limited server;
  server.publish("n.auth.example.net", {"value"});
  static_cast<void>(server.ask_often("n.auth.example.net TXT", 10));
  for (int i = 0; i < 5; ++i) {
    server.publish("n.auth.example.net", {fmt::format("value {}", i)});
    REQUIRE(server.ask_often("n.auth.example.net TXT", 10).answered == 0);
  }
}

TEST_CASE("rate limit: IPv4 clients of an IPv6 socket are not one network", "[protocol]") {
  Limited server;
  server.come_from("::ffff:192.0.2.1");
  REQUIRE(server.ask_often("www.auth.example.net A", 20).answered == 10);
  server.come_from("::ffff:192.0.3.1");
  REQUIRE(server.ask_often("www.auth.example.net A", 5).answered == 5);
  server.come_from("192.0.2.7");
  REQUIRE(server.ask_often("www.auth.example.net A", 5).answered == 0);
}

TEST_CASE("rate limit: IPv6 counts by /56, and off is off", "[protocol]") {
  Limited server;
  server.come_from("2001:db8:1:2::1");
  REQUIRE(server.ask_often("www.auth.example.net A", 20).answered == 10);
  server.come_from("2001:db8:1:ff::2");
  REQUIRE(server.ask_often("www.auth.example.net A", 1).answered == 0);
  server.come_from("2001:db8:1:102::1");
  REQUIRE(server.ask_often("www.auth.example.net A", 1).answered == 1);
  Limited off(0);
  REQUIRE(off.ask_often("www.auth.example.net A", 1000).answered == 1000);
}

TEST_CASE("rate limit: six places that ask at once with retries are never limited by the default", "[protocol]") {
  conf::RateLimit defaults;
  Limited server(defaults.responses_per_second, defaults.slip);
  // Six perspectives of a CA, each two names of one order, three tries, A, AAAA, NS, TXT and the like for each.
  for (int place = 0; place < 6; ++place) {
    server.come_from(fmt::format("198.51.{}.7", place));
    for (std::string_view type : {"TXT", "NS", "A", "AAAA", "SOA", "CAA", "DS", "DNSKEY"})
      REQUIRE(server.ask_often(fmt::format("www.auth.example.net {}", type), 3).answered == 3);
    REQUIRE(server.ask_often("absent.auth.example.net TXT", 100).answered == 100);
  }
}

TEST_CASE("rate limit: more networks than the table holds do no harm to the one that is flooded", "[protocol]") {
  Limited server;
  static_cast<void>(server.ask_often("www.auth.example.net A", 100));
  for (int i = 0; i < 100'000; ++i) {
    server.come_from(fmt::format("{}.{}.{}.1", 1 + i % 100, i / 100 % 250, i / 25'000));
    static_cast<void>(server.ask("www.auth.example.net A"));
  }
  server.come_from("192.0.2.1");
  REQUIRE(server.ask_often("www.auth.example.net A", 1).answered == 0);
}

TEST_CASE("rate limit: a flood is limited among ever new networks, too", "[protocol]") {
  Limited server;
  int answered = 0;
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    server.at(200 * kSecond + i * 20);  // one second
    server.come_from(fmt::format("{}.{}.{}.1", 1 + i % 100, i / 100 % 250, i / 25'000));
    static_cast<void>(server.ask("www.auth.example.net A"));
    server.come_from("192.0.2.1");
    answered += server.ask_often("www.auth.example.net A", 1).answered;
  }
  REQUIRE(answered < 30);
}

}  // namespace countersign::tests
