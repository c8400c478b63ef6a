// Private keys that other clients keep as JWK (RFC 7517, RFC 7518 §6). No message quotes a member: they are secrets.
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "acme/protocol/json.hpp"
#include "acme/protocol/openssl.hpp"
#include "acme/protocol/private_key.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Number = base::Handle<BIGNUM, BN_clear_free>;
using Arithmetic = base::Handle<BN_CTX, BN_CTX_free>;

// Not left in the memory that it had.
struct Octets : std::vector<unsigned char> {
  using std::vector<unsigned char>::vector;
  Octets(Octets&&) noexcept = default;
  Octets& operator=(Octets&&) = delete;
  Octets(const Octets&) = delete;
  Octets& operator=(const Octets&) = delete;
  ~Octets() { OPENSSL_cleanse(data(), size()); }
};

constexpr std::size_t kMostOctets = 1024;  // of one number: 8192 bits, twice what public CAs take
constexpr int kMostFactored = 4096;        // bits of a modulus whose factors have to be found: seconds, not minutes
constexpr int kMostExponentBits = 64;      // of e: what OpenSSL takes with a modulus of more than 3072 bits

constexpr const char* kMismatch =
    "the JWK's private part does not belong to its public part; is the file damaged or put together by hand?";

// A base64url member; empty, with the document's error set, when it is none.
Octets read_octets(const JsonObject& object, const char* member) {
  std::string text = object.text(member);
  std::size_t length = text.find_last_not_of('=') + 1;
  auto decoded = base::base64url_decode(std::string_view(text).substr(0, length));
  OPENSSL_cleanse(text.data(), text.size());
  bool good = decoded && decoded->size() <= kMostOctets;
  if (!good) object.reject(member, "is no number in base64url (RFC 7518 §2)");
  std::string_view octets = good ? base::as_text(*decoded) : std::string_view();
  Octets out(octets.begin(), octets.end());
  if (decoded) OPENSSL_cleanse(decoded->data(), decoded->size());
  return out;
}

Number number_of(const Octets& octets) {
  Number number(BN_secure_new());
  BN_bin2bn(octets.data(), static_cast<int>(octets.size()), number.get());
  return number;
}

Number fresh() {
  return Number(BN_secure_new());
}

// n = p q, and each of d's remainders is e's inverse.
bool belong_together(const BIGNUM* n, const BIGNUM* e, const BIGNUM* d, const BIGNUM* p, const BIGNUM* q, BN_CTX* ctx) {
  Number product = fresh();
  if (BN_is_zero(p) || BN_is_one(p) || BN_is_zero(q) || BN_is_one(q) || BN_mul(product.get(), p, q, ctx) != 1 ||
      BN_cmp(product.get(), n) != 0)
    return false;
  for (const BIGNUM* prime : {p, q}) {
    Number order = fresh();
    Number rest = fresh();
    if (BN_sub(order.get(), prime, BN_value_one()) != 1 || BN_mod_mul(rest.get(), e, d, order.get(), ctx) != 1 ||
        !BN_is_one(rest.get()))
      return false;
  }
  return true;
}

// RFC 7518 §6.3.2 leaves p and q to the writer's choice. NIST SP 800-56B appendix C: a square root of 1 modulo n other
// than 1 and -1 gives them away, and with e d - 1 one is found in a few tries. Both null when d is not e's inverse.
std::pair<Number, Number> find_factors(const BIGNUM* n, const BIGNUM* e, const BIGNUM* d, BN_CTX* ctx) {
  constexpr int kTries = 40;  // each fails with probability 1/2
  Number odd = fresh();
  BN_mul(odd.get(), e, d, ctx);
  BN_sub_word(odd.get(), 1);
  int halvings = 0;
  while (!BN_is_zero(odd.get()) && !BN_is_odd(odd.get())) {
    BN_rshift1(odd.get(), odd.get());
    ++halvings;
  }
  Number last = fresh();
  BN_sub(last.get(), n, BN_value_one());
  for (int i = 0; i < kTries && halvings > 0; ++i) {
    Number root = fresh();
    Number square = fresh();
    if (BN_priv_rand_range(square.get(), n) != 1) break;
    if (BN_mod_exp(square.get(), square.get(), odd.get(), n, ctx) != 1) break;
    for (int k = 0; k < halvings && !BN_is_one(square.get()); ++k) {
      BN_copy(root.get(), square.get());
      BN_mod_sqr(square.get(), root.get(), n, ctx);
    }
    if (!BN_is_one(square.get())) break;  // it would be, were d the inverse of e
    if (BN_is_zero(root.get()) || BN_cmp(root.get(), last.get()) == 0) continue;
    Number p = fresh();
    Number q = fresh();
    BN_sub_word(root.get(), 1);
    if (BN_gcd(p.get(), root.get(), n, ctx) == 1 && !BN_is_zero(p.get()) &&
        BN_div(q.get(), nullptr, n, p.get(), ctx) == 1)
      return {std::move(p), std::move(q)};
  }
  return {};
}

