// OpenSSL's objects and error queue, for this folder's .cpp files only.
#pragma once

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <string>

#include "acme/protocol/private_key.hpp"
#include "base/handle.hpp"

namespace countersign::acme {

using PKey = base::Handle<EVP_PKEY, EVP_PKEY_free>;
using BigNumber = base::Handle<BIGNUM, BN_free>;
using Bio = base::Handle<BIO, BIO_free>;
using DigestContext = base::Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using Certificate = base::Handle<X509, X509_free>;
using CertificateRequest = base::Handle<X509_REQ, X509_REQ_free>;
using GeneralNames = base::Handle<GENERAL_NAMES, GENERAL_NAMES_free>;

// OPENSSL_free is a macro.
inline void free_openssl_octets(unsigned char* octets) {
  OPENSSL_free(octets);
}
using OpensslOctets = base::Handle<unsigned char, free_openssl_octets>;

struct PrivateKey::State {
  PKey key;
};

// The oldest error of this thread's queue in words; empties the queue.
inline std::string openssl_reason() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given by OpenSSL";
  const char* reason = ERR_reason_error_string(code);
  if (reason != nullptr) return reason;
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

inline std::string bio_text(const Bio& bio) {
  char* data = nullptr;
  long length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(length)};
}

// For every PEM_read_bio_*(): OpenSSL's own callback asks on the terminal, for strangers' PEM too.
inline int refuse_passphrase(char*, int, int, void*) {
  return -1;
}

inline const unsigned char* octets_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace countersign::acme
