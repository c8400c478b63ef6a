#include "acme/issue/options.hpp"

#include <algorithm>

namespace countersign::acme {
namespace {

template <class Value>
void prefer(std::optional<Value>& target, const std::optional<Value>& over) {
  if (over) target = over;
}

template <class Value>
Value or_default(const std::optional<Value>& value, Value otherwise) {
  return value.value_or(std::move(otherwise));
}

}  // namespace

conf::CertificateOptions merged(const conf::CertificateOptions& under, const conf::CertificateOptions& over) {
  conf::CertificateOptions out = under;
  prefer(out.ca, over.ca);
  prefer(out.fallback_ca, over.fallback_ca);
  prefer(out.key_type, over.key_type);
  prefer(out.profile, over.profile);
  prefer(out.preferred_chain, over.preferred_chain);
  prefer(out.challenge, over.challenge);
  prefer(out.reuse_key, over.reuse_key);
  prefer(out.drop_failed, over.drop_failed);
  prefer(out.csr, over.csr);
  prefer(out.pkcs12, over.pkcs12);
  prefer(out.pkcs12_password_file, over.pkcs12_password_file);
  prefer(out.group, over.group);
  prefer(out.mode, over.mode);
  prefer(out.deploy_hooks, over.deploy_hooks);
  prefer(out.not_before, over.not_before);
  prefer(out.not_after, over.not_after);
  prefer(out.server, over.server);
  prefer(out.credentials, over.credentials);
  return out;
}

std::string cert_name_of(const conf::Certificate& entry) {
  if (!entry.cert_name.empty() || entry.names.empty()) return entry.cert_name;
  auto first = DnsIdentifier::parse(entry.names.front());
  return first ? first->base_text() : std::string();
}

const conf::Certificate* find_entry(const conf::Config& config, const std::string& cert_name) {
  auto found = std::find_if(config.certificates.begin(), config.certificates.end(),
                            [&](const conf::Certificate& entry) { return cert_name_of(entry) == cert_name; });
  return found == config.certificates.end() ? nullptr : &*found;
}

IssueOptions resolved(const conf::Acme& acme, const conf::CertificateOptions& options) {
  IssueOptions out;
  out.cas = {or_default(options.ca, acme.ca)};
  // A CA that was asked for by name is not fallen back from, unless that was asked for, too.
  for (const std::string& ca :
       or_default(options.fallback_ca, options.ca ? std::vector<std::string>() : acme.fallback_ca))
    if (std::find(out.cas.begin(), out.cas.end(), ca) == out.cas.end()) out.cas.push_back(ca);
  out.key_type = or_default(options.key_type, acme.key_type);
  out.profile = or_default(options.profile, acme.profile);
  out.preferred_chain = or_default(options.preferred_chain, acme.preferred_chain);
  out.challenge = or_default(options.challenge, acme.challenge);
  out.reuse_key = or_default(options.reuse_key, false);
  out.drop_failed = or_default(options.drop_failed, false);
  out.csr = or_default(options.csr, std::string());
  out.pkcs12 = or_default(options.pkcs12, conf::Pkcs12::None);
  out.pkcs12_password_file = or_default(options.pkcs12_password_file, std::string());
  out.group = or_default(options.group, std::string());
  out.mode = or_default(options.mode, out.group.empty() ? 0600U : 0640U);
  out.deploy_hooks = acme.deploy_hooks;
  for (const std::string& hook : or_default(options.deploy_hooks, std::vector<std::string>()))
    if (!hook.empty()) out.deploy_hooks.push_back(hook);
  out.not_before = or_default(options.not_before, std::string());
  out.not_after = or_default(options.not_after, std::string());
  out.server = or_default(options.server, acme.server);
  out.credentials = or_default(options.credentials, acme.credentials);
  return out;
}

}  // namespace countersign::acme
