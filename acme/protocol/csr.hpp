// Certificate signing requests (RFC 2986), as ACME wants them (RFC 8555 §7.4).
#pragma once

#include <string>
#include <vector>

#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct SigningRequest {
  std::string der;
  std::vector<std::string> names;  // dNSNames and, if it is a domain name, the common name; lower case, sorted, unique
  std::string public_key;          // SubjectPublicKeyInfo, DER
};

// Somebody else's request, PEM or DER; `source` is named in the error. Error: Invalid, with what is wrong and what to
// do: no request, its signature is not its key's, no dNSName, a name that is no dNSName (RFC 8555 §7.4: the CA would
// refuse it), a key that CAs refuse (RSA below 2048 bits, curves other than P-256 and P-384).
[[nodiscard]] base::Result<SigningRequest> read_csr(const std::string& text, const std::string& source);

// DER. The names go into the subjectAltName alone: a common name is neither needed nor wanted any more, and would limit
// the first name to 64 characters.
[[nodiscard]] base::Result<std::string> make_csr(const PrivateKey& key, const std::vector<std::string>& names);

}  // namespace countersign::acme
