#include "acme/protocol/account.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "acme/protocol/json.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<Account> post_account(Session& session, const boost::json::object& payload, const char* what) {
  const std::string& url = session.directory().new_account;
  auto response = session.post(Post{url, boost::json::serialize(payload), what, "", Post::Signer::BareKey});
  if (!response) return fail(response.error());
  Account account;
  account.url = response->header("location");
  if (account.url.empty())
    return fail(ErrorCode::Protocol, "{} ({}): the answer has no Location (RFC 8555 §7.3)", what, url);
  if (auto checked = check_resource_url(account.url, session.directory()); !checked)
    return fail(ErrorCode::Protocol, "{} ({}): Location: {}", what, url, checked.error().message);
  auto document = JsonDocument::parse(response->body, fmt::format("{} ({})", what, url));
  if (!document) return fail(document.error());
  account.status = document->root().text("status");
  account.contact = document->root().optional_texts("contact");
  if (auto checked = document->check(); !checked) return fail(checked.error());
  if (account.status != "valid")
    return fail(ErrorCode::Refused, "the account {} is {}; remove its folder under acme/accounts to make a new one",
                account.url, base::printable(account.status));
  session.set_account(account.url);
  return account;
}

}  // namespace

Result<Account> new_account(Session& session, const std::vector<std::string>& contact, Terms terms) {
  const Directory& directory = session.directory();
  if (directory.external_account_required)
    return fail(
        ErrorCode::Refused,
        "the CA {} makes accounts only for its customers (external account binding, RFC 8555 §7.3.4), which this "
        "version cannot do; set acme.ca to another one",
        directory.url);
  // RFC 8555 §7.3.3: a person agrees, never the program.
  if (!directory.terms_of_service.empty() && terms == Terms::NotAgreed)
    return fail(ErrorCode::Refused,
                "the CA {} has terms of service: {}; read them, then agree with --agree-tos or acme.agree_tos = true",
                directory.url, base::printable(directory.terms_of_service));
  boost::json::object payload;
  if (terms == Terms::Agreed) payload["termsOfServiceAgreed"] = true;
  if (!contact.empty()) payload["contact"] = boost::json::array(contact.begin(), contact.end());
  return post_account(session, payload, "newAccount");
}

Result<Account> find_account(Session& session) {
  return post_account(session, {{"onlyReturnExisting", true}}, "newAccount, only existing");
}

}  // namespace countersign::acme