PKey build(const char* type, OSSL_PARAM_BLD* builder) {
  base::Handle<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder));
  base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1)
    return {};
  return PKey(key);
}

using Builder = base::Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;

Result<PKey> build_rsa(const BIGNUM* n, const BIGNUM* e, const BIGNUM* d, Number p, Number q, BN_CTX* ctx) {
  if (BN_cmp(p.get(), q.get()) < 0) std::swap(p, q);  // as every generator does
  Number order = fresh();
  Number d_p = fresh();
  Number d_q = fresh();
  // Computed, whatever the file has: three members less that could be wrong.
  bool good = BN_sub(order.get(), p.get(), BN_value_one()) == 1 && BN_mod(d_p.get(), d, order.get(), ctx) == 1 &&
              BN_sub(order.get(), q.get(), BN_value_one()) == 1 && BN_mod(d_q.get(), d, order.get(), ctx) == 1;
  Number inverse(BN_mod_inverse(nullptr, q.get(), p.get(), ctx));
  if (!good || !inverse) return fail(ErrorCode::Invalid, "{}", kMismatch);
  Builder builder(OSSL_PARAM_BLD_new());
  const std::pair<const char*, const BIGNUM*> parts[] = {
      {OSSL_PKEY_PARAM_RSA_N, n},
      {OSSL_PKEY_PARAM_RSA_E, e},
      {OSSL_PKEY_PARAM_RSA_D, d},
      {OSSL_PKEY_PARAM_RSA_FACTOR1, p.get()},
      {OSSL_PKEY_PARAM_RSA_FACTOR2, q.get()},
      {OSSL_PKEY_PARAM_RSA_EXPONENT1, d_p.get()},
      {OSSL_PKEY_PARAM_RSA_EXPONENT2, d_q.get()},
      {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, inverse.get()},
  };
  for (const auto& [name, number] : parts) good = good && OSSL_PARAM_BLD_push_BN(builder.get(), name, number) == 1;
  PKey key = good ? build("RSA", builder.get()) : PKey();
  if (!key) return fail(ErrorCode::Invalid, "the JWK is no RSA key that OpenSSL takes: {}", openssl_reason());
  return key;
}

