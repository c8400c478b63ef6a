// A key pair: of an ACME account (it signs requests) or of a certificate.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

class PrivateKey {
 public:
  static constexpr int kMinRsaBits = 2048;  // public CAs take no less (CA/Browser Forum BR 6.1.5)

  // Error: Unavailable, when OpenSSL has no such key type.
  [[nodiscard]] static base::Result<PrivateKey> generate(conf::KeyType type);
  // P-256, P-384 or RSA of at least 2048 bits, without a passphrase. Error: Invalid.
  [[nodiscard]] static base::Result<PrivateKey> from_pem(std::string_view pem);
  // A private JWK (RFC 7517): EC P-256 or P-384, RSA of at least 2048 bits. Error: Invalid.
  [[nodiscard]] static base::Result<PrivateKey> from_jwk(std::string_view json);
  ~PrivateKey();
  PrivateKey(PrivateKey&&) noexcept;
  PrivateKey& operator=(PrivateKey&&) noexcept;

  [[nodiscard]] base::Result<std::string> to_pem() const;  // PKCS#8

  [[nodiscard]] std::string public_key() const;  // SubjectPublicKeyInfo, DER: what two keys are compared by
  [[nodiscard]] conf::KeyType type() const;      // the RSA type of at most so many bits

  [[nodiscard]] std::string jws_algorithm() const;  // ES256, ES384 or RS256
  // The public key with the members and the order that RFC 7638 §3.2 hashes.
  [[nodiscard]] base::Result<std::string> jwk() const;
  [[nodiscard]] base::Result<std::string> thumbprint() const;  // RFC 7638, SHA-256, base64url
  // A JWS signature (RFC 7518 §3), base64url.
  [[nodiscard]] base::Result<std::string> sign(std::string_view data) const;

  struct State;  // OpenSSL's object, for this folder
  [[nodiscard]] const State& state() const { return *state_; }

 private:
  explicit PrivateKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The JWK thumbprint of a key that is given as its canonical JSON (RFC 7638 §3).
[[nodiscard]] std::string jwk_thumbprint(std::string_view canonical_jwk);

}  // namespace countersign::acme
