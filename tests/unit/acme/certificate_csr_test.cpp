// Somebody else's certificate request: what is taken, and what is refused before a CA hears of it.
#include "acme/protocol/csr.hpp"
#include "tests/unit/acme/certificate_tools.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using tests::OpensslProgram;
using Names = std::vector<std::string>;

namespace {

// Extensions follow.
constexpr const char* kConfiguration = "[req]\ndistinguished_name=d\nreq_extensions=e\nprompt=no\n[d]\nO=x\n[e]\n";

bool refused(const std::string& text, const std::string& part) {
  auto request = read_csr(text, "\"web.csr\"");
  if (request) return false;
  const std::string& message = request.error().message;
  INFO(message);
  CHECK(request.error().code == ErrorCode::Invalid);
  CHECK(message.starts_with("\"web.csr\": "));
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.find(part) != std::string::npos);
  return message.find(part) != std::string::npos;
}

Names names_of(const std::string& text) {
  auto request = read_csr(text, "x");
  if (!request) FAIL(request.error().message);
  return request->names;
}

// RSA of that size.
std::string rsa_request(const OpensslProgram& openssl, int bits, const std::string& more = "") {
  openssl(
      fmt::format("req -new -newkey rsa:{} -nodes -keyout r.key -out r.csr -subj / "
                  "-addext subjectAltName=DNS:a.test {}",
                  bits, more));
  return openssl.file("r.csr");
}

}  // namespace

TEST_CASE("a request is read from PEM and from DER alike, byte for byte", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "DNS:B.test,DNS:*.a.test,DNS:b.test");
  openssl("req -in a.csr -outform DER -out a.der");
  openssl("req -in a.csr -pubkey -noout -out a.pub");
  openssl("pkey -pubin -in a.pub -outform DER -out a.pub.der");
  for (const std::string& text :
       {openssl.file("a.csr"), openssl.file("a.der"), "\xEF\xBB\xBF" + openssl.file("a.csr"),
        "Certificate Request:\n    Data:\n" + openssl.file("a.csr"), openssl.file("a.key") + openssl.file("a.csr")}) {
    auto request = read_csr(text, "x");
    REQUIRE(request);
    REQUIRE(request->der == openssl.file("a.der"));
    REQUIRE(request->names == Names{"*.a.test", "b.test"});
    REQUIRE(request->public_key == openssl.file("a.pub.der"));
  }
  openssl("req -in a.csr -text -out text.csr");
  REQUIRE(names_of(openssl.file("text.csr")) == Names{"*.a.test", "b.test"});
  // What certreq writes: another label, and the line ends of Windows.
  std::string windows;
  for (char c : openssl.file("a.csr")) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (std::size_t at = 0; (at = windows.find("CERTIFICATE REQUEST", at)) != std::string::npos; at += 20)
    windows.insert(at, "NEW ");
  REQUIRE(names_of(windows) == Names{"*.a.test", "b.test"});
}

TEST_CASE("a request of our own is read as somebody else's", "[acme]") {
  for (auto type : {conf::KeyType::P256, conf::KeyType::P384, conf::KeyType::Rsa2048}) {
    auto key = PrivateKey::generate(type);
    auto der = make_csr(*key, {"b.test", "*.a.test"});
    REQUIRE(der);
    auto request = read_csr(*der, "x");
    REQUIRE(request);
    REQUIRE(request->der == *der);
    REQUIRE(request->names == Names{"*.a.test", "b.test"});
    REQUIRE(request->public_key == key->public_key());
  }
}

TEST_CASE("a common name counts when it is a domain name", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "DNS:b.test", "-subj /O=x/CN=WWW.a.test");
  REQUIRE(names_of(openssl.file("a.csr")) == Names{"b.test", "www.a.test"});
  // Alone it does not: no CA takes that any more, and most say so only when all names are proved.
  openssl.request("a", "", "-subj /CN=a.test");
  REQUIRE(refused(openssl.file("a.csr"), "no domain name in its subjectAltName"));
  openssl.request("a", "DNS:a.test", "-subj /CN=a.test");
  REQUIRE(names_of(openssl.file("a.csr")) == Names{"a.test"});
  for (const char* other : {"My web server", "localhost", "192.0.2.1", "a..test", "-a.test"}) {
    openssl.request("a", "DNS:b.test", fmt::format("-subj '/CN={}'", other));
    REQUIRE(names_of(openssl.file("a.csr")) == Names{"b.test"});
    openssl.request("a", "", fmt::format("-subj '/CN={}'", other));
    REQUIRE(refused(openssl.file("a.csr"), "no domain name in its subjectAltName"));
  }
}

