// Keys, signatures and values, against the vectors of the RFCs.
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/parse.hpp>

#include "acme/protocol/authorization.hpp"
#include "acme/protocol/certificate.hpp"
#include "acme/protocol/csr.hpp"
#include "acme/protocol/jws.hpp"
#include "acme/protocol/nonces.hpp"
#include "acme/protocol/openssl.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "base/encoding.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;

namespace {

// The key of RFC 7515 appendix A.3, as SEC 1 wants it (RFC 5915).
std::string rfc7515_key_pem() {
  auto octets = [](const char* text) {
    auto decoded = base::base64url_decode(text);
    REQUIRE(decoded);
    return std::string(base::as_text(*decoded));
  };
  using namespace std::string_literals;
  std::string der = "\x30\x77\x02\x01\x01\x04\x20"s + octets("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI") +
                    "\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\xa1\x44\x03\x42\x00\x04"s +
                    octets("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU") +
                    octets("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  return "-----BEGIN EC PRIVATE KEY-----\n" + base::base64_encode(base::as_bytes(der)) +
         "\n-----END EC PRIVATE KEY-----\n";
}

std::string decoded(const boost::json::value& document, const char* member) {
  auto octets = base::base64url_decode(std::string(document.at(member).as_string()));
  REQUIRE(octets);
  return std::string(base::as_text(*octets));
}

HttpResponse response_with(std::vector<std::pair<std::string, std::string>> headers, std::string body = "") {
  HttpResponse response;
  response.status = 400;
  response.headers = std::move(headers);
  response.body = std::move(body);
  return response;
}

}  // namespace

TEST_CASE("thumbprints are those of RFC 7638 section 3.1 and RFC 8037 appendix A.3", "[acme]") {
  REQUIRE(jwk_thumbprint(
              R"({"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z)"
              R"(wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf)"
              R"(0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNL)"
              R"(yrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})") ==
          "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  REQUIRE(jwk_thumbprint(R"({"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})") ==
          "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST_CASE("a dns-01 value is the hash of the key authorization", "[acme]") {
  auto authorization =
      key_authorization("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  REQUIRE(authorization);
  REQUIRE(dns01_value(*authorization) == "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8");
}

TEST_CASE("a token outside the base64url alphabet is refused", "[acme]") {
  for (const char* token : {"", "a.b", "a b", "a/b", "a=", "\x01"})
    REQUIRE(key_authorization(token, "t").error().code == base::ErrorCode::Protocol);
}

TEST_CASE("a key's JWK has the members of RFC 7515 appendix A.3, in RFC 7638's order", "[acme]") {
  auto key = PrivateKey::from_pem(rfc7515_key_pem());
  REQUIRE(key);
  REQUIRE(key->jws_algorithm() == "ES256");
  REQUIRE(key->jwk() == R"({"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                        R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
}

TEST_CASE("a key survives its PEM form", "[acme]") {
  auto key = PrivateKey::generate(conf::KeyType::P384);
  REQUIRE(key);
  REQUIRE(key->jws_algorithm() == "ES384");
  auto again = PrivateKey::from_pem(*key->to_pem());
  REQUIRE(again);
  REQUIRE(again->thumbprint() == key->thumbprint());
  REQUIRE_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
  REQUIRE_FALSE(PrivateKey::from_pem(""));
}

TEST_CASE("a JWS is flattened and names exactly one of key and account", "[acme]") {
  auto key = PrivateKey::from_pem(rfc7515_key_pem());
  REQUIRE(key);
  auto text = sign_jws(*key, {"https://ca.test/new\"Order", "n0nce", "https://ca.test/acct/1"}, R"({"a":1})");
  REQUIRE(text);
  auto jws = boost::json::parse(*text);
  REQUIRE(jws.as_object().size() == 3);
  REQUIRE(decoded(jws, "payload") == R"({"a":1})");
  auto header = boost::json::parse(decoded(jws, "protected"));
  REQUIRE(header == boost::json::value{{"alg", "ES256"},
                                       {"kid", "https://ca.test/acct/1"},
                                       {"nonce", "n0nce"},
                                       {"url", "https://ca.test/new\"Order"}});
  // RFC 7518 §3.4: two numbers of 32 octets, never DER.
  REQUIRE(decoded(jws, "signature").size() == 64);

  jws = boost::json::parse(*sign_jws(*key, {"https://ca.test/x", "n", ""}, ""));
  REQUIRE(jws.at("payload").as_string().empty());
  header = boost::json::parse(decoded(jws, "protected"));
  REQUIRE(header.as_object().contains("jwk"));
  REQUIRE_FALSE(header.as_object().contains("kid"));
}

TEST_CASE("malformed, overlong and stale nonces are not used", "[acme]") {
  NoncePool pool;
  auto now = NoncePool::Time{} + 1h;
  pool.keep(response_with({{"replay-nonce", "good_-1"}}), now);
  for (const std::string& bad :
       {std::string("has space"), std::string("pad="), std::string("a\"b"), std::string(600, 'a'), std::string()})
    pool.keep(response_with({{"replay-nonce", bad}}), now);
  pool.keep(response_with({}), now);
  REQUIRE(pool.size(now) == 1);
  REQUIRE(pool.take(now) == "good_-1");
  REQUIRE_FALSE(pool.take(now));
  pool.keep(response_with({{"replay-nonce", "old"}}), now);
  REQUIRE(pool.size(now + 10min) == 0);
}

TEST_CASE("Retry-After is read in every form of RFC 9110", "[acme]") {
  auto read = [](std::string text, std::string date = "Sun, 06 Nov 1994 08:49:37 GMT") {
    return retry_after(response_with({{"date", std::move(date)}, {"retry-after", std::move(text)}}));
  };
  REQUIRE(read("120") == 120s);
  REQUIRE(read("Sun, 06 Nov 1994 08:50:37 GMT") == 60s);
  REQUIRE(read("Sunday, 06-Nov-94 08:50:37 GMT") == 60s);
  REQUIRE(read("Sun Nov  6 08:50:37 1994") == 60s);
  REQUIRE(read("Sun, 06 Nov 1994 08:00:00 GMT") == 0s);
  REQUIRE(read("-5") == 0s);
  REQUIRE(read("172800") == 48h);
  REQUIRE(read("99999999999999999999999") == 168h);
  REQUIRE(read("999999999") == 168h);
  REQUIRE_FALSE(read("soon"));
  REQUIRE_FALSE(read("12s"));
  REQUIRE_FALSE(retry_after(response_with({})));
}

TEST_CASE("links are found however they are put together", "[acme]") {
  auto response =
      response_with({{"link", R"(<https://ca/1>;rel="alternate", <https://ca/2,3>; title="a" ; rel="up alternate")"},
                     {"link", "<https://ca/dir>;rel=index"},
                     {"link", "garbage"},
                     {"link", "<unclosed"}});
  REQUIRE(links(response, "alternate") == std::vector<std::string>{"https://ca/1", "https://ca/2,3"});
  REQUIRE(links(response, "index") == std::vector<std::string>{"https://ca/dir"});
  REQUIRE(links(response, "help").empty());
}

TEST_CASE("a problem document is told whole: subproblems by name, time to wait, help", "[acme]") {
  auto problem = problem_of(response_with(
      {{"content-type", "application/problem+json; charset=utf-8"},
       {"retry-after", "60"},
       {"link", R"(<https://ca.test/limits>;rel="help")"}},
      R"({"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429,"subproblems":[)"
      R"({"type":"urn:ietf:params:acme:error:caa","detail":"forbidden","identifier":{"type":"dns","value":"a.test"}},)"
      R"({"type":"urn:ietf:params:acme:error:dns","detail":"no\u001b[31mred"}]})"));
  REQUIRE(problem.is("rateLimited"));
  REQUIRE(problem.code() == base::ErrorCode::Unavailable);
  std::string text = problem.describe();
  INFO(text);
  for (const char* part : {"rateLimited: too many", "\"a.test\": caa: forbidden", "dns: no?[31mred",
                           "try again after 20", "see https://ca.test/limits"})
    REQUIRE(text.find(part) != std::string::npos);
}

TEST_CASE("an answer that is no problem document is quoted", "[acme]") {
  auto page = response_with({{"content-type", "text/html"}}, "<html>\n<h1>Bad gateway</h1>");
  page.status = 502;
  std::string text = problem_of(page).describe();
  REQUIRE(text.find("text/html") != std::string::npos);
  REQUIRE(text.find("Bad gateway") != std::string::npos);
  REQUIRE(text.find("HTTP 502") != std::string::npos);
  REQUIRE(problem_of(page).code() == base::ErrorCode::Unavailable);
  // Broken members do not hide the rest.
  auto odd =
      problem_of(response_with({{"content-type", "application/problem+json"}}, R"({"type":7,"detail":"really"})"));
  REQUIRE(odd.describe().find("really") != std::string::npos);
  auto empty = problem_of(response_with({}));
  REQUIRE(empty.describe() == "no reason given (HTTP 400)");
}

TEST_CASE("a certificate request is made for every key type", "[acme]") {
  for (auto type : {conf::KeyType::P256, conf::KeyType::P384, conf::KeyType::Rsa2048}) {
    auto key = PrivateKey::generate(type);
    REQUIRE(key);
    auto csr = make_csr(*key, {"example.com", "*.example.com"});
    REQUIRE(csr);
    REQUIRE(csr->find("*.example.com") != std::string::npos);
    unsigned char* raw = nullptr;
    int length = i2d_PUBKEY(key->state().key.get(), &raw);
    OpensslOctets octets(raw);
    REQUIRE(length > 0);
    REQUIRE(csr->find(std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length))) !=
            std::string::npos);
  }
}

TEST_CASE("a chain that wants a passphrase is refused without asking anybody", "[acme]") {
  constexpr const char* kEncrypted =
      "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
      "AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END CERTIFICATE-----\n";
  // Without a terminal OpenSSL would read the passphrase from stdin.
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  REQUIRE(::write(fds[1], "typed\n", 6) == 6);
  ::close(fds[1]);
  pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    ::dup2(fds[0], STDIN_FILENO);
    static_cast<void>(CertificateChain::parse(kEncrypted, "x"));
    char left[16];
    ::_exit(static_cast<int>(::read(STDIN_FILENO, left, sizeof left)));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(fds[0]);
  REQUIRE(WEXITSTATUS(status) == 6);
  REQUIRE(CertificateChain::parse(kEncrypted, "x").error().code == base::ErrorCode::Protocol);
}

TEST_CASE("what is no chain of PEM certificates is not taken for one", "[acme]") {
  auto key = PrivateKey::generate(conf::KeyType::P256);
  REQUIRE(CertificateChain::parse("", "x").error().code == base::ErrorCode::Protocol);
  REQUIRE_FALSE(CertificateChain::parse("hello", "x"));
  REQUIRE_FALSE(CertificateChain::parse(*key->to_pem(), "x"));
  REQUIRE_FALSE(CertificateChain::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"));
  REQUIRE_FALSE(CertificateChain::parse("-----END CERTIFICATE----------BEGIN CERTIFICATE-----", "x"));
}
