#include "acme/protocol/directory.hpp"

#include "acme/protocol/busy.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/transport/interrupt.hpp"
#include "acme/transport/url.hpp"
#include "conf/ca_directories.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<HttpResponse> get_patiently(HttpClient& http, const HttpRequest& request) {
  for (unsigned tries = 0;; ++tries) {
    auto response = http.perform(request);
    auto delay = busy_delay(response, tries);
    if (!delay) return response;
    if (!sleep_unless_interrupted(*delay)) return fail(ErrorCode::Interrupted, "interrupted");
  }
}

// What a client cannot do without, or must not overlook.
Directory read_directory(const JsonObject& root) {
  Directory directory;
  directory.new_nonce = root.text("newNonce");
  directory.new_account = root.text("newAccount");
  directory.new_order = root.text("newOrder");
  if (auto meta = root.optional_object("meta")) {
    directory.terms_of_service = meta->optional_text("termsOfService");
    directory.external_account_required = meta->optional_flag("externalAccountRequired");
  }
  return directory;
}

// After the check, so that a broken one counts as absent: issuing works without any of these, and a person who asks for
// one learns that the CA does not offer it.
void read_extras(const JsonObject& root, Directory& directory) {
  directory.revoke_certificate = root.optional_text("revokeCert");
  directory.key_change = root.optional_text("keyChange");
  directory.renewal_info = root.optional_text("renewalInfo");
  auto meta = root.optional_object("meta");
  if (!meta) return;
  directory.website = meta->optional_text("website");
  directory.caa_identities = meta->optional_texts("caaIdentities");
  directory.profiles = meta->optional_text_map("profiles");
  directory.issuer_domain_names = meta->optional_texts("issuerDomainNames");
  directory.account_hash_prefix = meta->optional_text("accountHashPrefix");
}

}  // namespace

Result<std::string> directory_url(const std::string& ca) {
  auto url = conf::directory_url(ca);
  if (!url) return fail(url.error().code, "acme.ca: {}", url.error().message);
  return url;
}

Result<void> check_acme_url(const std::string& url) {
  auto parsed = Url::parse(url);
  if (!parsed) return fail(parsed.error());
  if (!parsed->is_https() && !parsed->is_loopback())
    return fail(ErrorCode::Invalid, "\"{}\" is not https, which ACME requires (RFC 8555 §6.1)", url);
  return {};
}

Result<void> check_resource_url(const std::string& url, const Directory& directory) {
  auto checked = check_acme_url(url);
  auto is_https = [](const std::string& text) { return Url::parse(text).map(&Url::is_https).value_or(true); };
  if (checked && !is_https(url) && is_https(directory.url))
    return fail(ErrorCode::Invalid, "\"{}\" is not https as its directory is (RFC 8555 §6.1)", url);
  return checked;
}

Result<Directory> fetch_directory(HttpClient& http, const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.max_body = kMaxJson;
  request.headers = {{"Accept", "application/json"}, {"Accept-Language", "en"}};
  auto response = get_patiently(http, request);
  if (!response)
    return fail(response.error().code,
                "the CA {} cannot be reached: {}; check acme.ca, or name a second CA in acme.fallback_ca", url,
                response.error().message);
  if (response->status != 200) {
    Problem problem = problem_of(*response);
    return fail(problem.code(), "ACME directory {}: {}; check acme.ca", url, problem.describe());
  }
  auto document = JsonDocument::parse(response->body, "ACME directory " + url);
  if (!document) return fail(document.error().code, "{}; check acme.ca", document.error().message);
  Directory directory = read_directory(document->root());
  directory.url = url;
  if (auto checked = document->check(); !checked) return fail(checked.error());
  read_extras(document->root(), directory);
  for (const std::string* resource : {&directory.new_nonce, &directory.new_account, &directory.new_order}) {
    if (auto checked = check_resource_url(*resource, directory); !checked)
      return fail(ErrorCode::Protocol, "ACME directory {}: {}", url, checked.error().message);
  }
  return directory;
}

}  // namespace countersign::acme
