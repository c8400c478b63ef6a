#include "dnsd/api/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <vector>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "base/handle.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;

using Bio = base::Handle<BIO, BIO_free>;
using Certificate = base::Handle<X509, X509_free>;
using PrivateKey = base::Handle<EVP_PKEY, EVP_PKEY_free>;
using Context = base::Handle<SSL_CTX, SSL_CTX_free>;

// A chain of a dozen certificates is some 20 KB.
constexpr std::size_t kFileLimit = std::size_t{1} << 20U;

// ALPN (RFC 7301 §3.1): a length before each name.
constexpr std::string_view kProtocols = "\x08http/1.1\x08http/1.0";

std::string openssl_reason() {
  unsigned long number = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(number);
  ERR_clear_error();
  return reason == nullptr ? "no reason given" : reason;
}

const unsigned char* octets_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned offered_length, void*) {
  unsigned char* found = nullptr;
  int result = SSL_select_next_proto(&found, length, octets_of(kProtocols), static_cast<unsigned>(kProtocols.size()),
                                     offered, offered_length);
  *chosen = found;
  // RFC 7301 §3.2: with none in common, no connection.
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Without it OpenSSL would ask on the terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

Bio bio_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<std::vector<Certificate>> read_chain(const std::string& path) {
  auto text = base::read_regular_file(path, kFileLimit);
  if (!text) return base::fail(text.error().code, "api.tls_certificate: {}", text.error().message);
  Bio bio = bio_of(*text);
  std::vector<Certificate> chain;
  while (Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)})
    chain.push_back(std::move(certificate));
  // The end of the file is an error to OpenSSL; any other means that a part of the chain would be missing.
  bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  std::string reason = openssl_reason();
  if (!chain.empty() && !at_end)
    return base::fail(ErrorCode::Invalid, "api.tls_certificate \"{}\": certificate {} cannot be read: {}", path,
                      chain.size() + 1, reason);
  if (chain.empty())
    return base::fail(ErrorCode::Invalid,
                      "api.tls_certificate \"{}\" has no certificate that can be read ({}); it needs "
                      "the chain in PEM, the server's own certificate first",
                      path, reason);
  return chain;
}

Result<PrivateKey> read_key(const std::string& path) {
  auto text = base::read_regular_file(path, kFileLimit);
  if (!text) return base::fail(text.error().code, "api.tls_key: {}", text.error().message);
  PrivateKey key(PEM_read_bio_PrivateKey(bio_of(*text).get(), nullptr, no_password, nullptr));
  OPENSSL_cleanse(text->data(), text->size());
  if (key) return key;
  return base::fail(
      ErrorCode::Invalid,
      "api.tls_key \"{}\" has no private key that can be read ({}); it needs one in PEM without a password", path,
      openssl_reason());
}

Context make_context() {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Renegotiation lets a client make the server work for nothing. Sessions are in the clients' tickets, not in our
  // memory.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // Idle connections give back their 32 KB.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  return context;
}

Result<Context> load(const std::string& certificate, const std::string& key) {
  ERR_clear_error();
  auto chain = read_chain(certificate);
  if (!chain) return base::fail(chain.error());
  auto private_key = read_key(key);
  if (!private_key) return base::fail(private_key.error());
  if (X509_check_private_key(chain->front().get(), private_key->get()) != 1) {
    ERR_clear_error();
    return base::fail(ErrorCode::Invalid, "api.tls_key \"{}\" is not the key of the first certificate in \"{}\"", key,
                      certificate);
  }
  Context context = make_context();
  if (!context) return base::fail(ErrorCode::Io, "cannot prepare TLS: {}", openssl_reason());
  bool fits = SSL_CTX_use_certificate(context.get(), chain->front().get()) == 1;
  for (std::size_t i = 1; fits && i < chain->size(); ++i)
    fits = SSL_CTX_add1_chain_cert(context.get(), (*chain)[i].get()) == 1;
  fits = fits && SSL_CTX_use_PrivateKey(context.get(), private_key->get()) == 1;
  if (!fits)
    return base::fail(ErrorCode::Invalid, "api.tls_certificate \"{}\" cannot be used: {}", certificate,
                      openssl_reason());
  return context;
}

