#include "acme/protocol/private_key.hpp"

#include <openssl/core_names.h>
#include <openssl/sha.h>

#include <array>
#include <vector>

#include "acme/protocol/openssl.hpp"
#include "base/encoding.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

enum class Algorithm { Es256, Es384, Rs256, Unusable };

Algorithm algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA"))
    return EVP_PKEY_get_bits(key) >= PrivateKey::kMinRsaBits ? Algorithm::Rs256 : Algorithm::Unusable;
  std::array<char, 64> group{};
  if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1)
    return Algorithm::Unusable;
  std::string_view name = group.data();
  if (name == "prime256v1" || name == "P-256") return Algorithm::Es256;
  if (name == "secp384r1" || name == "P-384") return Algorithm::Es384;
  return Algorithm::Unusable;
}

// Octets of a coordinate, of r and of s: RFC 7518 §3.4, §6.2.1.2 want the field's full width.
int field_octets(Algorithm algorithm) {
  return algorithm == Algorithm::Es384 ? 48 : 32;
}

std::string encode_octets(const std::vector<unsigned char>& octets) {
  return base::base64url_encode(std::as_bytes(std::span(octets)));
}

// `width` 0: as many octets as the number needs, without a leading zero (RFC 7518 §6.3.1.1).
Result<std::string> encode_number(EVP_PKEY* key, const char* parameter, int width) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &raw) != 1)
    return fail(ErrorCode::Invalid, "the key's {} cannot be read: {}", parameter, openssl_reason());
  BigNumber number(raw);
  std::vector<unsigned char> octets(static_cast<std::size_t>(width > 0 ? width : BN_num_bytes(number.get())));
  if (BN_bn2binpad(number.get(), octets.data(), static_cast<int>(octets.size())) < 0)
    return fail(ErrorCode::Invalid, "the key's {} is too large", parameter);
  return encode_octets(octets);
}

// RFC 7518 §3.4: r and s side by side, each of the field's width, where OpenSSL gives DER.
Result<std::vector<unsigned char>> raw_signature(const std::vector<unsigned char>& der, int width) {
  const unsigned char* at = der.data();
  base::Handle<ECDSA_SIG, ECDSA_SIG_free> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::vector<unsigned char> raw(static_cast<std::size_t>(2 * width));
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), width) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + width, width) < 0)
    return fail(ErrorCode::Unavailable, "cannot take apart an ECDSA signature: {}", openssl_reason());
  return raw;
}

}  // namespace

PrivateKey::PrivateKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
PrivateKey::~PrivateKey() = default;
PrivateKey::PrivateKey(PrivateKey&&) noexcept = default;
PrivateKey& PrivateKey::operator=(PrivateKey&&) noexcept = default;

Result<PrivateKey> PrivateKey::generate(conf::KeyType type) {
  auto rsa = [](std::size_t bits) { return PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits)); };
  auto elliptic = [](const char* curve) { return PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve)); };
  PKey key;
  switch (type) {
    case conf::KeyType::P256:
      key = elliptic("P-256");
      break;
    case conf::KeyType::P384:
      key = elliptic("P-384");
      break;
    case conf::KeyType::Rsa2048:
      key = rsa(2048);
      break;
    case conf::KeyType::Rsa3072:
      key = rsa(3072);
      break;
    case conf::KeyType::Rsa4096:
      key = rsa(4096);
      break;
  }
  if (!key) return fail(ErrorCode::Unavailable, "cannot generate a key: {}", openssl_reason());
  return PrivateKey(std::make_unique<State>(State{std::move(key)}));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  PKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
  if (!key) return fail(ErrorCode::Invalid, "no private key without a passphrase in PEM: {}", openssl_reason());
  if (algorithm_of(key.get()) == Algorithm::Unusable)
    return fail(ErrorCode::Invalid, "the key is neither P-256 nor P-384 nor RSA of at least {} bits", kMinRsaBits);
  return PrivateKey(std::make_unique<State>(State{std::move(key)}));
}

