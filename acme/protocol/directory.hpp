// Which CA, and where its resources are (RFC 8555 §7.1.1).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "acme/protocol/json.hpp"
#include "acme/transport/http.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// Octets of a JSON resource: an order of 100 names has 30 kB, and 16 answers are held at once.
inline constexpr std::size_t kMaxJson = 256U << 10U;

struct Directory {
  std::string url;
  std::string new_nonce;
  std::string new_account;
  std::string new_order;
  std::string revoke_certificate;  // "" where the CA has none
  std::string key_change;
  std::string renewal_info;
  std::string terms_of_service;
  std::string website;
  std::vector<std::string> caa_identities;
  bool external_account_required = false;
  std::map<std::string, std::string> profiles;   // name and description (draft-ietf-acme-profiles)
  std::vector<std::string> issuer_domain_names;  // dns-persist-01
  std::string account_hash_prefix;               // dns-persist-01, draft -02; "" = -01
};

// The directory's URL of `acme.ca`: a known CA's name (conf/ca_directories.hpp), or a URL as it is.
// Error: Invalid.
[[nodiscard]] base::Result<std::string> directory_url(const std::string& ca);

// Of a directory: only https; plain http where the host is loopback, so that a CA under test needs no certificate.
// RFC 8555 §6.1. Error: Invalid.
[[nodiscard]] base::Result<void> check_acme_url(const std::string& url);
// Of a resource that the CA named: https, too, unless the directory itself is plain http on loopback. Otherwise a CA
// could make this machine send signed requests to services that trust their loopback. Error: Invalid.
[[nodiscard]] base::Result<void> check_resource_url(const std::string& url, const Directory& directory);

// A busy CA and a broken connection are tried again. Error: Protocol (names the member), Interrupted, and what the
// transport says.
[[nodiscard]] base::Result<Directory> fetch_directory(HttpClient& http, const std::string& url);

}  // namespace countersign::acme
