// The tests' own tools: a walk that finds nothing wrong with anything would make every test above pass.
#include <array>

#include "tests/protocol/expect.hpp"

namespace countersign::tests {

TEST_CASE("the strict walk accepts what is right", "[protocol]") {
  REQUIRE(find_wire_defect(query("www.example A edns option=1:00")).empty());
  REQUIRE(find_wire_defect(from_hex("0000 8400 0001 0001 0000 0000 0178 00 0002 0001"
                                    "c00c 0002 0001 00000001 0004 0179 c00c"))
              .empty());
}

TEST_CASE("the strict walk finds each kind of defect", "[protocol]") {
  struct Bad {
    std::string_view hex;
    std::string_view what;
  };
  const auto bad = std::to_array<Bad>({
      {"0000 8400 0000 0000 0000", "too early"},
      {"0000 8400 0001 0000 0000 0000 0178 00 0002", "too early"},
      {"0000 8400 0002 0000 0000 0000 00 0002 0001 00 0002 0001", "one question"},
      {"0000 8400 0000 0000 0000 0000 00", "behind the message"},
      {"0000 8400 0000 0001 0000 0000 c00c 0001 0001 00000000 0004 01020304", "backwards"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00b 0001 0001 00000000 0004 01020304", "is no name"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0001 0001 00000000 0003 010203", "too short"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0001 0001 00000000 0005 0102030405", "RDLENGTH"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0010 0001 00000000 0000", "without strings"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0010 0001 00000000 0002 0261", "longer than its TXT"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0021 0001 00000000 0008 000000000000 c00c",
       "compressed name"},
      {"0000 8400 0001 0001 0000 0000 0178 00 0002 0001 c00c 0001 0003 00000000 0004 01020304", "another class"},
      {"0000 8400 0001 0000 0000 0000 4178 00 0002 0001", "unknown kind"},
      {"0000 8400 0000 0000 0000 0002 00 0029 0200 00000000 0000 00 0029 0200 00000000 0000", "more than one OPT"},
      {"0000 8400 0000 0000 0001 0000 00 0029 0200 00000000 0000", "outside the additional"},
      {"0000 8400 0000 0000 0000 0001 0178 00 0029 0200 00000000 0000", "with an owner"},
      {"0000 8400 0000 0000 0000 0001 00 0029 0200 00000000 0002 0001", "half an EDNS option"},
      {"0000 8400 0000 0000 0000 0001 00 0029 0200 00000000 0004 00010001", "too long"},
  });
  for (const Bad& message : bad) {
    INFO(message.hex);
    std::string defect = find_wire_defect(from_hex(message.hex));
    INFO(defect);
    REQUIRE(defect.find(message.what) != std::string::npos);
  }
}

TEST_CASE("the rules find each kind of wrong response", "[protocol]") {
  AnswerFixture server;
  Reply good = server.ask("mail.auth.example.net TXT id=7 rd");
  auto broken = [&](const std::string& response) {
    return find_broken_rule(good.query, response, dnsd::Transport::Udp, 1232);
  };
  auto with_octet = [&](std::size_t at, unsigned value) {
    Packet response = good.response;
    response[at] = static_cast<char>(value);
    return broken(response);
  };
  REQUIRE(broken(good.response).empty());
  REQUIRE(broken("") == "no answer to a query (RFC 8906 §3)");
  REQUIRE(with_octet(1, 8) == "another ID");
  REQUIRE(with_octet(2, 0x05) == "QR is clear");
  REQUIRE(with_octet(2, 0x8d) == "another opcode");
  REQUIRE(with_octet(3, 0x80) == "RA, Z or AD set");
  REQUIRE(with_octet(3, 0x10) == "CD set unasked");
  REQUIRE(with_octet(2, 0x84) == "RD not copied (RFC 1035 §4.1.1)");
  REQUIRE(with_octet(2, 0x81) == "AA is for our data only");
  REQUIRE(with_octet(13, 'M') == "another question");
  REQUIRE(with_octet(3, 2) == "records with an error");
  REQUIRE(broken(good.response + "x").starts_with("malformed: "));
  REQUIRE(find_broken_rule(query("x A qr"), good.response, dnsd::Transport::Udp, 1232) ==
          "an answer to what must be dropped");
}

TEST_CASE("queries are built as their text says", "[protocol]") {
  REQUIRE(to_hex(query("Ab.c TXT id=1 rd do option=10:0102")) ==
          to_hex(from_hex("0001 0100 0001 0000 0000 0001 024162 0163 00 0010 0001"
                          "00 0029 04d0 00008000 0006 000a 0002 0102")));
  REQUIRE(to_hex(query("- opcode=15 ad")) == "123478200000000000000000");
  REQUIRE_THROWS_AS(query("x A nonsense"), std::invalid_argument);
  REQUIRE_THROWS_AS(query("x"), std::invalid_argument);
}

}  // namespace countersign::tests
