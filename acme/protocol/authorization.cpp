#include "acme/protocol/authorization.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "acme/protocol/json.hpp"
#include "acme/protocol/openssl.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMostOfType = 60;  // octets shown of a media type
constexpr std::size_t kExcerpt = 200;    // and of a page

AuthorizationStatus parse_status(const JsonObject& object) {
  std::string text = object.text("status");
  if (text == "pending") return AuthorizationStatus::Pending;
  if (text == "valid") return AuthorizationStatus::Valid;
  if (text == "invalid") return AuthorizationStatus::Invalid;
  if (text == "deactivated") return AuthorizationStatus::Deactivated;
  if (text == "expired") return AuthorizationStatus::Expired;
  if (text != "revoked")
    object.reject("status",
                  fmt::format("is \"{}\", no authorization status of RFC 8555 §7.1.6", base::printable(text, 40)));
  return AuthorizationStatus::Revoked;
}

// Whatever is missing or broken makes the one challenge unusable, not the authorization: new types have neither token
// nor key authorization, and a client uses only one of those that it is offered.
Challenge read_challenge(const JsonObject& object) {
  Challenge challenge;
  challenge.type = object.optional_text("type");
  challenge.url = object.optional_text("url");
  challenge.status = object.optional_text("status");
  challenge.token = object.optional_text("token");
  // dns-persist-01: draft -02 writes its members as RFC 8555 does, -01 with hyphens.
  challenge.issuer_domain_names = object.optional_texts("issuerDomainNames");
  if (challenge.issuer_domain_names.empty())
    challenge.issuer_domain_names = object.optional_texts("issuer-domain-names");
  challenge.account_uri = object.optional_text("accounturi");
  if (auto error = object.optional_object("error")) challenge.error = problem_of(*error);
  return challenge;
}

Result<Authorization> read_authorization(const HttpResponse& response, const std::string& url) {
  auto document = JsonDocument::parse(response.body, fmt::format("authorization ({})", url));
  if (!document) return fail(document.error());
  JsonObject root = document->root();
  Authorization authorization;
  authorization.url = url;
  authorization.status = parse_status(root);
  authorization.identifier = root.object("identifier").text("value");
  // Names have no case (RFC 4343), and ours are lower.
  for (char& c : authorization.identifier)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  authorization.wildcard = root.optional_flag("wildcard");
  std::vector<JsonObject> challenges = root.objects("challenges");
  if (auto checked = document->check(); !checked) return fail(checked.error());
  // After the check, so that nothing below makes the answer unreadable.
  authorization.expires = root.optional_text("expires");
  for (const JsonObject& item : challenges) authorization.challenges.push_back(read_challenge(item));
  return authorization;
}

// The answer is the challenge (RFC 8555 §7.5.1). A proxy's page says that the CA never heard of it.
Result<void> check_triggered(const HttpResponse& response, const std::string& url) {
  if (JsonDocument::parse(response.body, "")) return {};
  return fail(ErrorCode::Protocol, "challenge ({}): the answer is no challenge but \"{}\": {}", url,
              base::printable(media_type(response), kMostOfType), base::printable(response.body, kExcerpt));
}

}  // namespace

std::string Authorization::name() const {
  std::string shown = base::printable(identifier, 260);
  return wildcard ? "*." + shown : shown;
}

const Challenge* Authorization::find(std::string_view type) const {
  auto found = std::find_if(challenges.begin(), challenges.end(), [&](const Challenge& c) { return c.type == type; });
  return found == challenges.end() ? nullptr : &*found;
}

std::string Authorization::failure() const {
  std::string out;
  for (const Challenge& challenge : challenges) {
    if (challenge.error) out += (out.empty() ? "" : "; ") + challenge.error->summary();
  }
  return out;
}

Result<std::vector<Authorization>> fetch_authorizations(Session& session, const std::vector<std::string>& urls) {
  std::vector<Post> posts;
  posts.reserve(urls.size());
  for (const std::string& url : urls) posts.push_back(Post{url, "", "authorization", "", Post::Signer::Account});
  auto responses = session.post(posts);
  std::vector<Authorization> authorizations;
  for (std::size_t i = 0; i < urls.size(); ++i) {
    if (!responses[i]) return fail(responses[i].error());
    auto authorization = read_authorization(*responses[i], urls[i]);
    if (!authorization) return fail(authorization.error());
    authorizations.push_back(*std::move(authorization));
  }
  return authorizations;
}

std::vector<Result<void>> trigger_challenges(Session& session, const std::vector<std::string>& urls) {
  std::vector<Post> posts;
  posts.reserve(urls.size());
  // RFC 8555 §7.5.1: the payload is exactly an empty object.
  for (const std::string& url : urls) posts.push_back(Post{url, "{}", "challenge", "", Post::Signer::Account});
  auto responses = session.post(posts);
  std::vector<Result<void>> results;
  results.reserve(urls.size());
  for (std::size_t i = 0; i < urls.size(); ++i)
    results.push_back(responses[i] ? check_triggered(*responses[i], urls[i]) : fail(responses[i].error()));
  return results;
}

void deactivate_authorizations(Session& session, const std::vector<std::string>& urls) {
  std::vector<Post> posts;
  posts.reserve(urls.size());
  for (const std::string& url : urls)
    posts.push_back(Post{url, R"({"status":"deactivated"})", "authorization", "", Post::Signer::Account});
  // The CA forgets them on its own, too.
  static_cast<void>(session.post(posts));
}

Result<std::string> key_authorization(const std::string& token, const std::string& thumbprint) {
  bool good = std::all_of(token.begin(), token.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  // RFC 8555 §8.1, §11.3: a token of other characters could smuggle something into what is published.
  if (token.empty() || !good)
    return fail(ErrorCode::Protocol, "the challenge's token \"{}\" is not base64url", base::printable(token, 80));
  return token + "." + thumbprint;
}

std::string dns01_value(const std::string& key_authorization_text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(octets_of(key_authorization_text), key_authorization_text.size(), digest.data());
  return base::base64url_encode(std::as_bytes(std::span(digest)));
}

}  // namespace countersign::acme
