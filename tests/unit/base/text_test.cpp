#include <string>

#include "base/clock.hpp"
#include "base/duration.hpp"
#include "base/encoding.hpp"
#include "base/log.hpp"
#include "base/socket_address.hpp"
#include "base/text.hpp"
#include "tests/support/catch.hpp"

using namespace countersign::base;
using namespace std::chrono_literals;

TEST_CASE("durations are read and written with their units", "[base]") {
  REQUIRE(parse_duration("500ms") == 500ms);
  REQUIRE(parse_duration("10m") == 10min);
  REQUIRE(parse_duration("2d") == 48h);
  REQUIRE(parse_duration("0") == 0ms);
  for (const char* bad : {"", "5", "s", "-1s", "1 s", "1.5s", "1w", "99999999999999999999s", "40000d", "1sx"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_duration(bad));
  }
  for (auto duration : {0ms, 1ms, 1500ms, 60000ms, 86400000ms}) {
    REQUIRE(parse_duration(format_duration(duration)) == duration);
  }
}

TEST_CASE("RFC 3339 times survive a round trip", "[base]") {
  auto time = parse_rfc3339("2026-11-22T10:00:00Z");
  REQUIRE(time);
  REQUIRE(format_rfc3339(*time) == "2026-11-22T10:00:00Z");
  REQUIRE(parse_rfc3339("2026-11-22T11:30:00.123+01:30") == time);
  REQUIRE(parse_rfc3339("1970-01-01T00:00:00Z")->time_since_epoch() == 0ms);
  for (const char* bad : {"", "2026-11-22", "2026-02-30T10:00:00Z", "2026-11-22T25:00:00Z", "2026-11-22T10:00:00",
                          "2026-11-22T10:00:00+1:00", "2026-11-22T10:00:00Zx"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_rfc3339(bad));
  }
  for (const char* edge : {"0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"})
    CHECK(format_rfc3339(*parse_rfc3339(edge)) == edge);
  CHECK(format_rfc3339(*parse_rfc3339("9999-12-31T23:59:59+00:01")) == "9999-12-31T23:58:59Z");
  // They could be read, but what is written then could not.
  for (const char* outside : {"9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:60Z"}) {
    INFO(outside);
    CHECK_FALSE(parse_rfc3339(outside));
  }
}

TEST_CASE("base64 forms match RFC 4648 and reject what is not theirs", "[base]") {
  REQUIRE(base64_encode(as_bytes("foob")) == "Zm9vYg==");
  REQUIRE(base64url_encode(as_bytes("\xff\xfe")) == "__4");
  REQUIRE(as_text(*base64url_decode("Zm9vYmE")) == "fooba");
  for (const char* bad : {"Zg==", "Z", "Zh", "+/8", "Zm9v\n"}) {
    INFO(bad);
    REQUIRE_FALSE(base64url_decode(bad));
  }
  REQUIRE(hex_encode(as_bytes("\x01\xab")) == "01ab");
}

TEST_CASE("socket addresses are read and written", "[base]") {
  REQUIRE(SocketAddress::parse("127.0.0.1:53")->text() == "127.0.0.1:53");
  REQUIRE(SocketAddress::parse("[::1]:5353")->text() == "[::1]:5353");
  REQUIRE(SocketAddress::parse("::1", 53)->text() == "[::1]:53");
  REQUIRE(SocketAddress::parse("127.0.0.1", 53)->port() == 53);
  REQUIRE(SocketAddress::parse("[::]:53")->is_wildcard());
  REQUIRE(SocketAddress::parse("127.9.9.9:1")->is_loopback());
  for (const char* bad : {"", "localhost:53", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:5x", "::1",
                          "[::1]", "[::1", "[127.0.0.1]:53", "1.2.3:53"}) {
    INFO(bad);
    REQUIRE_FALSE(SocketAddress::parse(bad));
  }
}

TEST_CASE("a log line cannot be forged by a value", "[base]") {
  REQUIRE(log::format_line("zone loaded", {{"zone", "a.b"}, {"why", "x\ny \"z\""}}) ==
          "event=\"zone loaded\" zone=a.b why=\"x\\x0ay \\\"z\\\"\"");
}

TEST_CASE("a stranger's text becomes one line of well-formed UTF-8", "[base]") {
  REQUIRE(printable("b\xc3\xbc\nc\x1b[1m\x9b\xc2\x9b\xff\xc3") == "b\xc3\xbc c?[1m????");
  REQUIRE(printable("ab\xc3\xbc", 3) == "ab...");
  REQUIRE(printable("ab\xc3\xbc", 4) == "ab\xc3\xbc");
  REQUIRE(valid_utf8("a\n\xf0\x9f\x98\x80") == "a\n\xf0\x9f\x98\x80");
  // Overlong, a surrogate, beyond U+10FFFF, cut off.
  for (const char* bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    REQUIRE(utf8_length(bad) == 0);
    REQUIRE(valid_utf8(bad).starts_with("\xef\xbf\xbd"));
  }
}
