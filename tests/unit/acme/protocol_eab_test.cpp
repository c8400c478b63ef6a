// External account binding and the experimental challenges, against values computed elsewhere.
#include "acme/protocol/eab.hpp"
#include "acme/protocol/experimental_challenges.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using tests::says;
using tests::taken;
using Mac = ExternalAccountBinding::Mac;

namespace {

// RFC 7515 appendix A.3.
constexpr const char* kJwk =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})";

constexpr const char* kMacKey = "0NHS09TV1tfY2drb3N3e3-Dh4uPk5ebn6Onq6-zt7u_w8fLz9PX29_j5-vv8_f7_";

Challenge persist_challenge(std::vector<std::string> issuers) {
  Challenge challenge;
  challenge.url = "https://ca.test/chall/1";
  challenge.issuer_domain_names = std::move(issuers);
  return challenge;
}

}  // namespace

TEST_CASE("an external account binding has the MAC that Python computes", "[acme]") {
  auto key = taken(PrivateKey::from_jwk(kJwk));
  struct Expected {
    Mac mac;
    const char* algorithm;
    const char* signature;
  };
  for (const Expected& expected : {
           Expected{Mac::Hs256, "HS256", "jq_JcRZ-yGNOexlaZ-hDkNPgdFQW14Z_GeNvdLTKsyQ"},
           Expected{Mac::Hs384, "HS384", "5-o3EGn-H3odA4K_3r_vX7jw3mw-X5KWAwWNf7Q_RtOZI1AI19PVrE3tuNi6SEXs"},
           Expected{Mac::Hs512, "HS512",
                    "lyTqMcOLXuZl3qYSrjx8CnMdtgxkUyuS3FSuPEyEx3ICknp-N26ZXeOxyyo65fo2fmMcfKkNYIXNJpOXxgdQng"},
       }) {
    ExternalAccountBinding binding{R"(kid-1 "x")", taken(parse_mac_key(kMacKey, "x")), expected.mac};
    auto jws = boost::json::parse(taken(bind_external_account(binding, key, "https://ca.test/new-account")));
    REQUIRE(jws.as_object().size() == 3);
    REQUIRE(tests::jws_part(jws, "payload") == *key.jwk());
    REQUIRE(tests::jws_header(jws) == boost::json::value{{"alg", expected.algorithm},
                                                         {"kid", R"(kid-1 "x")"},
                                                         {"url", "https://ca.test/new-account"}});
    REQUIRE(jws.at("signature").as_string() == expected.signature);
  }
}

TEST_CASE("a MAC key is read in every form that CAs hand it out in", "[acme]") {
  std::string octets = taken(parse_mac_key(kMacKey, "x"));
  REQUIRE(octets.size() == 48);
  REQUIRE(octets.front() == '\xd0');
  REQUIRE(octets.back() == '\xff');
  REQUIRE(parse_mac_key("0NHS09TV1tfY2drb3N3e3+Dh4uPk5ebn6Onq6+zt7u/w8fLz9PX29/j5+vv8/f7/", "x") == octets);
  REQUIRE(parse_mac_key(std::string("\n \t") + kMacKey + "\r\n", "x") == octets);
  // Padding, and bits that belong to no octet: 10000000 of "gA", with "gB" as a sloppy writer has it.
  for (const char* text : {"gA", "gA==", "gA=", "gB", "gP=="}) REQUIRE(parse_mac_key(text, "x") == "\x80");
  REQUIRE(parse_mac_key("gIC", "x") == "\x80\x80");
}

TEST_CASE("what is no MAC key is refused, and not shown", "[acme]") {
  for (const char* text : {"", " \n", "=", "==", "A", "AAAAA", "AAAA AAAA", "AAAA\nAAAA", "AAAA#", "AAA=A",
                           "AA===", "secret\x01", "s\xc3\xa9kret"}) {
    INFO(text);
    auto key = parse_mac_key(text, "eab.key");
    REQUIRE(key.error().code == ErrorCode::Invalid);
    REQUIRE(says(key.error(), "eab.key"));
    for (const char* secret : {"AAAA", "kret"}) REQUIRE(key.error().message.find(secret) == std::string::npos);
  }
}