TEST_CASE("a request without a name says how to make one with", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "");
  REQUIRE(refused(openssl.file("a.csr"), "-addext subjectAltName=DNS:NAME"));
}

TEST_CASE("what cannot be ordered is refused by its kind", "[acme]") {
  OpensslProgram openssl;
  for (const auto& [value, part] : std::vector<std::pair<std::string, std::string>>{
           {"DNS:a.test,IP:192.0.2.1", "an IP address"},
           {"DNS:a.test,IP:2001:db8::1", "an IP address"},
           {"email:a@a.test,DNS:a.test", "an e-mail address"},
           {"DNS:a.test,URI:https://a.test/", "a URI"},
           {"DNS:a.test,otherName:1.2.3.4;UTF8:x", "a name of another kind"},
           {"DNS:a.test,RID:1.2.3", "a name of another kind"},
           {"DNS:a.test,DNS:b_c.test", "\"b_c.test\""},
           {"DNS:a.*.test", "\"a.*.test\""},
           {"DNS:a.test.", "\"a.test.\""},
           {"DNS:localhost", "a single label"},
           {"DNS:*", "\"*\""},
           {"DNS:*.test", "a single label"},
           {"DNS:192.0.2.1", "a number"},
           {"DNS:a..test", "a label is empty"},
           {"DNS:" + std::string(64, 'a') + ".test", "longer than 63"},
           {"DNS:a b.test", "letters, digits"}}) {
    INFO(value);
    openssl.request("a", value);
    REQUIRE(refused(openssl.file("a.csr"), part));
  }
  // Octets that only DER can carry: a NUL, and UTF-8 in an IA5String.
  openssl.request("a", "DNS:aXb.test");
  openssl("req -in a.csr -outform DER -out a.der");
  std::string der = openssl.file("a.der");
  der[der.find("aXb.test") + 1] = '\0';
  REQUIRE(refused(der, "signature"));  // changed
  for (const char* encoded : {"300A82086100622E74657374", "300E820C62C3BC636865722E74657374"}) {
    openssl.write("a.cnf", fmt::format("{}subjectAltName=DER:{}\n", kConfiguration, encoded));
    openssl("req -new -key a.key -config a.cnf -out a.csr");
    REQUIRE(refused(openssl.file("a.csr"), "no name that a CA would take"));
  }
}

TEST_CASE("a subjectAltName that is broken or there twice is told", "[acme]") {
  OpensslProgram openssl;
  openssl("ecparam -name P-256 -genkey -noout -out a.key");
  for (const auto& [lines, part] : std::vector<std::pair<std::string, std::string>>{
           {"subjectAltName=DER:0102", "cannot be read"},
           {"subjectAltName=DNS:a.test\n2.5.29.17=DER:30088206622E74657374", "more than once"}}) {
    openssl.write("a.cnf", fmt::format("{}{}\n", kConfiguration, lines));
    openssl("req -new -key a.key -config a.cnf -out a.csr");
    REQUIRE(refused(openssl.file("a.csr"), part));
  }
}

TEST_CASE("other extensions of a request are the CA's to judge", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "DNS:a.test",
                  "-addext keyUsage=critical,digitalSignature -addext tlsfeature=status_request "
                  "-addext extendedKeyUsage=serverAuth -addext 1.2.3.4=ASN1:UTF8:x");
  REQUIRE(names_of(openssl.file("a.csr")) == Names{"a.test"});
}

