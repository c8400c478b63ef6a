// Which of the chains that a CA offers for one leaf (RFC 8555 §7.4.2).
#pragma once

#include <string>

#include "acme/protocol/certificate.hpp"
#include "acme/protocol/order.hpp"
#include "base/result.hpp"

namespace countersign::acme {

struct ChosenChain {
  CertificateChain chain;
  std::string warning;  // none of the chains is the preferred one: names what there is; "" = all is well
};

// The default chain; with `preferred` ("" = none) the first chain, the default's first, that has an issuer whose common
// name is `preferred` (case counts not), at its top before anywhere else; where none has, one whose name has it as a
// part, likewise. Alternates are only fetched when the default is not it, all at once; one that cannot be had, is for
// another leaf, or is no chain of signatures, is named in the warning and left out.
// Error: as fetch_certificate() and CertificateChain::parse() of the default chain.
[[nodiscard]] base::Result<ChosenChain> fetch_chain(Session& session, const Order& order, const std::string& preferred);

}  // namespace countersign::acme
