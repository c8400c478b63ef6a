// Keys that other clients keep as JWK.
#include <openssl/core_names.h>

#include <chrono>
#include <map>

#include "acme/protocol/openssl.hpp"
#include "acme/protocol/private_key.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using tests::says;
using tests::taken;

namespace {

using Members = std::map<std::string, std::string>;

std::string number(const PrivateKey& key, const char* parameter, int width = 0) {
  BIGNUM* raw = nullptr;
  REQUIRE(EVP_PKEY_get_bn_param(key.state().key.get(), parameter, &raw) == 1);
  BigNumber value(raw);
  std::string octets(static_cast<std::size_t>(width > 0 ? width : BN_num_bytes(raw)), '\0');
  REQUIRE(BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(octets.data()), static_cast<int>(octets.size())) >= 0);
  return base::base64url_encode(base::as_bytes(octets));
}

Members rsa_members(const PrivateKey& key) {
  return {{"kty", "RSA"},
          {"n", number(key, OSSL_PKEY_PARAM_RSA_N)},
          {"e", number(key, OSSL_PKEY_PARAM_RSA_E)},
          {"d", number(key, OSSL_PKEY_PARAM_RSA_D)},
          {"p", number(key, OSSL_PKEY_PARAM_RSA_FACTOR1)},
          {"q", number(key, OSSL_PKEY_PARAM_RSA_FACTOR2)},
          {"dp", number(key, OSSL_PKEY_PARAM_RSA_EXPONENT1)},
          {"dq", number(key, OSSL_PKEY_PARAM_RSA_EXPONENT2)},
          {"qi", number(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1)}};
}

Members elliptic_members(const PrivateKey& key) {
  bool large = key.type() == conf::KeyType::P384;
  int width = large ? 48 : 32;
  return {{"kty", "EC"},
          {"crv", large ? "P-384" : "P-256"},
          {"x", number(key, OSSL_PKEY_PARAM_EC_PUB_X, width)},
          {"y", number(key, OSSL_PKEY_PARAM_EC_PUB_Y, width)},
          {"d", number(key, OSSL_PKEY_PARAM_PRIV_KEY, width)}};
}

std::string json(const Members& members) {
  std::string out;
  for (const auto& [name, value] : members) out += fmt::format(R"({}"{}":"{}")", out.empty() ? "" : ",", name, value);
  return "{" + out + "}";
}

PrivateKey read(const Members& members) {
  return taken(PrivateKey::from_jwk(json(members)));
}

base::Error refusal(const Members& members) {
  auto key = PrivateKey::from_jwk(json(members));
  REQUIRE_FALSE(key);
  REQUIRE(key.error().code == ErrorCode::Invalid);
  // No secret in a message, however the file is broken.
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi"}) {
    auto found = members.find(secret);
    if (found != members.end() && found->second.size() > 4)
      REQUIRE(key.error().message.find(found->second) == std::string::npos);
  }
  return key.error();
}

bool verifies(const PrivateKey& signer, const PrivateKey& verifier) {
  DigestContext context(EVP_MD_CTX_new());
  std::string data = "data";
  std::string raw = std::string(base::as_text(taken(base::base64url_decode(taken(signer.sign(data))))));
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, verifier.state().key.get()) == 1 &&
         EVP_DigestVerify(context.get(), octets_of(raw), raw.size(), octets_of(data), data.size()) == 1;
}

}  // namespace

TEST_CASE("an elliptic JWK gives the same key as its PEM", "[acme]") {
  for (auto type : {conf::KeyType::P256, conf::KeyType::P384}) {
    auto key = taken(PrivateKey::generate(type));
    auto again = read(elliptic_members(key));
    REQUIRE(again.to_pem() == key.to_pem());
    REQUIRE(again.public_key() == key.public_key());
    REQUIRE(again.type() == type);
  }
}

