// CAA records that let one account of one CA issue for a domain, and nobody else (RFC 8657).
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

struct CaaRecord {
  std::string name;  // absolute, or "DOMAIN."
  std::string tag;
  std::string value;

  [[nodiscard]] std::string line() const;  // in master-file syntax
};

struct CaaWish {
  std::vector<std::string> identities;  // the directory's caaIdentities
  std::string account_url;
  std::vector<std::string> methods;  // "dns-01"
  std::vector<std::string> names;    // of certificates, perhaps with `*.`; none: a placeholder
};

// A record for each identity and domain: a name below another one needs none of its own, since CAs climb (RFC 8659 §3);
// and `issue` covers wildcards (RFC 8659 §4.3). Error: NotFound (the CA names no identity), Protocol (identity or URL
// cannot stand in a CAA record).
[[nodiscard]] base::Result<std::vector<CaaRecord>> caa_records(const CaaWish& wish);

}  // namespace countersign::acme
