#include "base/address_range.hpp"

#include <arpa/inet.h>

#include <string>
#include <vector>

#include "base/socket_address.hpp"
#include "tests/support/catch.hpp"

namespace countersign::base {
namespace {

std::string parsed(std::string_view text) {
  auto range = AddressRange::parse(text);
  return range ? range->text() : "refused";
}

bool holds(std::string_view range, std::string_view address) {
  auto parsed_range = AddressRange::parse_or_address(range);
  REQUIRE(parsed_range);
  auto parsed_address = SocketAddress::parse(address, 1);
  REQUIRE(parsed_address);
  return parsed_range->contains(ip_octets(*parsed_address->data()));
}

TEST_CASE("a range is written with its host bits cleared", "[base]") {
  CHECK(parsed("192.0.2.0/24") == "192.0.2.0/24");
  CHECK(parsed("192.0.2.77/24") == "192.0.2.0/24");
  CHECK(parsed("192.0.2.77/32") == "192.0.2.77/32");
  CHECK(parsed("192.0.2.77/31") == "192.0.2.76/31");
  CHECK(parsed("255.255.255.255/0") == "0.0.0.0/0");
  CHECK(parsed("255.255.255.255/9") == "255.128.0.0/9");
  CHECK(parsed("2001:DB8::1/32") == "2001:db8::/32");
  CHECK(parsed("2001:db8:ffff:ffff::/33") == "2001:db8:8000::/33");
  CHECK(parsed("2001:0db8:0:0:0:0:0:1/128") == "2001:db8::1/128");
  CHECK(parsed("::/0") == "::/0");
}

TEST_CASE("a range is taken as acme-dns takes it", "[base]") {
  CHECK(parsed("1.2.3.4/024") == "1.2.3.0/24");
  CHECK(parsed("1.2.3.4/0000000032") == "1.2.3.4/32");
  CHECK(parsed("::ffff:1.2.3.4/128") == "1.2.3.4/32");
  CHECK(parsed("::FFFF:192.0.2.9/120") == "192.0.2.0/24");
  CHECK(parsed("::ffff:c000:209/96") == "0.0.0.0/0");
  // Wider than the IPv4 addresses in it, so an IPv6 range, which no IPv4 client is in.
  CHECK(parsed("::ffff:192.0.2.9/95") == "::fffe:0:0/95");
  CHECK(parsed("::192.0.2.9/128") == "::192.0.2.9/128");
}

TEST_CASE("what is no range is refused", "[base]") {
  const std::vector<std::string> wrong{"",
                                       "/",
                                       "/24",
                                       "1.2.3.4",
                                       "1.2.3.4/",
                                       "1.2.3.4/33",
                                       "1.2.3.4/-1",
                                       "1.2.3.4/+1",
                                       "1.2.3.4/ 8",
                                       "1.2.3.4/8 ",
                                       " 1.2.3.4/8",
                                       "01.2.3.4/24",
                                       "1.2.3.04/24",
                                       "1.2.3/24",
                                       "1.2.3.4.5/24",
                                       "1.2.3.256/24",
                                       "0x1.2.3.4/8",
                                       "1.2.3.4/8/8",
                                       "1.2.3.4/8x",
                                       "1.2.3.4/99999999999999999999",
                                       "1.2.3.4/4294967328",
                                       "[1.2.3.4]/32",
                                       "::1",
                                       "::1/129",
                                       "::1/",
                                       "fe80::1%eth0/64",
                                       "fe80::1/64%eth0",
                                       "[::1]/128",
                                       ":::/8",
                                       "1:2:3:4:5:6:7:8:9/64",
                                       "12345::/16",
                                       "1::2::3/64",
                                       "::ffff:01.2.3.4/128",
                                       "localhost/8",
                                       "1.2.3.4:80/32",
                                       "*"};
  for (const std::string& text : wrong) {
    INFO(text);
    auto range = AddressRange::parse(text);
    REQUIRE(!range);
    CHECK(range.error().code == ErrorCode::Invalid);
  }
  CHECK(!AddressRange::parse(std::string_view("1.2.3.4\0/8", 10)));
  CHECK(!AddressRange::parse(std::string_view("1.2.3.4/8\0", 10)));
}

TEST_CASE("the message on a range quotes strangers' text safely and briefly", "[base]") {
  auto range = AddressRange::parse("\x1b[31m" + std::string(5000, 'a') + "/8");
  REQUIRE(!range);
  CHECK(range.error().message.find('\x1b') == std::string::npos);
  CHECK(range.error().message.size() < 250);
}

TEST_CASE("a lone address is a range of one where that is allowed", "[base]") {
  CHECK(AddressRange::parse_or_address("192.0.2.1")->text() == "192.0.2.1/32");
  CHECK(AddressRange::parse_or_address("2001:db8::1")->text() == "2001:db8::1/128");
  CHECK(AddressRange::parse_or_address("::ffff:192.0.2.1")->text() == "192.0.2.1/32");
  CHECK(AddressRange::parse_or_address("192.0.2.1/24")->text() == "192.0.2.0/24");
  for (std::string_view text :
       {"", "192.0.2", "192.0.2.1:80", "[::1]", "fe80::1%lo", "192.0.2.1/", "a.example", " ::1"}) {
    INFO(text);
    CHECK(!AddressRange::parse_or_address(text));
  }
  CHECK(!AddressRange::parse_or_address(std::string_view("::1\0", 4)));
}

TEST_CASE("a range holds its first and its last address and none beside them", "[base]") {
  CHECK(holds("192.0.2.64/26", "192.0.2.64"));
  CHECK(holds("192.0.2.64/26", "192.0.2.127"));
  CHECK(!holds("192.0.2.64/26", "192.0.2.63"));
  CHECK(!holds("192.0.2.64/26", "192.0.2.128"));
  CHECK(holds("2001:db8:0:8000::/49", "2001:db8:0:ffff:ffff:ffff:ffff:ffff"));
  CHECK(!holds("2001:db8:0:8000::/49", "2001:db8:0:7fff:ffff:ffff:ffff:ffff"));
  CHECK(!holds("2001:db8:0:8000::/49", "2001:db8:1:8000::"));
  CHECK(holds("192.0.2.1", "192.0.2.1"));
  CHECK(!holds("192.0.2.1", "192.0.2.0"));
}

TEST_CASE("an IPv4 client is in no IPv6 range, however it comes", "[base]") {
  CHECK(holds("0.0.0.0/0", "192.0.2.1"));
  CHECK(holds("0.0.0.0/0", "[::ffff:192.0.2.1]"));
  CHECK(holds("::ffff:192.0.2.0/120", "192.0.2.1"));
  CHECK(!holds("::/0", "192.0.2.1"));
  CHECK(!holds("::/0", "[::ffff:192.0.2.1]"));
  CHECK(holds("::/0", "2001:db8::1"));
  CHECK(!holds("0.0.0.0/0", "2001:db8::1"));
  auto range = AddressRange::parse("0.0.0.0/0");
  REQUIRE(range);
  CHECK(!range->contains({}));
  CHECK(!range->contains(as_bytes("12345")));
}

// A second opinion on each length: the bits compared one by one.
TEST_CASE("every length splits the addresses at its own bit", "[base]") {
  for (unsigned length = 1; length <= 128; ++length) {
    auto range = AddressRange::parse(fmt::format("2001:db8:a5a5:5a5a:a5a5:5a5a:a5a5:5a5a/{}", length));
    auto inside = SocketAddress::parse("2001:db8:a5a5:5a5a:a5a5:5a5a:a5a5:5a5a", 1);
    REQUIRE(range);
    REQUIRE(inside);
    for (unsigned bit = 0; bit < 128; ++bit) {
      Bytes octets = ip_octets(*inside->data());
      std::vector<std::byte> flipped(octets.begin(), octets.end());
      flipped[bit / 8] ^= static_cast<std::byte>(0x80U >> (bit % 8));
      INFO(length << " " << bit);
      CHECK(range->contains(flipped) == (bit >= length));
    }
  }
}

TEST_CASE("ranges are equal when they hold the same addresses", "[base]") {
  CHECK(*AddressRange::parse("192.0.2.9/24") == *AddressRange::parse("192.0.2.200/24"));
  CHECK(*AddressRange::parse("::ffff:192.0.2.9/120") == *AddressRange::parse("192.0.2.0/24"));
  CHECK(!(*AddressRange::parse("192.0.2.0/24") == *AddressRange::parse("192.0.2.0/25")));
  CHECK(!(*AddressRange::parse("0.0.0.0/0") == *AddressRange::parse("::/0")));
}

}  // namespace
}  // namespace countersign::base
