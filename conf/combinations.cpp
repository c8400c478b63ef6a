#include "conf/combinations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.hpp"
#include "conf/acme_texts.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

bool is_set(const std::optional<std::string>& text) {
  return text && !text->empty();
}

}  // namespace

void Combinations::check_acme(const Node& table) {
  if (const Node* eab = find_value(table, "eab"); eab != nullptr && eab->type == Node::Type::Table) {
    if (!acme_.eab.kid.empty() && is_missing(*eab, "hmac_key_file"))
      problem(*eab, "acme.eab", "kid", "has no key; add hmac_key_file, the file with the key that the CA gave with it");
    if (!acme_.eab.hmac_key_file.empty() && is_missing(*eab, "kid"))
      problem(*eab, "acme.eab", "hmac_key_file", "has no key identifier; add kid, which the CA gave with it");
  }
  if (!acme_.server.empty() && is_missing(table, "credentials"))
    problem(table, "acme", "server", "has no credentials; add credentials, the file with the registration for it");
  if (!acme_.credentials.empty() && is_missing(table, "server"))
    problem(table, "acme", "credentials", "has no server; add server, the address of the daemon that they are for");
}

void Combinations::check_certificate(const Node& table, const std::string& path, const Certificate& certificate) {
  check_csr(table, path, certificate.options);
  check_server(table, path, certificate.options);
  check_dates(table, path, certificate.options);
  check_cert_name(table, path, certificate);
}

// The CSR decides about the names, and its key is not ours.
void Combinations::check_csr(const Node& table, const std::string& path, const CertificateOptions& options) {
  if (!is_set(options.csr)) return;
  if (options.key_type) problem(table, path, "key_type", "goes not with csr, which has its key; remove one of the two");
  if (options.reuse_key.value_or(false))
    problem(table, path, "reuse_key", "goes not with csr, which has its key; remove one of the two");
  if (options.drop_failed.value_or(false))
    problem(table, path, "drop_failed", "goes not with csr, which has its names; remove one of the two");
  if (options.pkcs12.value_or(Pkcs12::None) != Pkcs12::None)
    problem(table, path, options.pkcs12 == Pkcs12::Legacy ? "pkcs12_legacy" : "pkcs12",
            "goes not with csr: there is no key to put into it; remove one of the two");
}

void Combinations::check_server(const Node& table, const std::string& path, const CertificateOptions& options) {
  if (is_set(options.server) && options.credentials.value_or(acme_.credentials).empty())
    problem(table, path, "server", "has no credentials; add credentials, the file with the registration for it");
  if (is_set(options.credentials) && options.server.value_or(acme_.server).empty())
    problem(table, path, "credentials", "has no server; add server, the address of the daemon that they are for");
}

void Combinations::check_dates(const Node& table, const std::string& path, const CertificateOptions& options) {
  auto before = base::parse_rfc3339(options.not_before.value_or(""));
  auto after = base::parse_rfc3339(options.not_after.value_or(""));
  if (before && after && *after <= *before)
    problem(table, path, "not_after", "is not after not_before; write a later date");
}

void Combinations::check_cert_name(const Node& table, const std::string& path, const Certificate& certificate) {
  const Node* pkcs12 = find_value(table, "pkcs12");
  if (certificate.options.pkcs12 == Pkcs12::Legacy && pkcs12 != nullptr && pkcs12->type == Node::Type::Boolean &&
      !pkcs12->boolean)
    problem(table, path, "pkcs12_legacy", "goes not with pkcs12 = false; remove one of the two");

  bool named = !certificate.cert_name.empty();
  if (!named && certificate.names.empty()) return;
  std::string name = named ? certificate.cert_name : default_cert_name(certificate.names.front());
  std::string_view key = named ? "cert_name" : "names";
  const Node* value = find_value(table, key);
  auto [first, fresh] = cert_names_.emplace(name, value == nullptr ? table.at : value->at);
  if (fresh) return;
  problem(table, path, key,
          fmt::format("{} is a certificate already in line {}; give one of the two another cert_name, or remove it",
                      in_quotes(name), first->second.line));
}

void Combinations::problem(const Node& table, const std::string& path, std::string_view key, std::string text) {
  const Node* value = find_value(table, key);
  problems_.push_back({value == nullptr ? table.at : value->at, fmt::format("{}.{}", path, key), std::move(text)});
}

}  // namespace countersign::conf
