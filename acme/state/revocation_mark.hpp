// revoked.json in an issuance's folder: its certificate is revoked, so it is no valid one any more, whatever its dates
// say; and a compromised key is not to be used again.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "acme/protocol/revocation.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct RevocationMark {
  std::optional<RevocationReason> reason;
  std::string at;  // RFC 3339
};

// `issuance`: CertificateStore::live(CERT), or a folder below archive/CERT. Error: NotFound, Denied, Io.
[[nodiscard]] base::Result<void> mark_revoked(const std::filesystem::path& issuance, const RevocationMark& mark);
// Absent: not revoked, as far as this machine knows. A file that cannot be read is a mark without a reason.
[[nodiscard]] std::optional<RevocationMark> revocation_mark(const std::filesystem::path& issuance);

// "keyCompromise" ...: as RFC 5280 §5.3.1 and the command line have them.
[[nodiscard]] const char* reason_text(RevocationReason reason);

}  // namespace countersign::acme
