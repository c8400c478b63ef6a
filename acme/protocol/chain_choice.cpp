#include "acme/protocol/chain_choice.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::Result;

// How well a chain fits, the best first.
enum class Fit { TopIsIt, HasIt, TopContainsIt, ContainsIt, No };

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

Fit fit_of(const CertificateChain& chain, const std::string& preferred) {
  std::string wanted = lower_case(preferred);
  Fit best = Fit::No;
  std::vector<std::string> issuers = chain.issuers();
  for (std::size_t i = 0; i < issuers.size(); ++i) {
    std::string issuer = lower_case(issuers[i]);
    bool top = i + 1 == issuers.size();
    if (issuer == wanted) best = std::min(best, top ? Fit::TopIsIt : Fit::HasIt);
    if (issuer.find(wanted) != std::string::npos) best = std::min(best, top ? Fit::TopContainsIt : Fit::ContainsIt);
  }
  return best;
}

struct Search {
  const std::string& preferred;
  CertificateChain chain;  // the best so far
  Fit fit;
  std::vector<std::string> tops;      // of all chains that could be had
  std::vector<std::string> problems;  // of those that could not

  void consider(CertificateChain candidate) {
    tops.push_back(candidate.issuers().back());
    Fit candidate_fit = fit_of(candidate, preferred);
    if (candidate_fit >= fit) return;  // the CA's order decides among equals
    chain = std::move(candidate);
    fit = candidate_fit;
  }
  [[nodiscard]] std::string warning() const;
};

std::string Search::warning() const {
  std::string out;
  if (fit == Fit::No) {
    out =
        fmt::format("no chain of this CA is from \"{}\"; took the CA's default; there is:", base::printable(preferred));
    for (std::size_t i = 0; i < tops.size(); ++i) out += fmt::format("{} \"{}\"", i == 0 ? "" : ",", tops[i]);
  }
  for (const std::string& problem : problems) out += (out.empty() ? "" : "; ") + problem;
  return out;
}

Result<CertificateChain> usable(const Result<Download>& download, const std::string& url, const std::string& leaf) {
  if (!download) return base::fail(download.error());
  auto chain = CertificateChain::parse(download->pem, fmt::format("certificate ({})", url));
  if (!chain) return chain;
  if (chain->leaf_der() != leaf)
    return base::fail(base::ErrorCode::Protocol, "certificate ({}): it is another certificate than the default's", url);
  // The caller checks what was chosen, and a broken one must not take the place of a good one.
  if (auto checked = chain->check_signatures(); !checked) return base::fail(checked.error());
  return chain;
}

void look_at_alternates(Session& session, const std::vector<std::string>& alternates, Search& search) {
  std::string leaf = search.chain.leaf_der();
  auto downloads = fetch_certificates(session, alternates);
  for (std::size_t i = 0; i < downloads.size(); ++i) {
    auto chain = usable(downloads[i], alternates[i], leaf);
    if (chain) {
      search.consider(*std::move(chain));
    } else {
      search.problems.push_back("an alternate chain is left out: " + chain.error().message);
    }
  }
}

}  // namespace

Result<ChosenChain> fetch_chain(Session& session, const Order& order, const std::string& preferred) {
  auto download = fetch_certificate(session, order.certificate);
  if (!download) return base::fail(download.error());
  auto chain = CertificateChain::parse(download->pem, fmt::format("certificate ({})", order.certificate));
  if (!chain) return base::fail(chain.error());
  if (preferred.empty()) return ChosenChain{*std::move(chain), ""};
  Fit fit = fit_of(*chain, preferred);
  Search search{preferred, *std::move(chain), fit, {}, {}};
  search.tops.push_back(search.chain.issuers().back());
  if (fit != Fit::TopIsIt) look_at_alternates(session, download->alternates, search);
  std::string warning = search.warning();
  return ChosenChain{std::move(search.chain), std::move(warning)};
}

}  // namespace countersign::acme
