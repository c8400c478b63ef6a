#include "base/socket_address.hpp"

#include "tests/support/catch.hpp"

using namespace countersign::base;

TEST_CASE("an IPv4 client of an IPv6 socket is the IPv4 client that it is", "[base]") {
  for (auto [given, plain] :
       {std::pair("[::ffff:192.0.2.8]:443", "192.0.2.8:443"), std::pair("192.0.2.8:443", "192.0.2.8:443"),
        std::pair("[2001:db8::ffff:1.2.3.4]:1", "[2001:db8::ffff:102:304]:1"),
        // Compatible addresses (RFC 4291 §2.5.5.1) are no mapped ones; neither is the wildcard.
        std::pair("[::192.0.2.8]:1", "[::192.0.2.8]:1"), std::pair("[::]:1", "[::]:1")}) {
    INFO(given);
    SocketAddress address = SocketAddress::parse(given).value().unmapped();
    CHECK(address.text() == plain);
    CHECK(SocketAddress::from(address.data(), address.size()).text() == plain);
  }
  CHECK(SocketAddress().unmapped().family() == AF_UNSPEC);
}
