#include "acme/commands/credentials_text.hpp"

#include <boost/json.hpp>

#include "acme/transport/url.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

// What acme-dns answers to /register, and the zone, which `issue --credentials` need not guess then.
json::object register_answer(const IssuedRegistration& issued) {
  json::array allow_from;
  for (const std::string& range : issued.listed.allow_from) allow_from.emplace_back(range);
  return {{"username", issued.listed.username},
          {"password", issued.password},
          {"fulldomain", issued.listed.fulldomain.text()},
          {"subdomain", issued.listed.subdomain},
          {"allowfrom", std::move(allow_from)},
          {"zone", issued.zone.text()}};
}

json::object lego_account(const IssuedRegistration& issued, const std::string& server_url) {
  return {{"fulldomain", issued.listed.fulldomain.text()},
          {"subdomain", issued.listed.subdomain},
          {"username", issued.listed.username},
          {"password", issued.password},
          {"server_url", server_url},
          {"zone", issued.zone.text()}};
}

std::string by_domain(const IssuedRegistration& issued, const json::object& account) {
  json::object map;
  for (const std::string& domain : domains_of(issued.listed)) map[domain] = account;
  return json::serialize(map);
}

// In single quotes, where nothing but they themselves means anything to a shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string shell_lines(const IssuedRegistration& issued, const std::string& server_url) {
  // Exported, because acme.sh reads its environment: for `.` in a shell.
  return fmt::format(
      "export ACMEDNS_BASE_URL={}\nexport ACMEDNS_USERNAME={}\nexport ACMEDNS_PASSWORD={}\n"
      "export ACMEDNS_SUBDOMAIN={}",
      shell_quoted(server_url), shell_quoted(issued.listed.username), shell_quoted(issued.password),
      shell_quoted(issued.listed.subdomain));
}

std::string secret_manifest(const std::string& map) {
  // A literal block: JSON of one line needs no quoting in it.
  return fmt::format(
      "apiVersion: v1\nkind: Secret\nmetadata:\n  name: acme-dns\ntype: Opaque\nstringData:\n  acmedns.json: |\n    {}",
      map);
}

bool goes_by_domain(CredentialsFormat format) {
  return format == CredentialsFormat::Lego || format == CredentialsFormat::CertManager ||
         format == CredentialsFormat::Certbot;
}

}  // namespace

const std::map<std::string, CredentialsFormat>& credentials_formats() {
  static const std::map<std::string, CredentialsFormat> kWords{{"acme-dns", CredentialsFormat::AcmeDns},
                                                               {"lego", CredentialsFormat::Lego},
                                                               {"acme.sh", CredentialsFormat::AcmeSh},
                                                               {"cert-manager", CredentialsFormat::CertManager},
                                                               {"certbot", CredentialsFormat::Certbot}};
  return kWords;
}

bool is_json(CredentialsFormat format) {
  return format != CredentialsFormat::AcmeSh && format != CredentialsFormat::CertManager;
}

std::vector<std::string> domains_of(const ListedRegistration& registration) {
  std::vector<std::string> domains = registration.domains;
  // A registration that was made by a domain's name before it served any: its name says which.
  if (domains.empty() && registration.subdomain.find('.') != std::string::npos)
    domains.push_back(registration.subdomain);
  return domains;
}

Result<void> check_format(CredentialsFormat format, bool has_domain, const std::string& server_url) {
  if (goes_by_domain(format) && !has_domain)
    return fail(ErrorCode::Usage, "this format goes by domain, and there is none; give it with --for");
  // Without it, acme.sh would send the password to a public server.
  if (format == CredentialsFormat::AcmeSh && server_url.empty())
    return fail(ErrorCode::Usage,
                "acme.sh needs the API's address, which the configuration does not tell; give it with --server-url");
  return {};
}

Result<std::string> credentials_text(const IssuedRegistration& issued, CredentialsFormat format,
                                     const std::string& server_url) {
  auto checked = check_format(format, !domains_of(issued.listed).empty(), server_url);
  if (!checked) return fail(checked.error());
  switch (format) {
    case CredentialsFormat::AcmeDns:
      return json::serialize(register_answer(issued));
    case CredentialsFormat::Lego:
      return by_domain(issued, lego_account(issued, server_url));
    case CredentialsFormat::AcmeSh:
      return shell_lines(issued, server_url);
    case CredentialsFormat::CertManager:
      return secret_manifest(by_domain(issued, lego_account(issued, server_url)));
    case CredentialsFormat::Certbot:
      return by_domain(issued, register_answer(issued));
  }
  return std::string();
}

std::string server_url_of(const conf::Api& api) {
  if (!api.tls_certificate.empty()) return "";
  for (const base::SocketAddress& address : api.listen) {
    if (address.is_wildcard() || address.port() == 0) continue;
    std::string url = "http://" + address.text();
    if (address.port() == 80) url.resize(url.rfind(':'));
    return url;
  }
  return "";
}

Result<std::string> parse_server_url(const std::string& text) {
  auto url = Url::parse(text);
  if (!url) return fail(ErrorCode::Invalid, "{}", url.error().message);
  if (text.find_first_of("?#") != std::string::npos)
    return fail(ErrorCode::Invalid, "\"{}\" is not the URL of an API; write it as in https://validation.example.net",
                text);
  std::string out = text;
  while (out.ends_with('/')) out.pop_back();
  return out;
}

}  // namespace countersign::acme
