// PKCS#12 files, judged by OpenSSL's library and program and by Java's keytool.
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "acme/protocol/pkcs12.hpp"
#include "base/handle.hpp"
#include "tests/unit/acme/certificate_tools.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using tests::OpensslProgram;

namespace {

using File = base::Handle<PKCS12, PKCS12_free>;
using Key = base::Handle<EVP_PKEY, EVP_PKEY_free>;
using Leaf = base::Handle<X509, X509_free>;

template <class T>
T taken(base::Result<T> result) {
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

// A key, and its certificate below an intermediate.
struct Material {
  OpensslProgram openssl;

  explicit Material(const std::string& key_arguments) {
    openssl.root("root", "Root");
    openssl.request("mid", "", "-subj '/CN=Middle'");
    openssl.sign("mid", "mid", "root", "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash");
    openssl("req -new -newkey " + key_arguments + " -nodes -keyout a.key -out a.csr -subj /");
    openssl.sign("a", "a", "mid", "subjectAltName=critical,DNS:a.test");
  }
  [[nodiscard]] PrivateKey key() const { return taken(PrivateKey::from_pem(openssl.file("a.key"))); }
  [[nodiscard]] CertificateChain chain() const {
    return taken(CertificateChain::parse(openssl.file("a.pem") + openssl.file("mid.pem"), "x"));
  }
  // Writes it to a.p12.
  void make(const std::string& name, const std::string& password, conf::Pkcs12 form) const {
    openssl.write("a.p12", taken(make_pkcs12(key(), chain(), name, password, form)));
  }
  [[nodiscard]] tests::ProgramRun info(const std::string& password, const std::string& more) const {
    openssl.write("password", password + "\n");
    return tests::run_program(fmt::format("openssl pkcs12 -in '{}' -passin 'file:{}' -info {}", openssl.path("a.p12"),
                                          openssl.path("password"), more));
  }
};

const Material& elliptic() {
  static const Material kMaterial("ec -pkeyopt ec_paramgen_curve:P-256");
  return kMaterial;
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

// What PKCS12_parse() takes it for.
void require_parsed(const Material& material, const std::string& name, const std::string& password) {
  std::string der = material.openssl.file("a.p12");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  File file(d2i_PKCS12(nullptr, &at, static_cast<long>(der.size())));
  REQUIRE(file);
  EVP_PKEY* key_out = nullptr;
  X509* leaf_out = nullptr;
  STACK_OF(X509)* others = nullptr;
  REQUIRE(PKCS12_parse(file.get(), (password + "x").c_str(), &key_out, &leaf_out, &others) == 0);
  ERR_clear_error();
  REQUIRE(PKCS12_parse(file.get(), password.c_str(), &key_out, &leaf_out, &others) == 1);
  Key key(key_out);
  Leaf leaf(leaf_out);
  REQUIRE(key);
  REQUIRE(leaf);
  REQUIRE(X509_check_private_key(leaf.get(), key.get()) == 1);
  unsigned char* encoded = nullptr;
  int length = i2d_X509(leaf.get(), &encoded);
  REQUIRE(material.chain().leaf_der() ==
          std::string(reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(length)));
  OPENSSL_free(encoded);
  int size = 0;
  const unsigned char* alias = X509_alias_get0(leaf.get(), &size);
  REQUIRE(std::string(reinterpret_cast<const char*>(alias), static_cast<std::size_t>(size)) == name);
  REQUIRE(X509_keyid_get0(leaf.get(), &size) != nullptr);
  REQUIRE(size == 20);
  REQUIRE(sk_X509_num(others) == 1);
  REQUIRE(X509_verify(leaf.get(), X509_get0_pubkey(sk_X509_value(others, 0))) == 1);
  sk_X509_pop_free(others, X509_free);
}

}  // namespace

TEST_CASE("key, leaf and chain come out of a PKCS#12 file of either form", "[acme]") {
  for (const char* arguments :
       {"ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384", "rsa:2048"}) {
    Material material(arguments);
    for (auto form : {conf::Pkcs12::Modern, conf::Pkcs12::Legacy}) {
      for (const char* password : {"", "a long password, with \"quotes\"", "pässwörd €"}) {
        INFO(arguments << " \"" << password << '"');
        material.make("a.test", password, form);
        require_parsed(material, "a.test", password);
        REQUIRE(material.info(password, "-noout").status == 0);
        REQUIRE(material.info(std::string(password) + "x", "-noout").status != 0);
      }
    }
  }
}

TEST_CASE("a friendly name may have any letters and is on key and leaf", "[acme]") {
  for (const char* name : {"a.test", "bücher.example 証明書"}) {
    elliptic().make(name, "x", conf::Pkcs12::Modern);
    require_parsed(elliptic(), name, "x");
  }
  elliptic().make("a.test", "x", conf::Pkcs12::Modern);
  for (const char* part : {"-nokeys -clcerts", "-nocerts -nodes"}) {
    auto info = elliptic().info("x", part);
    REQUIRE(says(info.output, "friendlyName: a.test"));
    REQUIRE(says(info.output, "localKeyID: "));
  }
  REQUIRE(elliptic().info("x", "-nokeys -cacerts").output.find("localKeyID") == std::string::npos);
}

TEST_CASE("each form has the algorithms of its readers", "[acme]") {
  elliptic().make("a.test", "x", conf::Pkcs12::Modern);
  auto modern = elliptic().info("x", "-nodes");
  REQUIRE(modern.status == 0);
  REQUIRE(says(modern.output, "MAC: sha256, Iteration 10000"));
  REQUIRE(says(modern.output, "PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256"));
  REQUIRE(says(modern.output, "Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC"));
  elliptic().make("a.test", "x", conf::Pkcs12::Legacy);
  // No -legacy: whoever has OpenSSL 3 can read it too.
  auto legacy = elliptic().info("x", "-nodes");
  REQUIRE(legacy.status == 0);
  REQUIRE(says(legacy.output, "MAC: sha1, Iteration 2000"));
  REQUIRE(says(legacy.output, "Shrouded Keybag: pbeWithSHA1And3-KeyTripleDES-CBC"));
  REQUIRE(says(legacy.output, "Encrypted data: pbeWithSHA1And3-KeyTripleDES-CBC"));
  REQUIRE(legacy.output.find("RC2") == std::string::npos);
}

TEST_CASE("Java reads a PKCS#12 file of either form with its chain", "[acme]") {
  if (tests::run_program("command -v keytool").status != 0) {
    WARN("no keytool on this machine");
    return;
  }
  for (auto form : {conf::Pkcs12::Modern, conf::Pkcs12::Legacy}) {
    elliptic().make("a.test", "password", form);
    auto list =
        tests::run_program(fmt::format("LC_ALL=C keytool -list -v -storetype PKCS12 -storepass password -keystore '{}'",
                                       elliptic().openssl.path("a.p12")));
    INFO(list.output);
    REQUIRE(list.status == 0);
    REQUIRE(says(list.output, "Alias name: a.test"));
    REQUIRE(says(list.output, "Entry type: PrivateKeyEntry"));
    REQUIRE(says(list.output, "Certificate chain length: 2"));
  }
}

TEST_CASE("a PKCS#12 file with a key that is not the certificate's is not made", "[acme]") {
  auto other = taken(PrivateKey::generate(conf::KeyType::P256));
  auto made = make_pkcs12(other, elliptic().chain(), "a.test", "x", conf::Pkcs12::Modern);
  REQUIRE(made.error().code == ErrorCode::Invalid);
  REQUIRE(says(made.error().message, "another key"));
}

TEST_CASE("a password or name that PKCS#12 cannot hold is refused by which it is", "[acme]") {
  for (const std::string& bad : {std::string("a\0b", 3), std::string("p\xE4ssword"), std::string("\xFF")}) {
    auto password = make_pkcs12(elliptic().key(), elliptic().chain(), "a", bad, conf::Pkcs12::Legacy);
    REQUIRE(password.error().code == ErrorCode::Invalid);
    REQUIRE(says(password.error().message, "password"));
    auto name = make_pkcs12(elliptic().key(), elliptic().chain(), bad, "x", conf::Pkcs12::Modern);
    REQUIRE(says(name.error().message, "friendly name"));
  }
  // A friendly name is a BMPString (RFC 2985 §5.5.1).
  auto beyond = make_pkcs12(elliptic().key(), elliptic().chain(), "\xF0\x9F\x94\x91", "x", conf::Pkcs12::Modern);
  REQUIRE(says(beyond.error().message, "illegal characters"));
  REQUIRE(make_pkcs12(elliptic().key(), elliptic().chain(), "a", std::string(5000, 'x'), conf::Pkcs12::Modern));
}

TEST_CASE("a leaf without a chain makes a PKCS#12 file of two", "[acme]") {
  auto chain = taken(CertificateChain::parse(elliptic().openssl.file("a.pem"), "x"));
  elliptic().openssl.write("a.p12", taken(make_pkcs12(elliptic().key(), chain, "a", "x", conf::Pkcs12::Modern)));
  auto info = elliptic().info("x", "-nodes");
  REQUIRE(info.status == 0);
  REQUIRE(info.output.find("BEGIN CERTIFICATE") == info.output.rfind("BEGIN CERTIFICATE"));
}
