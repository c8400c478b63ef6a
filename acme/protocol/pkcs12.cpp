#include "acme/protocol/pkcs12.hpp"

#include <openssl/pkcs12.h>

#include <algorithm>

#include "acme/protocol/openssl.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

using Pkcs12File = base::Handle<PKCS12, PKCS12_free>;

void free_certificates(STACK_OF(X509) * stack) {
  sk_X509_pop_free(stack, X509_free);
}
using Certificates = base::Handle<STACK_OF(X509), free_certificates>;

// What a form is made of. The iterations: what the readers of that form take without a noticeable wait. The password
// of such a file is typed once; it is a key of ours that it guards, so more than OpenSSL's 2,048 is well spent.
struct Recipe {
  int key, certificates;  // NIDs
  const EVP_MD* mac;
  int iterations;
};

Recipe recipe_of(conf::Pkcs12 form) {
  // 3DES for the certificates too: RC2-40, which old programs write there, needs OpenSSL's legacy provider.
  if (form == conf::Pkcs12::Legacy)
    return {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC, EVP_sha1(), 2000};
  return {NID_aes_256_cbc, NID_aes_256_cbc, EVP_sha256(), 10'000};
}

Result<Certificates> certificates_behind_the_leaf(const CertificateChain& chain) {
  Certificates out(sk_X509_new_null());
  std::string pem = chain.chain_pem();
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, refuse_passphrase, nullptr))
    sk_X509_push(out.get(), certificate);
  ERR_clear_error();  // that the PEM came to its end
  return out;
}

}  // namespace

Result<std::string> make_pkcs12(const PrivateKey& key, const CertificateChain& chain, const std::string& friendly_name,
                                const std::string& password, conf::Pkcs12 form) {
  // Both go through UTF-16 (RFC 7292 §B.1), and OpenSSL cuts a password at a NUL.
  for (const std::string* text : {&friendly_name, &password}) {
    if (base::valid_utf8(*text) != *text || text->find('\0') != std::string::npos)
      return fail(ErrorCode::Invalid, "cannot make the PKCS#12 file: the {} is not UTF-8 text without a NUL",
                  text == &password ? "password" : "friendly name");
  }
  if (!chain.is_for(key.public_key()))
    return fail(ErrorCode::Invalid, "cannot make the PKCS#12 file: the certificate is for another key");
  std::string der = chain.leaf_der();
  const unsigned char* at = octets_of(der);
  Certificate leaf(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  auto others = certificates_behind_the_leaf(chain);
  if (!others) return fail(others.error());
  Recipe recipe = recipe_of(form);
  // Gives key and leaf the name and a localKeyID, by which readers tell which certificate is the key's.
  Pkcs12File file(PKCS12_create(password.c_str(), friendly_name.c_str(), key.state().key.get(), leaf.get(),
                                others->get(), recipe.key, recipe.certificates, recipe.iterations,
                                -1 /* the MAC comes below */, 0));
  if (!file || PKCS12_set_mac(file.get(), password.data(), static_cast<int>(password.size()), nullptr, 0,
                              recipe.iterations, recipe.mac) != 1)
    return fail(ErrorCode::Unavailable, "cannot make the PKCS#12 file: {}", openssl_reason());
  unsigned char* raw = nullptr;
  int length = i2d_PKCS12(file.get(), &raw);
  OpensslOctets octets(raw);
  if (length <= 0) return fail(ErrorCode::Unavailable, "cannot make the PKCS#12 file: {}", openssl_reason());
  return std::string(reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length));
}

}  // namespace countersign::acme