// "" when it cannot be told.
std::string expiry_of(SSL_CTX* context) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  std::tm time{};
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return {};
  return base::format_rfc3339(base::WallTime(std::chrono::seconds(timegm(&time))));
}

void warn_of_readers(const std::string& key) {
  struct stat found{};
  if (stat(key.c_str(), &found) == 0 && (found.st_mode & S_IROTH) != 0)
    base::log::warn("everybody on this machine may read the TLS key", {{"file", key}, {"remedy", "chmod o-r"}});
}

// Not there; a folder that may not be looked into is another matter.
bool is_missing(const std::string& path) {
  struct stat found{};
  return stat(path.c_str(), &found) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

}  // namespace

void prepare_tls() {
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_LOAD_CONFIG,
                   nullptr);
  // Finds its algorithms, and seeds the generators of this thread.
  Context context = make_context();
  base::Handle<SSL, SSL_free> connection(context ? SSL_new(context.get()) : nullptr);
  ERR_clear_error();
}

Result<void> check_tls_files(const std::string& certificate, const std::string& key) {
  auto loaded = load(certificate, key);
  if (!loaded) return base::fail(loaded.error());
  return {};
}

TlsContext::Mark TlsContext::Mark::of(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_size, found.st_mtim, found.st_ctim};
}

bool TlsContext::Mark::is_same(const Mark& other) const {
  auto same = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
  return device == other.device && inode == other.inode && size == other.size && same(modified, other.modified) &&
         same(changed, other.changed);
}

bool TlsContext::Marks::are_same(const Marks& other) const {
  return certificate.is_same(other.certificate) && key.is_same(other.key);
}

Result<void> TlsContext::use(const std::string& certificate, const std::string& key) {
  if (certificate.empty()) {
    if (!certificate_.empty()) base::log::warn("the API goes on without TLS: passwords can be read on their way");
    context_.reset();
    certificate_.clear();
    key_.clear();
    return {};
  }
  Marks marks{Mark::of(certificate), Mark::of(key)};
  if (context_ && certificate == certificate_ && key == key_ && marks.are_same(marks_)) return {};
  // The first certificate may be one that is obtained through this very daemon.
  if (!context_ && (is_missing(certificate) || is_missing(key))) {
    wait_for(certificate, key);
    return {};
  }
  auto loaded = load(certificate, key);
  if (!loaded) return base::fail(loaded.error());
  base::log::info("TLS certificate in use", {{"file", certificate}, {"expires", expiry_of(loaded->get())}});
  warn_of_readers(key);
  context_.emplace(loaded->release());
  certificate_ = certificate;
  key_ = key;
  marks_ = marks;
  complaint_.clear();
  return {};
}

void TlsContext::wait_for(const std::string& certificate, const std::string& key) {
  if (certificate != certificate_ || key != key_)
    base::log::warn("the API turns everybody away until its certificate can be used",
                    {{"certificate", certificate}, {"key", key}});
  certificate_ = certificate;
  key_ = key;
  marks_ = {Mark::of(certificate), Mark::of(key)};
}

void TlsContext::look() {
  if (certificate_.empty()) return;
  if (Marks{Mark::of(certificate_), Mark::of(key_)}.are_same(marks_)) {
    complaint_.clear();
    return;
  }
  auto used = use(std::string(certificate_), std::string(key_));
  if (used || used.error().message == complaint_) return;
  complaint_ = used.error().message;
  base::log::warn(
      context_ ? "the new TLS certificate cannot be used; the old one stays" : "the TLS certificate cannot be used",
      {{"reason", complaint_}});
}

}  // namespace countersign::dnsd
