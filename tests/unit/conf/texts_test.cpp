#include "conf/texts.hpp"

#include <array>

#include "tests/support/catch.hpp"

namespace countersign::conf {
namespace {

TEST_CASE("a quoted value is one short printable line", "[conf]") {
  CHECK(in_quotes("plain") == "\"plain\"");
  CHECK(in_quotes("two\nlines\x1b[31m") == R"("two\x0alines\x1b[31m")");
  CHECK(in_quotes(std::string(80, 'x')) == "\"" + std::string(80, 'x') + "\"");
  CHECK(in_quotes(std::string(81, 'x')) == "\"" + std::string(80, 'x') + "...\"");
  CHECK(in_quotes(std::string(79, 'x') + "é!") == "\"" + std::string(79, 'x') + "...\"");
}

TEST_CASE("the nearest word is the one with the fewest edits", "[conf]") {
  constexpr std::array<std::string_view, 4> words{"listen", "workers", "name", "nameservers"};
  CHECK(nearest("listn", words) == "listen");
  CHECK(nearest("worker", words) == "workers");
  CHECK(nearest("name_servers", words) == "nameservers");
  CHECK(nearest("nmae", words) == "name");
  CHECK(nearest("", words) == "name");
  CHECK(nearest(std::string(1U << 20U, 'l'), words) == "listen");
}

TEST_CASE("a zone's name is a plain domain name", "[conf]") {
  for (std::string_view good : {"auth.example.net", "auth.example.net.", "A", "_acme-challenge.example.com",
                                "xn--bcher-kva.example", "1.2.3"}) {
    INFO(good);
    CHECK(parse_zone_name(good));
  }
  for (std::string_view bad : {"", ".", "..", "a..b", ".a", "a b", "*.example.net", "a@b", "bücher.example", "-a.b",
                               "a-.b", "https://example.net", R"(a\.b)", "a/b", "a:53"}) {
    INFO(bad);
    CHECK(!parse_zone_name(bad));
  }
  CHECK(parse_zone_name(std::string(63, 'a') + ".example"));
  CHECK(!parse_zone_name(std::string(64, 'a') + ".example"));
  std::string longest;
  for (int i = 0; i < 126; ++i) longest += "a.";
  CHECK(parse_zone_name(longest));  // 253 octets of text: 1 + 126 * 2 on the wire
  CHECK(!parse_zone_name(longest + std::string(64, 'a')));
  CHECK(!parse_zone_name(longest + "a.a"));
  CHECK(parse_zone_name("bücher.example").error().message.find("xn--") != std::string::npos);
}

TEST_CASE("a name server is a whole host name", "[conf]") {
  CHECK(parse_host_name("ns1.example.net"));
  CHECK(!parse_host_name("_ns1.example.net"));
  CHECK(!parse_host_name("192.0.2.1:53"));
  CHECK(!parse_host_name("."));
  auto single = parse_host_name("ns1");
  REQUIRE(!single);
  CHECK(single.error().message.find("single label") != std::string::npos);
  CHECK(single.error().message.find("absolute") != std::string::npos);
}

TEST_CASE("a hostmaster is a mail address", "[conf]") {
  CHECK(parse_hostmaster("hostmaster@example.net")->text() == "hostmaster.example.net");
  CHECK(parse_hostmaster("a.b+c@example.net")->text() == R"(a\.b+c.example.net)");
  CHECK(parse_hostmaster(std::string(63, 'a') + "@example.net"));
  for (std::string_view bad :
       {"", "@", "hostmaster", "hostmaster.example.net", "@example.net", "a@", "a@b", "a@b@c.example", ".a@example.net",
        "a.@example.net", "a..b@example.net", "a b@example.net", "\"a\"@example.net", "a@exa mple.net", "a@.",
        "a@example..net", "mailto:a@example.net", "a@[192.0.2.1]"}) {
    INFO(bad);
    CHECK(!parse_hostmaster(bad));
  }
  // A label holds 63 octets, a local part 64.
  CHECK(!parse_hostmaster(std::string(64, 'a') + "@example.net"));
  CHECK(!parse_hostmaster(std::string(65, 'a') + "@example.net"));
}

TEST_CASE("a contact is one mailto: address without header fields (RFC 8555 §7.3)", "[conf]") {
  CHECK(check_contact("mailto:admin@example.net"));
  CHECK(check_contact("mailto:a.b+c@example.net"));
  for (std::string_view bad :
       {"", "admin@example.net", "mailto:", "mailto:admin", "tel:+123", "mailto:a@example.net,b@example.net",
        "mailto:a@example.net?subject=x", "MAILTO:a@b.c"}) {
    INFO(bad);
    CHECK(!check_contact(bad));
  }
}

TEST_CASE("a path is absolute", "[conf]") {
  CHECK(check_path("/"));
  CHECK(check_path("/var/lib/x y"));
  CHECK(!check_path(""));
  CHECK(!check_path("var/lib"));
  CHECK(!check_path("./x"));
  CHECK(!check_path("~/x"));
  CHECK(!check_path(std::string_view("/a\0b", 4)));
  CHECK(!check_path("/" + std::string(4095, 'x')));
}

TEST_CASE("a user is a name or a number, or nobody", "[conf]") {
  for (std::string_view good : {"", "countersign", "_dns", "www-data", "65534", "machine$"}) CHECK(check_user(good));
  for (std::string_view bad : {" ", "a b", "root:root", "-x", "a/b", "ü"}) CHECK(!check_user(bad));
  CHECK(!check_user(std::string(33, 'a')));
}

}  // namespace
}  // namespace countersign::conf
