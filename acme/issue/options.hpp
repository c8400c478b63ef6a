// A certificate's options, from the places where they can stand.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/issue/identifier.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// What `over` says, else what `under` says.
[[nodiscard]] conf::CertificateOptions merged(const conf::CertificateOptions& under,
                                              const conf::CertificateOptions& over);
// The certificate's [[certificate]]; nullptr: it has none.
[[nodiscard]] const conf::Certificate* find_entry(const conf::Config& config, const std::string& cert_name);
// CERT of an entry: its cert_name, else the first name without `*.`; "" when that is no domain name.
[[nodiscard]] std::string cert_name_of(const conf::Certificate& entry);

// With every default filled in.
struct IssueOptions {
  std::vector<std::string> cas;  // as written: the CA, then its fallbacks
  conf::KeyType key_type = conf::KeyType::P256;
  std::string profile, preferred_chain;
  conf::ChallengeType challenge = conf::ChallengeType::Dns01;
  bool reuse_key = false;
  bool drop_failed = false;
  std::string csr;  // "" = a key of our own
  conf::Pkcs12 pkcs12 = conf::Pkcs12::None;
  std::string pkcs12_password_file, group;
  unsigned mode = 0600;
  std::vector<std::string> deploy_hooks;  // acme.deploy_hooks, then the certificate's
  std::string not_before, not_after;
  std::string server, credentials;
};
[[nodiscard]] IssueOptions resolved(const conf::Acme& acme, const conf::CertificateOptions& options);

}  // namespace countersign::acme