TEST_CASE("an RSA JWK gives the same key with all members, without those for speed, and without the factors",
          "[acme]") {
  for (auto type : {conf::KeyType::Rsa2048, conf::KeyType::Rsa3072}) {
    auto key = taken(PrivateKey::generate(type));
    Members members = rsa_members(key);
    for (std::vector<const char*> left_out :
         {std::vector<const char*>{}, {"dp", "dq", "qi"}, {"p", "q", "dp", "dq", "qi"}, {"q"}}) {
      Members fewer = members;
      for (const char* name : left_out) fewer.erase(name);
      auto again = read(fewer);
      REQUIRE(again.public_key() == key.public_key());
      REQUIRE(again.type() == type);
      REQUIRE(verifies(again, key));
      // What is written is whole: other programs want the factors.
      REQUIRE(taken(PrivateKey::from_pem(taken(again.to_pem()))).public_key() == key.public_key());
      REQUIRE(again.to_pem() == key.to_pem());
    }
    std::swap(members["p"], members["q"]);
    REQUIRE(read(members).to_pem() == key.to_pem());
  }
}

TEST_CASE("certbot's private_key.json is read: other members, padding and blanks", "[acme]") {
  auto key = taken(PrivateKey::generate(conf::KeyType::Rsa2048));
  Members members = rsa_members(key);
  members["kid"] = "7";
  members["use"] = "sig";
  members["e"] = "AQAB";
  members["n"] += "==";
  REQUIRE(taken(PrivateKey::from_jwk("\n  " + json(members) + "\n")).public_key() == key.public_key());
}

TEST_CASE("coordinates without their leading zeros are read", "[acme]") {
  // Every 128th key has one.
  for (int i = 0; i < 20'000; ++i) {
    auto key = taken(PrivateKey::generate(conf::KeyType::P256));
    std::string x = number(key, OSSL_PKEY_PARAM_EC_PUB_X);
    if (x.size() == 43) continue;
    Members members = elliptic_members(key);
    members["x"] = x;
    REQUIRE(read(members).public_key() == key.public_key());
    return;
  }
  FAIL("no such key");
}

TEST_CASE("a JWK whose private part is another key's is refused", "[acme]") {
  auto first = taken(PrivateKey::generate(conf::KeyType::P256));
  auto second = taken(PrivateKey::generate(conf::KeyType::P256));
  Members mixed = elliptic_members(first);
  mixed["d"] = elliptic_members(second)["d"];
  REQUIRE(says(refusal(mixed), "does not belong"));
  auto third = taken(PrivateKey::generate(conf::KeyType::Rsa2048));
  auto fourth = taken(PrivateKey::generate(conf::KeyType::Rsa2048));
  for (std::vector<const char*> kept : {std::vector<const char*>{"n", "e", "d"}, {"n", "e", "p", "q"}, {"n", "e"}}) {
    Members members = rsa_members(fourth);
    Members own = rsa_members(third);
    for (const char* name : kept) members[name] = own[name];
    REQUIRE(says(refusal(members), "does not belong"));
    if (kept.size() == 2) {
      members.erase("p");
      REQUIRE(says(refusal(members), "does not belong"));
    }
  }
}

