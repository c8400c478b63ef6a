#include "acme/protocol/csr.hpp"

#include "acme/protocol/openssl.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

void free_extensions(STACK_OF(X509_EXTENSION) * stack) {
  sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
}
using Extensions = base::Handle<STACK_OF(X509_EXTENSION), free_extensions>;

GeneralNames dns_names(const std::vector<std::string>& names) {
  GeneralNames list(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME* item = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(item, GEN_DNS, text);  // takes `text`
    sk_GENERAL_NAME_push(list.get(), item);        // takes `item`
  }
  return list;
}

}  // namespace

Result<std::string> make_csr(const PrivateKey& key, const std::vector<std::string>& names) {
  SigningRequest request(X509_REQ_new());
  GeneralNames list = dns_names(names);
  STACK_OF(X509_EXTENSION)* stack = nullptr;
  bool made = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
              X509V3_add1_i2d(&stack, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1;
  Extensions extensions(stack);
  EVP_PKEY* pkey = key.state().key.get();
  const EVP_MD* digest = key.jws_algorithm() == "ES384" ? EVP_sha384() : EVP_sha256();
  made = made && X509_REQ_add_extensions(request.get(), extensions.get()) == 1 &&
         X509_REQ_set_pubkey(request.get(), pkey) == 1 && X509_REQ_sign(request.get(), pkey, digest) > 0;
  unsigned char* raw = nullptr;
  int length = made ? i2d_X509_REQ(request.get(), &raw) : -1;
  OpensslOctets octets(raw);
  if (length <= 0) return fail(ErrorCode::Unavailable, "cannot make the certificate request: {}", openssl_reason());
  return std::string(reinterpret_cast<const char*>(octets.get()), static_cast<std::size_t>(length));
}

}  // namespace countersign::acme
