// Certificates on the disk: STATE/acme/{certificates/CERT.json, archive/CERT/ISSUANCE/, live/CERT}.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "acme/protocol/certificate.hpp"
#include "acme/protocol/private_key.hpp"
#include "acme/state/certificate_record.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// Who may read an issuance. The folders that lead to it are opened just as far.
struct FileRights {
  unsigned key_mode = 0600;    // of privkey.pem and certificate.p12; the others are 0644
  std::optional<gid_t> group;  // absent: the process' own
};
// The number of the group with that name, or that number. Error: Usage, when there is no such group.
[[nodiscard]] base::Result<gid_t> find_group(const std::string& name);

class CertificateStore {
 public:
  // `acme_directory`: STATE/acme. Makes the folders that are missing. Error: Denied (also when others can write there),
  // Full, Io.
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
                                             const PrivateKey& key, const FileRights& rights) const;
  // Makes the folder for an issuance whose key is elsewhere (a foreign CSR).
  [[nodiscard]] base::Result<void> make_issuance(const std::string& name, const std::string& issuance,
                                                 const FileRights& rights) const;
  // Error: NotFound, Invalid, Denied, Io.
  [[nodiscard]] base::Result<PrivateKey> read_key(const std::string& name, const std::string& issuance) const;
  // Adds cert.pem, chain.pem and fullchain.pem, durably. Nothing is in force yet. Error: Denied, Full, Io; it can be
  // done again then.
  [[nodiscard]] base::Result<void> write_chain(const std::string& name, const std::string& issuance,
                                               const CertificateChain& chain, const FileRights& rights) const;
  // Adds certificate.p12, durably, before write_chain().
  [[nodiscard]] base::Result<void> write_pkcs12(const std::string& name, const std::string& issuance,
                                                const std::string& der, const FileRights& rights) const;
  void remove_issuance(const std::string& name, const std::string& issuance) const;
  // Switches live/CERT to `record.archive` at once, durably, and saves the record. Issuances beyond the newest kKept
  // are removed. Error: Denied, Full, Io; live/CERT is the old issuance or the new one then, and nothing is removed.
  [[nodiscard]] base::Result<void> switch_live(const std::string& name, const CertificateRecord& record) const;
  // What runs left that were killed between making a file and putting it in its place: that which is an hour old, as
  // another process may be at work.
  void remove_leftovers() const;
  [[nodiscard]] bool is_live(const std::string& name, const std::string& issuance) const;
  // What live/CERT holds, with its key (or without, when it was issued for a foreign CSR). Absent when there is none,
  // or it cannot be read, or the two do not match.
  [[nodiscard]] std::optional<CertificateChain> live_chain(const std::string& name) const;

  [[nodiscard]] std::filesystem::path live(const std::string& name) const { return root_ / "live" / name; }
  [[nodiscard]] std::filesystem::path lock_file(const std::string& name) const { return root_ / "locks" / name; }

  static constexpr std::size_t kKept = 5;

 private:
  explicit CertificateStore(std::filesystem::path root) : root_(std::move(root)) {}
  [[nodiscard]] std::filesystem::path record_file(const std::string& name) const;
  [[nodiscard]] std::filesystem::path archive(const std::string& name) const { return root_ / "archive" / name; }
  // The rights of what is in the issuance's folder, and of the folders that lead to it.
  [[nodiscard]] base::Result<void> grant(const std::string& name, const std::string& issuance,
                                         const FileRights& rights) const;
  void abandon(const std::string& name, const std::string& issuance) const;
  void remove_old(const std::string& name, const CertificateRecord& record) const;

  std::filesystem::path root_;
};

// `[a-z0-9][a-z0-9._-]*`, and short enough for a file's name. Error: Invalid.
[[nodiscard]] base::Result<void> check_cert_name(const std::string& name);
// When a certificate is due: a third of its lifetime left, half of one below ten days.
[[nodiscard]] base::WallTime renewal_time(base::WallTime not_before, base::WallTime not_after);

}  // namespace countersign::acme
