#include "acme/renew/known.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "acme/protocol/csr.hpp"
#include "acme/protocol/directory.hpp"
#include "acme/state/certificate_names.hpp"
#include "base/files.hpp"
#include "conf/texts.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> check_known(const std::set<std::string>& known, const std::vector<std::string>& wanted) {
  std::vector<std::string_view> names(known.begin(), known.end());
  for (const std::string& name : wanted) {
    if (known.contains(name)) continue;
    if (names.empty())
      return fail(ErrorCode::Usage, "no certificate {} is known, nor any other; `countersign issue` obtains one",
                  conf::in_quotes(name));
    return fail(ErrorCode::Usage,
                "no certificate {} is known; the nearest one is \"{}\"; `countersign certificates` lists them",
                conf::in_quotes(name), conf::nearest(name, names));
  }
  return {};
}

std::string place_of(const conf::Certificate& entry) {
  return fmt::format("the [[certificate]] in line {}", entry.at.line);
}

// The names of a [[certificate]] as ACME has them.
Result<std::vector<std::string>> names_of(const conf::Certificate& entry) {
  auto identifiers = parse_identifiers(entry.names);
  if (!identifiers) return fail(ErrorCode::Usage, "{}: {}", place_of(entry), identifiers.error().message);
  std::vector<std::string> names;
  for (const DnsIdentifier& identifier : *identifiers) names.push_back(identifier.text());
  return names;
}

// Absent, too, when the files are others than the record is about.
std::optional<CertificateChain> issued_chain(const CertificateStore& store, const std::string& cert_name,
                                             const CertificateRecord& record) {
  if (record.archive.empty()) return std::nullopt;
  auto chain = store.live_chain(cert_name);
  std::vector<std::string> names = record.names;
  std::sort(names.begin(), names.end());
  if (!chain || chain->names() != names) return std::nullopt;
  return chain;
}

// An unreadable request is said by the issuance, when it comes to that.
bool is_for_another_request(const CertificateChain& chain, const std::string& csr_file) {
  if (csr_file.empty()) return false;
  auto text = base::read_file(csr_file);
  auto csr = text ? read_csr(*text, csr_file) : fail(text.error());
  return csr && !chain.is_for(csr->public_key);
}

Result<std::vector<std::string>> urls_of(const std::vector<std::string>& cas) {
  std::vector<std::string> urls;
  for (const std::string& ca : cas) {
    auto url = directory_url(ca);
    if (!url) return fail(ErrorCode::Usage, "{}", url.error().message);
    if (std::find(urls.begin(), urls.end(), *url) == urls.end()) urls.push_back(*std::move(url));
  }
  return urls;
}

}  // namespace

Result<Prospect> read_prospect(const conf::Config& config, const CertificateStore& store, const std::string& cert_name,
                               const conf::Certificate* entry) {
  Prospect prospect;
  prospect.cert_name = cert_name;
  auto record = store.load(cert_name);
  if (!record) return fail(record.error());
  prospect.record = *std::move(record);
  prospect.in_configuration = entry != nullptr;
  if (entry != nullptr) {
    auto names = names_of(*entry);
    if (!names) return fail(names.error());
    prospect.names = *std::move(names);
  } else if (prospect.record) {
    prospect.names = asked_names(*prospect.record);
    if (prospect.record->archive.empty() && prospect.record->pending)
      prospect.names = asked_names(*prospect.record->pending);
  }
  conf::CertificateOptions issued = prospect.record ? prospect.record->options : conf::CertificateOptions();
  conf::CertificateOptions last = prospect.record ? last_options(*prospect.record) : conf::CertificateOptions();
  prospect.options = resolved(config.acme, entry != nullptr ? entry->options : last);
  prospect.issued_profile = resolved(config.acme, issued).profile;
  auto urls = urls_of(prospect.options.cas);
  if (!urls) return fail(urls.error());
  prospect.cas = *std::move(urls);
  FailureMemory failures(config.state_dir / "acme");
  auto now = base::SystemClock().wall();
  for (const std::string& ca : prospect.cas) prospect.holds.push_back(failures.hold(ca, prospect.names, now));
  if (!prospect.record) return prospect;
  prospect.revoked = revocation_mark(store.live(cert_name));
  if (auto chain = issued_chain(store, cert_name, *prospect.record)) {
    prospect.live = Prospect::Live{chain->not_before(), chain->not_after(), chain->ari_id()};
    prospect.for_another_request = is_for_another_request(*chain, prospect.options.csr);
  }
  return prospect;
}

Result<std::vector<Known>> known_certificates(const conf::Config& config, const std::vector<std::string>& wanted) {
  fs::path folder = config.state_dir / "acme";
  auto listed = certificate_names(folder);
  if (!listed) return fail(listed.error());
  std::set<std::string> names(listed->begin(), listed->end());
  std::vector<Known> out;
  std::map<std::string, const conf::Certificate*> entries;
  for (const conf::Certificate& entry : config.certificates) {
    std::string name = cert_name_of(entry);
    if (!name.empty()) {
      names.insert(name);
      entries.emplace(std::move(name), &entry);
      continue;
    }
    auto bad = names_of(entry);
    // It has no name of its own to be asked for by.
    if (wanted.empty() && !bad) out.push_back({place_of(entry), fail(bad.error())});
  }
  if (auto checked = check_known(names, wanted); !checked) return fail(checked.error());
  if (!wanted.empty()) names = {wanted.begin(), wanted.end()};
  if (names.empty()) return out;
  auto store = CertificateStore::open(folder);
  if (!store) return fail(store.error());
  for (const std::string& name : names) {
    auto entry = entries.find(name);
    out.push_back({name, read_prospect(config, *store, name, entry == entries.end() ? nullptr : entry->second)});
  }
  return out;
}

}  // namespace countersign::acme
