// Which CA, and where its resources are (RFC 8555 §7.1.1).
#pragma once

#include <string>
#include <vector>

#include "acme/protocol/json.hpp"
#include "acme/transport/http.hpp"
#include "base/result.hpp"

namespace countersign::acme {

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
};

// The directory's URL of `acme.ca`: a known CA's name (conf/ca_directories.hpp), or a URL that check_acme_url() takes.
// Error: Invalid.
[[nodiscard]] base::Result<std::string> directory_url(const std::string& ca);

// Only https; plain http where the host is loopback, so that a CA under test needs no certificate. RFC 8555 §6.1.
// Error: Invalid.
[[nodiscard]] base::Result<void> check_acme_url(const std::string& url);

// Error: Protocol (names the member), and what the transport says.
[[nodiscard]] base::Result<Directory> fetch_directory(HttpClient& http, const std::string& url);

}  // namespace countersign::acme
