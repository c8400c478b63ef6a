#include "acme/issue/identifier.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::acme;

namespace {

std::string accepted(const std::string& text) {
  auto identifier = DnsIdentifier::parse(text);
  if (!identifier) return identifier.error().message;
  return identifier->text();
}

std::string refusal(const std::string& text) {
  auto identifier = DnsIdentifier::parse(text);
  if (identifier) return "accepted as " + identifier->text();
  REQUIRE(identifier.error().code == base::ErrorCode::Invalid);
  return identifier.error().message;
}

}  // namespace

TEST_CASE("names are brought to lower-case A-labels", "[acme]") {
  REQUIRE(accepted("Example.COM.") == "example.com");
  REQUIRE(accepted("*.Example.com") == "*.example.com");
  REQUIRE(accepted("b\xc3\xbc"
                   "cher.example") == "xn--bcher-kva.example");
  REQUIRE(accepted("B\xc3\x9c"
                   "CHER.example") == "xn--bcher-kva.example");
  REQUIRE(accepted("*.b\xc3\xbc"
                   "cher.example") == "*.xn--bcher-kva.example");
  // Non-transitional (UTS 46): the sharp s is a letter of its own.
  REQUIRE(accepted("stra\xc3\x9f"
                   "e.example") == "xn--strae-oqa.example");
  REQUIRE(accepted("xn--bcher-kva.example") == "xn--bcher-kva.example");
  // The ideographic full stop separates labels.
  REQUIRE(accepted("www\xe3\x80\x82"
                   "example.com") == "www.example.com");
}

TEST_CASE("the challenge name is below _acme-challenge, without the wildcard", "[acme]") {
  auto identifier = DnsIdentifier::parse("*.example.com");
  REQUIRE(identifier);
  REQUIRE(identifier->is_wildcard());
  REQUIRE(identifier->base_text() == "example.com");
  REQUIRE(identifier->challenge_name().text() == "_acme-challenge.example.com");
}

TEST_CASE("what dns-01 cannot prove or no certificate can hold is refused with the reason", "[acme]") {
  for (const char* address : {"192.0.2.1", "2001:db8::1", "[2001:db8::1]"})
    REQUIRE(refusal(address).find("IP address, which dns-01 cannot prove") != std::string::npos);
  REQUIRE(refusal("https://example.com/").find("URL") != std::string::npos);
  REQUIRE(refusal("a.*.example.com").find("wildcard") != std::string::npos);
  REQUIRE(refusal("w*.example.com").find("wildcard") != std::string::npos);
  REQUIRE(refusal("*.*.example.com").find("wildcard") != std::string::npos);
  REQUIRE(refusal("*").find("wildcard") != std::string::npos);
  REQUIRE(refusal("localhost").find("single label") != std::string::npos);
  REQUIRE(refusal("*.com").find("single label") != std::string::npos);
  REQUIRE(refusal("abcdefghij.onion").find(".onion") != std::string::npos);
  REQUIRE(refusal("").find("no domain name") != std::string::npos);
  REQUIRE(refusal("*.").find("no domain name") != std::string::npos);
  REQUIRE(refusal(".").find("no domain name") != std::string::npos);
  REQUIRE(refusal("a..example").find("empty label") != std::string::npos);
  REQUIRE(refusal("a_b.example").find("other than letters") != std::string::npos);
  REQUIRE(refusal("a b.example").find("other than letters") != std::string::npos);
  REQUIRE(refusal("example.com:443").find("other than letters") != std::string::npos);
  REQUIRE(refusal("-a.example").find("hyphen") != std::string::npos);
  REQUIRE(refusal("1.2.3").find("is a number") != std::string::npos);
  REQUIRE(refusal(std::string(64, 'a') + ".example").find("longer than 63") != std::string::npos);
  for (const char* no_a_label : {"xn--a.example", "xn--.example", "xn--abc.example", "xn--\xc3\xbc.example"}) {
    INFO(no_a_label);
    REQUIRE(DnsIdentifier::parse(no_a_label).error().code == base::ErrorCode::Invalid);
  }
  REQUIRE(refusal("xn--a.example").find("A-label") != std::string::npos);
  REQUIRE(refusal("\xff\xfe.example").find("internationalised") != std::string::npos);
  REQUIRE(refusal(std::string("a\0b.example", 11)).find("NUL") != std::string::npos);
  std::string label(60, 'a');
  std::string longest = label + "." + label + "." + label + "." + std::string(50, 'b') + ".example";
  REQUIRE(refusal(longest).find("too long") != std::string::npos);
}

TEST_CASE("duplicates are dropped and every bad name is told at once", "[acme]") {
  auto names = parse_identifiers({"b.example", "B.example.", "a.example", "*.b.example"});
  REQUIRE(names);
  REQUIRE(names->size() == 3);
  REQUIRE((*names)[0].text() == "b.example");
  auto bad = parse_identifiers({"ok.example", "10.0.0.1", "x_y.example"});
  REQUIRE(bad.error().message.find("10.0.0.1") != std::string::npos);
  REQUIRE(bad.error().message.find("x_y.example") != std::string::npos);
  REQUIRE_FALSE(parse_identifiers({}));
}
