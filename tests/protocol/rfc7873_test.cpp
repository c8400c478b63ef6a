// RFC 7873 (DNS cookies) with the server cookies of RFC 9018.
#include <algorithm>
#include <array>

#include "base/encoding.hpp"
#include "dnsd/answer/siphash.hpp"
#include "tests/protocol/expect.hpp"

namespace countersign::tests {

namespace {

using dnsd::CookieSecret;

constexpr std::string_view kQuestion = "www.auth.example.net AAAA";
constexpr std::string_view kClient = "2464c4abcf10c957";
constexpr std::string_view kCounted = "queries_udp responses noerror edns ";
constexpr unsigned kCookie = 10;

CookieSecret secret_of(std::string_view hex) {
  std::vector<std::byte> octets = base::hex_decode(hex).value();
  CookieSecret secret{};
  std::ranges::copy_n(octets.begin(), std::ssize(secret), secret.begin());
  return secret;
}

const CookieSecret kSecret = secret_of("e5e973e5a6b2a43f48e7dc849e37bfcf");

// A server with these secrets, asked from `client` at `time`.
struct Server : AnswerFixture {
  Server(std::vector<CookieSecret> secrets, std::string_view client, std::uint32_t time)
      : AnswerFixture(standard_zones(), dnsd::AnswerSettings{.cookie_secrets = std::move(secrets)}) {
    come_from(client);
    at(time);
  }
  void at(std::uint32_t time) { set_moment({.elapsed_us = 0, .unix_seconds = time}); }

  // The cookie option of the answer to `question` with this one, in hex; "" when there is none.
  std::string cookie(std::string_view hex, std::string_view question = kQuestion) {
    last = ask(std::string(question) + " option=10:" + std::string(hex));
    auto data = last.message.option(kCookie);
    std::string text = data ? to_hex(*data) : "";
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '-'; });
    return text;
  }
  Reply last;
};

std::string zeros(std::size_t octets) {
  return std::string(2 * octets, '0');
}

}  // namespace

TEST_CASE("SipHash-2-4: the vectors of its authors", "[protocol]") {
  std::array<std::byte, 16> key{};
  std::array<std::byte, 64> message{};
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  std::copy_n(message.begin(), key.size(), key.begin());
  // vectors_sip64 of the reference implementation, as little-endian numbers.
  REQUIRE(dnsd::siphash(key, std::span(message).first(0)) == 0x726fdb47dd0e0e31U);
  REQUIRE(dnsd::siphash(key, std::span(message).first(1)) == 0x74f839c593dc67fdU);
  REQUIRE(dnsd::siphash(key, std::span(message).first(7)) == 0xab0200f58b01d137U);
  REQUIRE(dnsd::siphash(key, std::span(message).first(8)) == 0x93f5f5799a932462U);
  REQUIRE(dnsd::siphash(key, std::span(message).first(15)) == 0xa129ca6149be45e5U);
}

TEST_CASE("RFC 9018 appendix A.1: a new server cookie for a client cookie alone", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  REQUIRE(server.cookie(kClient) == "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
  REQUIRE(server.last.counters == std::string(kCounted) + "cookies_client");
  require_answer(server.last, {"www.auth.example.net. 300 IN AAAA 2001:db8::80"});
}

TEST_CASE("RFC 9018 appendix A.2: the same server cookie comes back while it is young", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11 + 1800);
  std::string cookie = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
  REQUIRE(server.cookie(cookie) == cookie);
  REQUIRE(server.last.counters == std::string(kCounted) + "cookies_valid");
}

