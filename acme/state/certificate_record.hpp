// What STATE/acme/certificates/CERT.json keeps: all that a renewal and a run after a kill need.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/control/daemon.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// An order whose certificate is not installed yet; its key is in `archive`.
struct PendingOrder {
  std::string url;
  std::vector<std::string> names;
  std::string directory_url;
  std::string account_url;
  std::string key_type;  // with a foreign CSR: "csr"
  std::string archive;   // the issuance's folder below archive/CERT
  std::string created;   // RFC 3339
  std::vector<std::string> dropped;
  conf::CertificateOptions options;  // as it was asked for
};

// What the CA suggested for the newest issuance (RFC 9773), and what was made of it. Without a window: it was asked,
// and suggests nothing.
struct RenewalState {
  std::string certificate_id;  // of the certificate that it is about
  base::WallTime start, end;   // the suggested window
  base::WallTime renew_at;     // drawn once from it; again only when it changes
  base::WallTime ask_at;       // ask again then
  std::string explanation_url;

  [[nodiscard]] bool has_window() const { return start < end; }
};

struct CertificateRecord {
  // Of the newest issuance; `archive` is "" when there is none yet.
  std::vector<std::string> names;
  std::vector<std::string> dropped;  // asked for, but not in it (--drop-failed)
  conf::CertificateOptions options;  // as it was asked for
  std::string directory_url;
  std::string account_url;
  std::string key_type;
  std::string order_url;
  std::string archive;  // the issuance's folder below archive/CERT
  std::string not_before, not_after;
  std::string serial, issuer;
  bool deploy_due = false;  // its deploy hooks did not come to a good end yet
  std::optional<RenewalState> renewal;
  std::vector<TxtValue> standing;  // records of dns-persist-01, which stay between issuances
  // Of a run that is under way, or did not come to its end: what to go on with, and the values that may be published.
  std::optional<PendingOrder> pending;
  std::vector<TxtValue> published;
  std::string server, credentials;  // where `standing` and `published` are; "" = the daemon here
};

[[nodiscard]] std::string record_document(const CertificateRecord& record);
// `source` is named in the error. Members that are not known are ignored, those that are missing have their defaults.
// Error: Invalid.
[[nodiscard]] base::Result<CertificateRecord> parse_record(const std::string& text, const std::string& source);

// The names that the certificate is meant for: those it has, and the dropped ones.
[[nodiscard]] std::vector<std::string> asked_names(const CertificateRecord& record);
[[nodiscard]] std::vector<std::string> asked_names(const PendingOrder& pending);
// As it was asked for the last time: of the order that is pending, else of the newest issuance.
[[nodiscard]] const conf::CertificateOptions& last_options(const CertificateRecord& record);

// 20261122T100000.123Z-1f2e3d4c: the name of an issuance's folder, and so a part of paths.
[[nodiscard]] bool is_issuance_name(const std::string& name);

// "p256" ...: as in the configuration.
[[nodiscard]] const char* key_type_text(conf::KeyType type);

}  // namespace countersign::acme
