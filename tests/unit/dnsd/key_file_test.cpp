#include "dnsd/update/tsig.hpp"
#include "tests/support/catch.hpp"

namespace countersign::dnsd {
namespace {

using conf::TsigAlgorithm;

base::Result<std::string> parse(std::string_view text, TsigAlgorithm algorithm = TsigAlgorithm::HmacSha256) {
  return parse_key_file(text, base::Name::parse("lego.example").value(), algorithm);
}

constexpr std::string_view kSecret = "c2VjcmV0LW9jdGV0cw==";
constexpr std::string_view kOctets = "secret-octets";

}  // namespace

TEST_CASE("a key file may be the secret alone", "[dnsd]") {
  for (std::string_view text : {"c2VjcmV0LW9jdGV0cw==", "c2VjcmV0LW9jdGV0cw==\n", "c2VjcmV0LW9jdGV0cw==\r\n",
                                "\n# of lego\n\n  c2VjcmV0LW9jdGV0cw== \t# made in June\n\n"}) {
    INFO(text);
    REQUIRE(parse(text).value() == kOctets);
  }
  REQUIRE(parse("++//").value() == "\xfb\xef\xff");
  REQUIRE(parse("AA==").value() == std::string(1, '\0'));
}

TEST_CASE("a key file may be what tsig-keygen writes", "[dnsd]") {
  // Of BIND 9.18.49.
  REQUIRE(parse("key \"lego.example\" {\n\talgorithm hmac-sha384;\n\tsecret "
                "\"U9BAKlIaThix7Bf5QwZOXU8TNv6RIYttCExZuXnC2Mc0FP+GQVoC4Hwf+5cK4pa+\";\n};\n",
                TsigAlgorithm::HmacSha384)
              .value()
              .size() == 48);
  for (std::string_view text : {
           "key \"lego.example\" { algorithm hmac-sha256; secret \"c2VjcmV0LW9jdGV0cw==\"; };",
           "key LEGO.example. { secret c2VjcmV0LW9jdGV0cw==; algorithm \"HMAC-SHA256.\"; }",
           "# remark {\n// and\n/* this \"} */key lego.example{algorithm "
           "hmac-sha256;secret\"c2VjcmV0LW9jdGV0cw==\";};#",
           "key\r\n\"lego.example\"\r\n{\r\nalgorithm hmac-sha256;\r\nsecret \"c2VjcmV0LW9jdGV0cw==\";\r\n};\r\n",
       }) {
    INFO(text);
    REQUIRE(parse(text).value() == kOctets);
  }
}

TEST_CASE("a key file that is wrong is refused with words that show none of its secret", "[dnsd]") {
  struct Case {
    std::string text, words;
  };
  const std::string secret(kSecret);
  const std::string good = "key \"lego.example\" { algorithm hmac-sha256; secret \"" + secret + "\"; };";
  auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  const std::vector<Case> cases = {
      {"", "is empty"},
      {"\n# nothing\n", "is empty"},
      {"c2VjcmV0LW9jdGV0cw", "not base64"},
      {"c2VjcmV0LW9jdGV0cw=", "not base64"},
      {"c2VjcmV0LW9jdGV0cx==", "not base64"},
      {"c2VjcmV0!W9jdGV0cw==", "not base64"},
      {"c2VjcmV0-W9jdGV0cw==", "not base64"},
      {"c2Vj cmV0LW9jdGV0cw==", "not base64"},
      {"====", "not base64"},
      {std::string("c2VjcmV\0LW9jdGV0cw==", 20), "not base64"},
      {secret + "\n" + secret, "more than one line"},
      {"secret: " + secret, "not base64"},
      {with("lego.example", "other.example"), "is of key \"other.example\", the configuration of \"lego.example\""},
      {with("lego.example", "lego..example"), "is no name"},
      {with("hmac-sha256", "hmac-sha512"),
       "has algorithm \"hmac-sha512\", the configuration algorithm \"hmac-sha256\""},
      {with("hmac-sha256", "hmac-md5.sig-alg.reg.int"), "algorithm \"hmac-md5.sig-alg.reg.int\""},
      {with("hmac-sha256", secret), "another algorithm"},
      {with(secret, ""), "is empty"},
      {with(secret, "c2VjcmV0LW9jdGV0cw"), "not base64"},
      {with("secret", "sceret"), "line 1"},
      {with("key", "\n\nkyz"), "line 3"},
      {with("algorithm hmac-sha256;", ""), "has no \"algorithm\""},
      {with("secret \"" + secret + "\";", ""), "has no \"secret\""},
      {with("algorithm", "secret \"" + secret + "\"; algorithm"), "a second time"},
      {with("\"; }", "\" }"), "a semicolon is missing"},
      {with("\"; };", "\";"), "where the file ends"},
      {with("{ ", ""), "not base64"},
      {with("{ ", "{ { "), "line 1"},
      {with("{ ", "x { "), "an opening brace is missing"},
      {good + good, "something follows the key"},
      {with("\"; };", ""), "a semicolon is missing"},
      {with("\"lego.example\"", "\"lego.example"), "an opening brace is missing"},
      {"key {", "the key's name is missing"},
      {"key \"lego.example\" { secret }", "a value is missing"},
      {"{", "the word \"key\" is missing"},
      {"/* {", "the word \"key\" is missing where the file ends"},
  };
  for (const Case& wrong : cases) {
    INFO(wrong.text);
    auto parsed = parse(wrong.text);
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().message);
    REQUIRE(parsed.error().code == base::ErrorCode::Invalid);
    REQUIRE(parsed.error().message.find(wrong.words) != std::string::npos);
    for (std::string_view part : {"c2Vj", "cmV0", "W9jdGV0", "secret-octets"})
      REQUIRE(parsed.error().message.find(part) == std::string::npos);
  }
}

}  // namespace countersign::dnsd