Result<PKey> read_rsa(const JsonDocument& document) {
  JsonObject root = document.root();
  if (root.has("oth"))
    return fail(ErrorCode::Invalid, "the JWK is an RSA key of more than two primes, which no CA is known to take");
  Number n = number_of(read_octets(root, "n"));
  Number e = number_of(read_octets(root, "e"));
  Number d = number_of(read_octets(root, "d"));
  bool factors = root.has("p") && root.has("q");
  Number p = factors ? number_of(read_octets(root, "p")) : Number();
  Number q = factors ? number_of(read_octets(root, "q")) : Number();
  if (auto checked = document.check(); !checked) return fail(ErrorCode::Invalid, "{}", checked.error().message);
  if (BN_num_bits(n.get()) < PrivateKey::kMinRsaBits)
    return fail(ErrorCode::Invalid, "the JWK is an RSA key of {} bits; CAs want at least {}", BN_num_bits(n.get()),
                PrivateKey::kMinRsaBits);
  if (BN_num_bits(e.get()) > kMostExponentBits)
    return fail(ErrorCode::Invalid, "the JWK is an RSA key whose public exponent has more than {} bits",
                kMostExponentBits);
  // RFC 8017 §3.2 has d below n; more would only cost time.
  if (BN_cmp(d.get(), n.get()) >= 0) return fail(ErrorCode::Invalid, "{}", kMismatch);
  if (!factors && BN_num_bits(n.get()) > kMostFactored)
    return fail(ErrorCode::Invalid,
                "the JWK is an RSA key of {} bits without its factors; such a key is read with its members \"p\" and "
                "\"q\" only, or as PEM",
                BN_num_bits(n.get()));
  // Montgomery's arithmetic needs it, and no product of two large primes is even.
  if (!BN_is_odd(n.get())) return fail(ErrorCode::Invalid, "{}", kMismatch);
  Arithmetic ctx(BN_CTX_secure_new());
  if (!factors) std::tie(p, q) = find_factors(n.get(), e.get(), d.get(), ctx.get());
  if (!p || !q || !belong_together(n.get(), e.get(), d.get(), p.get(), q.get(), ctx.get())) {
    ERR_clear_error();
    return fail(ErrorCode::Invalid, "{}", kMismatch);
  }
  return build_rsa(n.get(), e.get(), d.get(), std::move(p), std::move(q), ctx.get());
}

// RFC 7518 §6.2.1.2 wants the field's full width; some writers leave out leading zeros.
bool widen(Octets& octets, std::size_t width) {
  if (octets.size() > width) return false;
  octets.insert(octets.begin(), width - octets.size(), 0);
  return true;
}

Result<PKey> read_elliptic(const JsonDocument& document) {
  JsonObject root = document.root();
  std::string curve = root.text("crv");
  Octets x = read_octets(root, "x");
  Octets y = read_octets(root, "y");
  Octets d = read_octets(root, "d");
  if (auto checked = document.check(); !checked) return fail(ErrorCode::Invalid, "{}", checked.error().message);
  if (curve != "P-256" && curve != "P-384")
    return fail(ErrorCode::Invalid, "the JWK is a key on the curve \"{}\", neither P-256 nor P-384",
                base::printable(curve, 40));
  std::size_t width = curve == "P-384" ? 48 : 32;
  if (!widen(x, width) || !widen(y, width))
    return fail(ErrorCode::Invalid, "the JWK's x or y is too long for {}", curve);
  std::vector<unsigned char> point = {4};  // uncompressed (SEC 1 §2.3.3)
  point.insert(point.end(), x.begin(), x.end());
  point.insert(point.end(), y.begin(), y.end());
  Number secret = number_of(d);
  Builder builder(OSSL_PARAM_BLD_new());
  bool good =
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.c_str(), 0) == 1 &&
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1 &&
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret.get()) == 1;
  PKey key = good ? build("EC", builder.get()) : PKey();
  if (!key) return fail(ErrorCode::Invalid, "the JWK is no key on {} that OpenSSL takes: {}", curve, openssl_reason());
  base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free> check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!check || EVP_PKEY_check(check.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::Invalid, "{}", kMismatch);
  }
  return key;
}

}  // namespace

Result<PrivateKey> PrivateKey::from_jwk(std::string_view json) {
  auto document = JsonDocument::parse(json, "private JWK");
  if (!document) return fail(ErrorCode::Invalid, "{}", document.error().message);
  JsonObject root = document->root();
  std::string kind = root.text("kty");
  if (auto checked = document->check(); !checked) return fail(ErrorCode::Invalid, "{}", checked.error().message);
  if (kind != "EC" && kind != "RSA")
    return fail(ErrorCode::Invalid, "the JWK is a key of the type \"{}\", neither EC nor RSA",
                base::printable(kind, 40));
  if (!root.has("d"))
    return fail(ErrorCode::Invalid, "the JWK is only a public key: it has no member \"d\" (RFC 7518 §6)");
  Result<PKey> key = kind == "EC" ? read_elliptic(*document) : read_rsa(*document);
  if (!key) return fail(key.error());
  return PrivateKey(std::make_unique<State>(State{*std::move(key)}));
}

}  // namespace countersign::acme
