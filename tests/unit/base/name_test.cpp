#include "base/name.hpp"

#include <string>

#include "tests/support/catch.hpp"

using countersign::base::as_bytes;
using countersign::base::Name;

TEST_CASE("a name is read from text, lowered, and written without the final dot", "[base]") {
  REQUIRE(Name::parse("_ACME-Challenge.Example.COM.")->text() == "_acme-challenge.example.com");
  REQUIRE(Name::parse("example.com") == Name::parse("EXAMPLE.com."));
  REQUIRE(Name::parse(".")->is_root());
  REQUIRE(Name::parse("a.b")->wire() == std::string_view("\1a\1b\0", 5));
}

TEST_CASE("escapes survive a round trip", "[base]") {
  auto name = Name::parse("a\\.b\\000\\\"c.example");
  REQUIRE(name);
  REQUIRE(name->label_count() == 2);
  REQUIRE(name->first_label() == std::string_view("a.b\0\"c", 6));
  REQUIRE(Name::parse(name->text()) == name);
}

TEST_CASE("bad names are refused with the reason", "[base]") {
  for (const char* bad : {"", "a..b", ".a", "a\\", "a\\25", "a\\256", ".."}) {
    INFO(bad);
    REQUIRE_FALSE(Name::parse(bad));
  }
  REQUIRE(Name::parse(std::string(63, 'x')));
  REQUIRE_FALSE(Name::parse(std::string(64, 'x')));
  std::string label(63, 'x');
  // 3 * 64 + 62 + 1 = 255 octets, the longest name there is (RFC 1035 §2.3.4).
  REQUIRE(Name::parse(label + "." + label + "." + label + "." + std::string(61, 'y')));
  REQUIRE_FALSE(Name::parse(label + "." + label + "." + label + "." + std::string(62, 'y')));
}

TEST_CASE("wire names must be whole, uncompressed and alone", "[base]") {
  auto from = [](std::string_view wire) { return Name::from_wire(as_bytes(wire)); };
  REQUIRE(from(std::string_view("\1A\0", 3))->text() == "a");
  REQUIRE_FALSE(from(""));
  REQUIRE_FALSE(from(std::string_view("\1a", 2)));
  REQUIRE_FALSE(from(std::string_view("\1a\0\0", 4)));
  REQUIRE_FALSE(from(std::string_view("\5a\0", 3)));
  REQUIRE_FALSE(from(std::string_view("\xc0\0", 2)));
  REQUIRE_FALSE(from(std::string(256, '\1')));
}

TEST_CASE("ancestry goes by labels, not by letters", "[base]") {
  Name zone = *Name::parse("auth.example.net");
  REQUIRE(Name::parse("x.auth.example.net")->is_within(zone));
  REQUIRE(zone.is_within(zone));
  REQUIRE(zone.is_within(Name()));
  REQUIRE_FALSE(Name::parse("xauth.example.net")->is_within(zone));
  REQUIRE_FALSE(zone.is_within(*Name::parse("x.auth.example.net")));
  // The octets of "\4auth..." also stand inside this label; only whole labels count.
  REQUIRE_FALSE(Name::parse("a\\004auth.example.net")->is_within(zone));
  REQUIRE(zone.parent().text() == "example.net");
  REQUIRE(zone.child("Www")->text() == "www.auth.example.net");
  REQUIRE(zone.prepend(*Name::parse("www.example.com"))->text() == "www.example.com.auth.example.net");
  REQUIRE_FALSE(zone.child(""));
  REQUIRE_FALSE(zone.prepend(*Name::parse(std::string(63, 'a') + "." + std::string(63, 'a') + "." +
                                          std::string(63, 'a') + "." + std::string(50, 'a'))));
}