Result<std::string> PrivateKey::to_pem() const {
  Bio bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(ErrorCode::Unavailable, "cannot write a key as PEM: {}", openssl_reason());
  return bio_text(bio);
}

std::string PrivateKey::public_key() const {
  unsigned char* raw = nullptr;
  int length = i2d_PUBKEY(state_->key.get(), &raw);
  OpensslOctets octets(raw);
  if (length <= 0) return {};
  return {reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length)};
}

conf::KeyType PrivateKey::type() const {
  switch (algorithm_of(state_->key.get())) {
    case Algorithm::Es256:
      return conf::KeyType::P256;
    case Algorithm::Es384:
      return conf::KeyType::P384;
    case Algorithm::Rs256:
    case Algorithm::Unusable:  // cannot be made
      break;
  }
  int bits = EVP_PKEY_get_bits(state_->key.get());
  if (bits >= 4096) return conf::KeyType::Rsa4096;
  return bits >= 3072 ? conf::KeyType::Rsa3072 : conf::KeyType::Rsa2048;
}

std::string PrivateKey::jws_algorithm() const {
  switch (algorithm_of(state_->key.get())) {
    case Algorithm::Es256:
      return "ES256";
    case Algorithm::Es384:
      return "ES384";
    case Algorithm::Rs256:
    case Algorithm::Unusable:  // cannot be made: from_pem() refuses it
      break;
  }
  return "RS256";
}

Result<std::string> PrivateKey::jwk() const {
  EVP_PKEY* key = state_->key.get();
  Algorithm algorithm = algorithm_of(key);
  if (algorithm == Algorithm::Rs256) {
    auto e = encode_number(key, OSSL_PKEY_PARAM_RSA_E, 0);
    auto n = encode_number(key, OSSL_PKEY_PARAM_RSA_N, 0);
    if (!e || !n) return fail(e ? n.error() : e.error());
    return fmt::format(R"({{"e":"{}","kty":"RSA","n":"{}"}})", *e, *n);
  }
  auto x = encode_number(key, OSSL_PKEY_PARAM_EC_PUB_X, field_octets(algorithm));
  auto y = encode_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, field_octets(algorithm));
  if (!x || !y) return fail(x ? y.error() : x.error());
  const char* curve = algorithm == Algorithm::Es384 ? "P-384" : "P-256";
  return fmt::format(R"({{"crv":"{}","kty":"EC","x":"{}","y":"{}"}})", curve, *x, *y);
}

Result<std::string> PrivateKey::thumbprint() const {
  return jwk().map([](const std::string& canonical) { return jwk_thumbprint(canonical); });
}

Result<std::string> PrivateKey::sign(std::string_view data) const {
  Algorithm algorithm = algorithm_of(state_->key.get());
  DigestContext context(EVP_MD_CTX_new());
  const EVP_MD* digest = algorithm == Algorithm::Es384 ? EVP_sha384() : EVP_sha256();
  std::size_t length = 0;
  std::vector<unsigned char> signature;
  bool made = EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, state_->key.get()) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &length, octets_of(data), data.size()) == 1;
  if (made) {
    signature.resize(length);
    made = EVP_DigestSign(context.get(), signature.data(), &length, octets_of(data), data.size()) == 1;
  }
  if (!made) return fail(ErrorCode::Unavailable, "cannot sign a request: {}", openssl_reason());
  signature.resize(length);
  if (algorithm == Algorithm::Rs256) return encode_octets(signature);
  return raw_signature(signature, field_octets(algorithm)).map(encode_octets);
}

std::string jwk_thumbprint(std::string_view canonical_jwk) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(octets_of(canonical_jwk), canonical_jwk.size(), digest.data());
  return base::base64url_encode(std::as_bytes(std::span(digest)));
}

}  // namespace countersign::acme
