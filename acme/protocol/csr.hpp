// Certificate signing requests (RFC 2986), as ACME wants them (RFC 8555 §7.4).
#pragma once

#include <string>
#include <vector>

#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// DER. The names go into the subjectAltName alone: a common name is neither needed nor wanted any more, and would limit
// the first name to 64 characters.
[[nodiscard]] base::Result<std::string> make_csr(const PrivateKey& key, const std::vector<std::string>& names);

}  // namespace countersign::acme
