// What there is to keep current: the certificates of STATE/acme/certificates and those of [[certificate]].
#pragma once

#include <string>
#include <vector>

#include "acme/renew/due.hpp"
#include "acme/state/certificate_store.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// One certificate, or why nothing can be done about it (a broken CERT.json, names that are none).
struct Known {
  std::string cert_name;
  base::Result<Prospect> prospect;
};

// Sorted by name; those of `wanted` only, if there are any. Makes no folder. Error: Usage (nobody knows one of
// `wanted`; the nearest is named), Denied, Io.
[[nodiscard]] base::Result<std::vector<Known>> known_certificates(const conf::Config& config,
                                                                  const std::vector<std::string>& wanted);

// One of them, read anew. `entry`: its [[certificate]] (find_entry()), nullptr where it has none.
[[nodiscard]] base::Result<Prospect> read_prospect(const conf::Config& config, const CertificateStore& store,
                                                   const std::string& cert_name, const conf::Certificate* entry);

}  // namespace countersign::acme
