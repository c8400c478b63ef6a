// Certificate requests of strangers and chains of a CA, in PEM or DER. What is refused is refused in one line for a
// person; what is read is the same when it is written and read again.
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "acme/protocol/certificate.hpp"
#include "acme/protocol/csr.hpp"
#include "base/text.hpp"

namespace {

using namespace countersign;        // NOLINT(google-build-using-namespace): nothing else is in here
using namespace countersign::acme;  // NOLINT(google-build-using-namespace)

void check_line(const std::string& text) {
  if (base::printable(text, text.size()) != text) throw std::runtime_error("not fit for a terminal: " + text);
}

void read_request(const std::string& text) {
  auto request = read_csr(text, "x");
  if (!request) return check_line(request.error().message);
  if (request->names.empty()) throw std::runtime_error("a request without a name");
  for (const std::string& name : request->names)
    if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.*") != std::string::npos)
      throw std::runtime_error("a name that is no dNSName: " + name);
  auto again = read_csr(request->der, "x");
  if (!again || again->names != request->names || again->public_key != request->public_key ||
      again->der != request->der)
    throw std::runtime_error("a request that changes when it is written");
}

void read_chain(const std::string& text) {
  auto chain = CertificateChain::parse(text, "x");
  if (!chain) return check_line(chain.error().message);
  check_line(chain->issuer());
  check_line(chain->serial());
  check_line(chain->ari_id());
  if (chain->issuers().front() != chain->issuer()) throw std::runtime_error("two issuers of one certificate");
  base::WallTime now{std::chrono::milliseconds(1'780'000'000'000)};
  if (chain->not_before() > now && chain->not_after() > now) now = chain->not_before();
  if (auto checked = chain->check("no key", chain->names(), now); !checked) check_line(checked.error().message);
  if (auto checked = chain->check_signatures(); !checked) check_line(checked.error().message);
  auto again = CertificateChain::parse(chain->full_pem(), "x");
  if (!again || again->leaf_der() != chain->leaf_der() || again->full_pem() != chain->full_pem() ||
      again->ari_id() != chain->ari_id())
    throw std::runtime_error("a chain that changes when it is written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  read_request(text);
  read_chain(text);
  return 0;
}