TEST_CASE("keys that CAs refuse are refused here, those they take are taken", "[acme]") {
  OpensslProgram openssl;
  REQUIRE(refused(rsa_request(openssl, 1024), "1024 bits"));
  REQUIRE(refused(rsa_request(openssl, 2040), "2040 bits"));
  REQUIRE(names_of(rsa_request(openssl, 2048)) == Names{"a.test"});
  REQUIRE(names_of(rsa_request(openssl, 3072)) == Names{"a.test"});
  struct Kind {
    const char* arguments;
    const char* part;  // "" = taken
  };
  for (const Kind& kind :
       {Kind{"ec -pkeyopt ec_paramgen_curve:P-384", ""}, Kind{"ec -pkeyopt ec_paramgen_curve:P-521", "secp521r1"},
        Kind{"ec -pkeyopt ec_paramgen_curve:secp256k1", "secp256k1"},
        Kind{"ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "spells its curve out"},
        Kind{"ed25519", "ED25519"}, Kind{"rsa-pss -pkeyopt rsa_keygen_bits:2048", "RSA-PSS"}}) {
    INFO(kind.arguments);
    openssl(
        fmt::format("req -new -newkey {} -nodes -keyout k.key -out k.csr -subj / "
                    "-addext subjectAltName=DNS:a.test",
                    kind.arguments));
    if (std::string(kind.part).empty()) {
      REQUIRE(names_of(openssl.file("k.csr")) == Names{"a.test"});
    } else {
      REQUIRE(refused(openssl.file("k.csr"), kind.part));
    }
  }
  REQUIRE(refused(rsa_request(openssl, 2048, "-sha1"), "sha1"));
}

TEST_CASE("a request whose signature is not its key's is refused", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "DNS:a.test");
  openssl("req -in a.csr -outform DER -out a.der");
  std::string der = openssl.file("a.der");
  std::string other_name = der;
  other_name.replace(der.find("a.test"), 6, "b.test");
  REQUIRE(refused(other_name, "signature"));
  std::string other_signature = der;
  other_signature.back() = static_cast<char>(other_signature.back() ^ 1);
  REQUIRE(refused(other_signature, "signature"));
}

TEST_CASE("what is no request says what it is instead", "[acme]") {
  OpensslProgram openssl;
  openssl.root("a", "a.test");
  openssl.request("b", "DNS:b.test");
  REQUIRE(refused(openssl.file("a.pem"), "a \"CERTIFICATE\" is in it"));
  REQUIRE(refused(openssl.file("b.key"), "a \"PRIVATE KEY\" is in it"));
  REQUIRE(refused(openssl.file("b.csr") + openssl.file("b.csr"), "2 certificate requests"));
  REQUIRE(refused("", "empty"));
  REQUIRE(refused(" \r\n", "empty"));
  REQUIRE(refused("garbage\n", "neither PEM nor DER"));
  REQUIRE(refused(std::string(1, '\0'), "neither PEM nor DER"));
  REQUIRE(refused("-----BEGIN \x1b[31mX-----\n", "no certificate request"));
  REQUIRE(refused("-----BEGIN ", "broken PEM block"));
  openssl("x509 -in a.pem -outform DER -out a.der");
  REQUIRE_FALSE(read_csr(openssl.file("a.der"), "x"));
}

TEST_CASE("a request that is cut short at any octet, or goes on, is refused", "[acme]") {
  OpensslProgram openssl;
  openssl.request("a", "DNS:a.test");
  openssl("req -in a.csr -outform DER -out a.der");
  std::string der = openssl.file("a.der");
  for (std::size_t length = 0; length < der.size(); ++length) REQUIRE_FALSE(read_csr(der.substr(0, length), "x"));
  REQUIRE(refused(der + "x", "1 octets behind"));
  std::string pem = openssl.file("a.csr");
  // Up to the last octet of the end line; the line end behind it is no loss.
  for (std::size_t length = 0; length + 1 < pem.size(); ++length) {
    auto request = read_csr(pem.substr(0, length), "x");
    REQUIRE(request.error().code == ErrorCode::Invalid);
  }
  // Every octet changed: refused, or just the same request (a bit that nothing reads).
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    auto request = read_csr(changed, "x");
    REQUIRE_FALSE(request);
  }
}
