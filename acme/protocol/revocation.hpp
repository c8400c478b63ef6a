// Revocation (RFC 8555 §7.6).
#pragma once

#include <optional>

#include "acme/protocol/certificate.hpp"
#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// Those of RFC 5280 §5.3.1 that public CAs take from subscribers; the numbers are the RFC's.
enum class RevocationReason { Unspecified = 0, KeyCompromise = 1, Superseded = 4, CessationOfOperation = 5 };
enum class Revoked { Now, Already };

// `signer` Account: by the session's account. BareKey: the session's key is the certificate's own. Error: Refused
// (unauthorized, badRevocationReason), NotFound (the CA has no revokeCert), and what post() says.
[[nodiscard]] base::Result<Revoked> revoke_certificate(Session& session, const CertificateChain& chain,
                                                       std::optional<RevocationReason> reason, Post::Signer signer);

}  // namespace countersign::acme