TEST_CASE("an external account without a name or a key is refused before it is sent", "[acme]") {
  auto key = taken(PrivateKey::from_jwk(kJwk));
  REQUIRE(says(bind_external_account({"", "k"}, key, "https://a/").error(), "empty"));
  REQUIRE(says(bind_external_account({"\xff", "k"}, key, "https://a/").error(), "not UTF-8"));
  REQUIRE(says(bind_external_account({"kid", ""}, key, "https://a/").error(), "MAC key is empty"));
}

TEST_CASE("the label of dns-account-01 is the draft's", "[acme]") {
  REQUIRE(dns_account_label("https://example.com/acme/acct/ExampleAccount") == "_ujmmovf2vn55tgye");
  REQUIRE(dns_account_label("https://127.0.0.1:14000/my-account/1") == "_iov3pdu2eqwqloyr");
}

TEST_CASE("the standing record of dns-persist-01 has the draft's form", "[acme]") {
  PersistRecord record{"ca.example", "https://ca.example/acct/123", false, std::nullopt};
  REQUIRE(persist_value(record) == "ca.example; accounturi=https://ca.example/acct/123");
  record.wildcard = true;
  record.until = base::WallTime(std::chrono::milliseconds(1'782'424'856'999));
  REQUIRE(persist_value(record) ==
          "ca.example; accounturi=https://ca.example/acct/123; policy=wildcard; persistUntil=1782424856");
}

TEST_CASE("a CA cannot add parameters to the standing record", "[acme]") {
  for (const char* uri :
       {"", "https://ca/1; policy=wildcard", "https://ca/1 x", "https://ca/\n", "https://ca/\xc3\xa9"})
    REQUIRE(persist_value({"ca.example", uri, false, std::nullopt}).error().code == ErrorCode::Invalid);
  for (const char* issuer :
       {"", "ca.example;x", "CA.example", "ca.example.", "ca..example", "-ca.example", "ca example"})
    REQUIRE(persist_value({issuer, "https://ca/1", false, std::nullopt}).error().code == ErrorCode::Invalid);
}

TEST_CASE("the issuer is the first that is a domain name in lower case", "[acme]") {
  REQUIRE(persist_issuer(persist_challenge({"Bad.Example", "with space", "authority.example", "ca.example"})) ==
          "authority.example");
  REQUIRE(persist_issuer(persist_challenge(std::vector<std::string>(10, "ca.example"))) == "ca.example");
  for (const auto& issuers :
       {std::vector<std::string>{}, std::vector<std::string>(11, "ca.example"), std::vector<std::string>{"CA.EXAMPLE"},
        std::vector<std::string>{std::string(64, 'a') + ".example"}, std::vector<std::string>{"x\n\x1b[31m"}}) {
    auto issuer = persist_issuer(persist_challenge(issuers));
    REQUIRE(issuer.error().code == ErrorCode::Protocol);
    REQUIRE(says(issuer.error(), "https://ca.test/chall/1"));
    REQUIRE(issuer.error().message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("the account of a standing record is plain in draft -01 and hashed in draft -02", "[acme]") {
  constexpr const char* kThumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
  constexpr const char* kAccount = "https://ca.example/acct/123";
  Directory directory;
  Challenge challenge;
  REQUIRE(persist_account_uri(directory, challenge, "example.com", kThumbprint, kAccount) == kAccount);
  challenge.account_uri = "https://ca.example/other";
  REQUIRE(persist_account_uri(directory, challenge, "example.com", kThumbprint, kAccount) ==
          "https://ca.example/other");
  directory.account_hash_prefix = "https://ca.example/hash/";
  REQUIRE(persist_account_uri(directory, challenge, "example.com", kThumbprint, kAccount) ==
          "https://ca.example/hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw");
  REQUIRE(persist_account_uri(directory, challenge, "*", kThumbprint, kAccount) ==
          "https://ca.example/hash/sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug");
}
