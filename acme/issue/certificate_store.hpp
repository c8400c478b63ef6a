// Certificates on the disk: STATE/acme/{certificates/CERT.json, archive/CERT/ISSUANCE/, live/CERT}.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "acme/control/daemon.hpp"
#include "acme/protocol/certificate.hpp"
#include "acme/protocol/private_key.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// An order whose certificate is not installed yet; its key is in `archive`.
struct PendingOrder {
  std::string url;
  std::vector<std::string> names;
  std::string directory_url;
  std::string account_url;
  std::string key_type;
  std::string archive;  // the issuance's folder below archive/CERT
};

// What CERT.json keeps.
struct CertificateRecord {
  // Of the newest issuance; `archive` is "" when there is none yet.
  std::vector<std::string> names;
  std::string directory_url;
  std::string key_type;
  std::string order_url;
  std::string archive;  // the issuance's folder below archive/CERT
  std::string not_before, not_after;
  std::string serial, issuer;
  // Of a run that is under way, or did not come to its end: what to go on with, and the values that may be published.
  std::optional<PendingOrder> pending;
  std::vector<TxtValue> published;
};

class CertificateStore {
 public:
  // `acme_directory`: STATE/acme. Makes the folders that are missing. Error: Denied, Io.
  [[nodiscard]] static base::Result<CertificateStore> open(const std::filesystem::path& acme_directory);

  // `name` of all: a CERT that check_cert_name() took.

  // Absent when nothing is known. Error: Invalid (a broken file, named), Denied, Io.
  [[nodiscard]] base::Result<std::optional<CertificateRecord>> load(const std::string& name) const;
  [[nodiscard]] base::Result<void> save(const std::string& name, const CertificateRecord& record) const;
  // Removes CERT.json; for a first run that failed.
  [[nodiscard]] base::Result<void> forget(const std::string& name) const;

  // An issuance is a folder of archive/CERT; it gets its key before the CA is asked for the certificate.

  // 20261122T100000.123Z-1f2e3d4c: sorts by time, and two never meet.
  [[nodiscard]] static std::string new_issuance(base::WallTime now);
  // Makes the folder with privkey.pem (0600), durably. Error: Denied, Full, Io; nothing is left behind then.
  [[nodiscard]] base::Result<void> write_key(const std::string& name, const std::string& issuance,
                                             const PrivateKey& key) const;
  // Error: NotFound, Invalid, Denied, Io.
  [[nodiscard]] base::Result<PrivateKey> read_key(const std::string& name, const std::string& issuance) const;
  // Adds cert.pem, chain.pem and fullchain.pem, durably. Nothing is in force yet. Error: Denied, Full, Io; it can be
  // done again then.
  [[nodiscard]] base::Result<void> write_chain(const std::string& name, const std::string& issuance,
                                               const CertificateChain& chain) const;
  void remove_issuance(const std::string& name, const std::string& issuance) const;
  // Switches live/CERT to `record.archive` at once, durably, and saves the record. Issuances beyond the newest kKept
  // are removed. Error: Denied, Full, Io; live/CERT is the old issuance or the new one then, and nothing is removed.
  [[nodiscard]] base::Result<void> switch_live(const std::string& name, const CertificateRecord& record) const;
  [[nodiscard]] bool is_live(const std::string& name, const std::string& issuance) const;
  // What live/CERT holds, with its key. Absent when there is none, or it cannot be read, or the two do not match.
  [[nodiscard]] std::optional<CertificateChain> live_chain(const std::string& name) const;

  [[nodiscard]] std::filesystem::path live(const std::string& name) const { return root_ / "live" / name; }
  [[nodiscard]] std::filesystem::path lock_file(const std::string& name) const { return root_ / "locks" / name; }

  static constexpr std::size_t kKept = 5;

 private:
  explicit CertificateStore(std::filesystem::path root) : root_(std::move(root)) {}
  [[nodiscard]] std::filesystem::path record_file(const std::string& name) const;
  [[nodiscard]] std::filesystem::path archive(const std::string& name) const { return root_ / "archive" / name; }
  void remove_old(const std::string& name, const std::string& current) const;

  std::filesystem::path root_;
};

// `[a-z0-9][a-z0-9._-]*`, and short enough for a file's name. Error: Invalid.
[[nodiscard]] base::Result<void> check_cert_name(const std::string& name);
// When a certificate is due: a third of its lifetime left, half of one below ten days.
[[nodiscard]] base::WallTime renewal_time(base::WallTime not_before, base::WallTime not_after);

}  // namespace countersign::acme
