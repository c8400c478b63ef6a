#include "acme/protocol/revocation.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "acme/protocol/problem.hpp"
#include "base/encoding.hpp"

namespace countersign::acme {

using base::ErrorCode;
using base::fail;

base::Result<Revoked> revoke_certificate(Session& session, const CertificateChain& chain,
                                         std::optional<RevocationReason> reason, Post::Signer signer) {
  const std::string& url = session.directory().revoke_certificate;
  if (url.empty())
    return fail(ErrorCode::NotFound,
                "the CA {} takes no revocations over ACME (its directory has no revokeCert); ask it how to revoke",
                session.directory().url);
  boost::json::object payload{{"certificate", base::base64url_encode(base::as_bytes(chain.leaf_der()))}};
  if (reason) payload["reason"] = static_cast<int>(*reason);
  Problem problem;
  Post post{url, boost::json::serialize(payload), "revokeCert", "", signer, kMaxJson, &problem};
  auto response = session.post(post);
  if (response) return Revoked::Now;
  // RFC 8555 §7.6: what was wanted is so. It is also what a repeated request gets whose first answer was lost.
  if (problem.is("alreadyRevoked")) return Revoked::Already;
  return fail(response.error());
}

}  // namespace countersign::acme
