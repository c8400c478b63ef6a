// PKCS#12 (RFC 7292): key and chain in one file, for Windows, Java and appliances.
#pragma once

#include <string>

#include "acme/protocol/certificate.hpp"
#include "acme/protocol/private_key.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// DER. `friendly_name` is what IIS lists. `form` Modern: AES-256-CBC and HMAC-SHA-256; Legacy: 3DES and HMAC-SHA-1,
// which Windows before 2019 needs. Error: Unavailable, when OpenSSL cannot do it.
[[nodiscard]] base::Result<std::string> make_pkcs12(const PrivateKey& key, const CertificateChain& chain,
                                                    const std::string& friendly_name, const std::string& password,
                                                    conf::Pkcs12 form);

}  // namespace countersign::acme
