// Certificates made in the test, and a blocking TLS client.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/handle.hpp"
#include "tests/unit/dnsd/client_socket.hpp"

namespace countersign::tests {

using TestKey = base::Handle<EVP_PKEY, EVP_PKEY_free>;
using TestCertificate = base::Handle<X509, X509_free>;

// A self-signed certificate for `common_name`, in PEM.
struct TestPair {
  std::string certificate, key;

  explicit TestPair(const std::string& common_name) {
    TestKey pair(EVP_EC_gen("P-256"));
    TestCertificate made(X509_new());
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 86400);
    X509_NAME* name = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.c_str()),
                               -1, -1, 0);
    X509_set_issuer_name(made.get(), name);
    X509_set_pubkey(made.get(), pair.get());
    REQUIRE(X509_sign(made.get(), pair.get(), EVP_sha256()) > 0);
    certificate = text_of([&](BIO* bio) { return PEM_write_bio_X509(bio, made.get()); });
    key = text_of(
        [&](BIO* bio) { return PEM_write_bio_PrivateKey(bio, pair.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    char password[] = "secret";
    locked_key = text_of([&](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, pair.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr, password);
    });
  }
  std::string locked_key;

 private:
  template <class Write>
  static std::string text_of(Write write) {
    base::Handle<BIO, BIO_free_all> bio(BIO_new(BIO_s_mem()));
    REQUIRE(write(bio.get()) == 1);
    char* data = nullptr;
    long length = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(length)};
  }
};

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct TlsOptions {
  int max_version = 0;
  std::string protocols;  // ALPN, each with its length before it
};

class TlsClient {
 public:
  TlsClient(ClientSocket socket, const TlsOptions& options = {}, SSL_SESSION* session = nullptr)
      : socket_(std::move(socket)), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_cipher_list(context_.get(), "DEFAULT:@SECLEVEL=0");
    if (options.max_version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), 0);
      SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
    }
    ssl_.reset(SSL_new(context_.get()));
    if (!options.protocols.empty())
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(options.protocols.data()),
                          static_cast<unsigned>(options.protocols.size()));
    if (session != nullptr) SSL_set_session(ssl_.get(), session);
    SSL_set_fd(ssl_.get(), socket_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  [[nodiscard]] bool is_connected() const { return connected_; }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  [[nodiscard]] ClientSocket& socket() { return socket_; }
  [[nodiscard]] std::string common_name() const {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    REQUIRE(certificate != nullptr);
    std::string name(100, '\0');
    int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), 100);
    name.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return name;
  }
  [[nodiscard]] std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  void send(std::string_view octets) {
    REQUIRE(SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size())) == static_cast<int>(octets.size()));
  }
  std::string receive_exactly(std::size_t count) {
    std::string all(count, '\0');
    std::size_t have = 0;
    while (have < count) {
      int got = SSL_read(ssl_.get(), all.data() + have, static_cast<int>(count - have));
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    all.resize(have);
    return all;
  }
  // With a close_notify, so that nothing has been cut off.
  bool is_ended_properly() {
    char octet = 0;
    int got = SSL_read(ssl_.get(), &octet, 1);
    return got == 0 && SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN;
  }

 private:
  ClientSocket socket_;
  base::Handle<SSL_CTX, SSL_CTX_free> context_;
  base::Handle<SSL, SSL_free> ssl_;
  bool connected_ = false;
};

}  // namespace countersign::tests