TEST_CASE("RFC 9018 appendix A.3: reserved bits are hashed as they come, and the new cookie has none", "[protocol]") {
  Server server({kSecret}, "203.0.113.203", 0x5cf78f71 + 1801);
  std::string fresh = server.cookie("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
  REQUIRE(server.last.counters == std::string(kCounted) + "cookies_valid");
  REQUIRE(fresh.starts_with("fc93fc62807ddb8601000000"));
  REQUIRE(server.cookie(fresh) == fresh);
}

TEST_CASE("RFC 9018 appendix A.4: over IPv6, with the secret before", "[protocol]") {
  CookieSecret before = secret_of("dd3bdf9344b678b185a6f5cb60fca715");
  CookieSecret now = secret_of("445536bcd2513298075a5d379663c962");
  std::string old = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
  Server server({now, before}, "2001:db8:220:1:59de:d0f4:8769:82b8", 0x5cf7c609);
  REQUIRE(server.cookie(old) == "22681ab97d52c298010000005cf7c609a6bb79d16625507a");
  REQUIRE(server.last.counters == std::string(kCounted) + "cookies_valid");
  // Without the secret before it is nobody's.
  server.use({.cookie_secrets = {now}});
  REQUIRE(server.cookie(old) == "22681ab97d52c298010000005cf7c609a6bb79d16625507a");
  REQUIRE(server.last.counters == std::string(kCounted) + "cookies_invalid");
}

TEST_CASE("RFC 9018 §4.3: a cookie is good for an hour, and five minutes ahead", "[protocol]") {
  struct Row {
    std::int64_t age;
    bool good;
  };
  for (Row row : {Row{0, true}, Row{3600, true}, Row{3601, false}, Row{-300, true}, Row{-301, false},
                  Row{0x7fffffff, false}, Row{-0x7fffffff, false}}) {
    INFO(row.age);
    // Also where the 32 bits of the time end.
    for (std::uint32_t made : {0x5cf79f11U, 0xffffff00U, 5U}) {
      Server server({kSecret}, "198.51.100.100", made);
      std::string cookie = server.cookie(kClient);
      server.at(static_cast<std::uint32_t>(made + row.age));
      static_cast<void>(server.cookie(cookie));
      REQUIRE(server.last.counters == std::string(kCounted) + (row.good ? "cookies_valid" : "cookies_invalid"));
      require_answer(server.last, {"www.auth.example.net. 300 IN AAAA 2001:db8::80"});
    }
  }
}

TEST_CASE("RFC 7873 §5.2.3: a server cookie of another address, client or making is not ours", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  std::string good = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
  for (std::size_t digit = 0; digit < good.size(); ++digit) {
    std::string bad = good;
    bad[digit] = bad[digit] == '0' ? '1' : '0';
    INFO(bad);
    std::string fresh = server.cookie(bad);
    REQUIRE(server.last.counters == std::string(kCounted) + "cookies_invalid");
    REQUIRE(fresh != bad);
    REQUIRE(server.last.message.rcode == rcode::kNoError);
    static_cast<void>(server.cookie(fresh));
    REQUIRE(server.last.counters == std::string(kCounted) + "cookies_valid");
  }
  for (std::string_view other : {"198.51.100.101", "2001:db8::1"}) {
    server.come_from(other);
    REQUIRE(server.cookie(good) != good);
    REQUIRE(server.last.counters == std::string(kCounted) + "cookies_invalid");
  }
}

TEST_CASE("RFC 7873 §5.2.2: a cookie of an impossible length is a format error", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  for (std::size_t octets = 0; octets <= 60; ++octets) {
    INFO(octets);
    bool possible = octets == 8 || (octets >= 16 && octets <= 40);
    std::string answer = server.cookie(zeros(octets));
    REQUIRE(server.last.message.rcode == (possible ? rcode::kNoError : rcode::kFormErr));
    REQUIRE(answer.size() == (possible ? 48U : 0U));
  }
}

TEST_CASE("RFC 7873 §5.2: of several cookies the first counts", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  Reply reply = server.ask("www.auth.example.net AAAA option=10:2464c4abcf10c957 option=10:ffffffffffffffff");
  REQUIRE(reply.message.option(kCookie)->substr(0, 8) == from_hex(kClient));
  REQUIRE(reply.counters == std::string(kCounted) + "cookies_client");
  // Whatever the others look like.
  Reply odd = server.ask("www.auth.example.net AAAA option=10:2464c4abcf10c957 option=10:ff");
  REQUIRE(odd.message.rcode == rcode::kNoError);
}

TEST_CASE("RFC 9018 §4.4: an IPv4 client of an IPv6 socket is an IPv4 client", "[protocol]") {
  Server server({kSecret}, "::ffff:198.51.100.100", 0x5cf79f11);
  REQUIRE(server.cookie(kClient) == "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
}

TEST_CASE("RFC 7873 §5.4: a query without a question asks for a cookie", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  for (dnsd::Transport transport : {dnsd::Transport::Udp, dnsd::Transport::Tcp}) {
    std::string counted = transport == dnsd::Transport::Udp ? "queries_udp responses " : "queries_tcp responses ";
    Reply fresh = server.ask("- option=10:2464c4abcf10c957", transport);
    REQUIRE(fresh.message.rcode == rcode::kNoError);
    REQUIRE(fresh.message.flags() == "qr");
    REQUIRE(fresh.counters == counted + "noerror edns cookies_client");
    REQUIRE(fresh.message.option(kCookie) == from_hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));

    Reply good = server.ask("- option=10:2464c4abcf10c957010000005cf79f111f8130c3eee29480", transport);
    REQUIRE(good.message.rcode == rcode::kNoError);
    REQUIRE(good.counters == counted + "noerror edns cookies_valid");

    Reply bad = server.ask("- option=10:2464c4abcf10c957010000005cf79f11ffffffffffffffff", transport);
    REQUIRE(bad.message.rcode == rcode::kBadCookie);
    REQUIRE(bad.message.option(kCookie)->size() == 24);
    REQUIRE(bad.counters == counted + "badcookie edns cookies_invalid");

    // Without a cookie there is nothing in it.
    REQUIRE(server.ask("- edns", transport).message.rcode == rcode::kFormErr);
    REQUIRE(server.ask("-", transport).message.rcode == rcode::kFormErr);
  }
}

TEST_CASE("RFC 7873 §5.2: errors carry the cookie too, and BADVERS goes before it", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  REQUIRE(server.cookie(kClient, "outside.test A").size() == 48);
  REQUIRE(server.last.message.rcode == rcode::kRefused);
  REQUIRE(server.cookie(kClient, "missing.auth.example.net A").size() == 48);
  REQUIRE(server.last.message.rcode == rcode::kNxDomain);
  static_cast<void>(server.cookie(kClient, "auth.example.net SOA version=1"));
  REQUIRE(server.last.message.rcode == rcode::kBadVers);
}

TEST_CASE("RFC 7873 §5.2: without a secret cookies are passed over", "[protocol]") {
  Server server({}, "198.51.100.100", 0x5cf79f11);
  REQUIRE(server.cookie(kClient).empty());
  REQUIRE(server.last.counters == "queries_udp responses noerror edns");
  // Whatever they look like.
  static_cast<void>(server.cookie("01"));
  require_answer(server.last, {"www.auth.example.net. 300 IN AAAA 2001:db8::80"});
}

TEST_CASE("RFC 7873: the largest answer makes room for its cookie", "[protocol]") {
  Server server({kSecret}, "198.51.100.100", 0x5cf79f11);
  server.publish("full.auth.example.net", challenge_values(16));
  std::size_t whole = server.ask("full.auth.example.net TXT size=1232").message.size;
  REQUIRE(whole > 900);
  for (std::size_t size = 512; size <= 1232; ++size) {
    Reply plain = server.ask("full.auth.example.net TXT size=" + std::to_string(size));
    Reply cookie = server.ask("full.auth.example.net TXT option=10:2464c4abcf10c957 size=" + std::to_string(size));
    REQUIRE(cookie.message.option(kCookie));
    REQUIRE(plain.message.tc == (whole > size));
    REQUIRE(cookie.message.tc == (whole + 28 > size));
    if (!cookie.message.tc) REQUIRE(cookie.message.size == whole + 28);
  }
}

TEST_CASE("RFC 9018 §5: the file of secrets", "[protocol]") {
  auto two = dnsd::parse_cookie_secrets(
      "# the current one\ne5e973e5a6b2a43f48e7dc849e37bfcf\r\n\n"
      "  \nDD3BDF9344B678B185A6F5CB60FCA715");
  REQUIRE(two);
  REQUIRE(*two == std::vector{kSecret, secret_of("dd3bdf9344b678b185a6f5cb60fca715")});
  for (std::string_view wrong :
       {"", "\n", "# none\n", "e5e973e5a6b2a43f48e7dc849e37bfc", "e5e973e5a6b2a43f48e7dc849e37bfcf00",
        "e5e973e5a6b2a43f48e7dc849e37bfcg", "e5e973e5a6b2a43f 48e7dc849e37bfcf"}) {
    INFO(wrong);
    auto parsed = dnsd::parse_cookie_secrets(wrong);
    REQUIRE_FALSE(parsed);
    // It may be a secret with a slip of the finger.
    REQUIRE(parsed.error().message.find("e5e9") == std::string::npos);
    REQUIRE(parsed.error().message.find("32 hex digits") != std::string::npos);
  }
  std::string nine;
  for (int i = 0; i < 9; ++i) nine += "e5e973e5a6b2a43f48e7dc849e37bfcf\n";
  REQUIRE_FALSE(dnsd::parse_cookie_secrets(nine));
}

}  // namespace countersign::tests
