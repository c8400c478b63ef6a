// A certificate chain as the CA hands it out (RFC 8555 §9.1), and whether it is what was ordered.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "acme/protocol/private_key.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class CertificateChain {
 public:
  // Certificates in PEM, the leaf first, nothing between them. Error: Protocol; `source` is named in it.
  [[nodiscard]] static base::Result<CertificateChain> parse(std::string_view pem, const std::string& source);
  ~CertificateChain();
  CertificateChain(CertificateChain&&) noexcept;
  CertificateChain& operator=(CertificateChain&&) noexcept;

  // The leaf's.
  [[nodiscard]] std::vector<std::string> names() const;  // dNSNames, sorted, lower case
  [[nodiscard]] base::WallTime not_before() const;
  [[nodiscard]] base::WallTime not_after() const;
  [[nodiscard]] std::string issuer() const;  // its common name, else the whole name
  [[nodiscard]] std::string serial() const;  // hexadecimal
  // certID of RFC 9773 §4.1; "" when the leaf has no authority key identifier.
  [[nodiscard]] std::string ari_id() const;
  [[nodiscard]] std::string leaf_der() const;

  // Of each certificate, the leaf first: its issuer's common name, else the whole name.
  [[nodiscard]] std::vector<std::string> issuers() const;

  [[nodiscard]] std::string leaf_pem() const;
  [[nodiscard]] std::string chain_pem() const;  // all but the leaf
  [[nodiscard]] std::string full_pem() const;

  // The leaf is for this key and exactly these names (no other subjects) and is not expired, and each certificate is
  // signed by the next. Error: Protocol, with what is wrong. `public_key`: PrivateKey::public_key() or
  // SigningRequest::public_key.
  [[nodiscard]] base::Result<void> check(const std::string& public_key, const std::vector<std::string>& expected_names,
                                         base::WallTime now) const;
  // The last part of check(): each certificate is signed by the next.
  [[nodiscard]] base::Result<void> check_signatures() const;
  // The first part of check(): is the leaf this key's?
  [[nodiscard]] bool is_for(const std::string& public_key) const;
  // Have both leaves the same key?
  [[nodiscard]] bool has_key_of(const CertificateChain& other) const;

 private:
  struct State;
  explicit CertificateChain(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace countersign::acme