TEST_CASE("a JWK that is broken, public, too small or of another kind is refused with what it is", "[acme]") {
  auto key = taken(PrivateKey::generate(conf::KeyType::P256));
  auto rsa = taken(PrivateKey::generate(conf::KeyType::Rsa2048));
  auto with = [](Members members, const char* name, const std::string& value) {
    members[name] = value;
    return refusal(members);
  };
  auto without = [](Members members, const char* name) {
    members.erase(name);
    return refusal(members);
  };
  REQUIRE(says(without(elliptic_members(key), "d"), "only a public key"));
  REQUIRE(says(without(elliptic_members(key), "kty"), "\"kty\" is missing"));
  REQUIRE(says(without(elliptic_members(key), "y"), "\"y\" is missing"));
  REQUIRE(says(without(rsa_members(rsa), "n"), "\"n\" is missing"));
  REQUIRE(says(with(elliptic_members(key), "kty", "OKP"), "\"OKP\""));
  REQUIRE(says(with(elliptic_members(key), "crv", "P-521"), "\"P-521\""));
  REQUIRE(says(with(elliptic_members(key), "d", "not base64!"), "\"d\" is no number"));
  REQUIRE(says(with(elliptic_members(key), "x", std::string(64, 'A')), "too long"));
  refusal({{"kty", "EC"}, {"crv", "P-256"}, {"x", "AA"}, {"y", "AA"}, {"d", "AQ"}});
  with(elliptic_members(key), "d", "AA");
  with(elliptic_members(key), "y", elliptic_members(key)["x"]);
  REQUIRE(says(with(rsa_members(rsa), "n", std::string(86, '_') + "w"), "bits"));
  REQUIRE(says(with(rsa_members(rsa), "oth", "x"), "two primes"));
  REQUIRE(says(with(rsa_members(rsa), "e", rsa_members(rsa)["d"]), "public exponent"));
  REQUIRE(says(with(rsa_members(rsa), "n", std::string(2000, 'B')), "\"n\" is no number"));
  for (const char* odd : {"AA", "AQ", "Ag"}) {
    for (const char* member : {"e", "d", "p", "q"}) with(rsa_members(rsa), member, odd);
    Members bare = {{"kty", "RSA"}, {"n", rsa_members(rsa)["n"]}, {"e", "AQAB"}, {"d", odd}};
    refusal(bare);
  }
  with(rsa_members(rsa), "p", std::string(8192, 'A'));
  for (const char* text : {"", "[]", "{}", "{\"kty\":7}", "not JSON", "-----BEGIN PRIVATE KEY-----"})
    REQUIRE(PrivateKey::from_jwk(text).error().code == ErrorCode::Invalid);
}

TEST_CASE("a hostile JWK costs no minutes", "[acme]") {
  auto began = std::chrono::steady_clock::now();
  std::string large(1364, '_');  // 8184 bits, and odd
  Members members = {{"kty", "RSA"}, {"n", large}, {"e", "AQAB"}, {"d", std::string(1360, '_')}};
  REQUIRE(says(refusal(members), "without its factors"));
  // d is as long as it likes only up to n.
  auto key = taken(PrivateKey::generate(conf::KeyType::Rsa2048));
  members = rsa_members(key);
  members["d"] = large;
  REQUIRE(says(refusal(members), "does not belong"));
  members.erase("p");
  REQUIRE(says(refusal(members), "does not belong"));
  // A prime has no factors to be found, and its e and d are good.
  BigNumber prime(BN_new());
  BigNumber order(BN_new());
  BigNumber exponent(BN_new());
  base::Handle<BN_CTX, BN_CTX_free> context(BN_CTX_new());
  BigNumber inverse;
  BN_set_word(exponent.get(), 65537);
  while (!inverse) {
    REQUIRE(BN_generate_prime_ex(prime.get(), 2048, 0, nullptr, nullptr, nullptr) == 1);
    BN_sub(order.get(), prime.get(), BN_value_one());
    inverse = BigNumber(BN_mod_inverse(nullptr, exponent.get(), order.get(), context.get()));
  }
  auto text = [](const BIGNUM* value) {
    std::string octets(static_cast<std::size_t>(BN_num_bytes(value)), '\0');
    BN_bn2bin(value, reinterpret_cast<unsigned char*>(octets.data()));
    return base::base64url_encode(base::as_bytes(octets));
  };
  REQUIRE(says(refusal({{"kty", "RSA"}, {"n", text(prime.get())}, {"e", "AQAB"}, {"d", text(inverse.get())}}),
               "does not belong"));
  REQUIRE(std::chrono::steady_clock::now() - began < std::chrono::seconds(30));
}

TEST_CASE("a key's type is told from the key", "[acme]") {
  for (auto type : {conf::KeyType::P256, conf::KeyType::P384, conf::KeyType::Rsa2048, conf::KeyType::Rsa3072}) {
    auto key = taken(PrivateKey::generate(type));
    REQUIRE(key.type() == type);
    REQUIRE_FALSE(key.public_key().empty());
    REQUIRE(key.public_key() != taken(PrivateKey::generate(type)).public_key());
  }
}
