#include "acme/protocol/account.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>

#include "acme/protocol/json.hpp"
#include "acme/protocol/jws.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMostPages = 100;  // of a list of orders; a CA with more has lost its way

boost::json::value json_list(const std::vector<std::string>& texts) {
  return boost::json::array(texts.begin(), texts.end());
}

Result<Account> read_account(const HttpResponse& response, const std::string& url, const std::string& what) {
  auto document = JsonDocument::parse(response.body, what);
  if (!document) return fail(document.error());
  JsonObject root = document->root();
  Account account;
  account.url = url;
  account.status = base::printable(root.text("status"), 60);
  if (auto checked = document->check(); !checked) return fail(checked.error());
  // After the check: both are only shown, and an account is usable without them.
  account.contact = root.optional_texts("contact");
  account.orders = root.optional_text("orders");
  return account;
}

Result<Account> post_new_account(Session& session, const boost::json::object& payload, const char* what) {
  const std::string& url = session.directory().new_account;
  auto response = session.post(Post{url, boost::json::serialize(payload), what, "", Post::Signer::BareKey});
  if (!response) return fail(response.error());
  std::string location = response->header("location");
  if (location.empty())
    return fail(ErrorCode::Protocol, "{} ({}): the answer has no Location (RFC 8555 §7.3)", what, url);
  if (auto checked = check_resource_url(location, session.directory()); !checked)
    return fail(ErrorCode::Protocol, "{} ({}): Location: {}", what, url, checked.error().message);
  auto account = read_account(*response, location, fmt::format("{} ({})", what, url));
  if (!account) return account;
  if (account->status != "valid")
    return fail(ErrorCode::Refused, "the account {} is {}; remove its folder under acme/accounts to make a new one",
                account->url, account->status);
  session.set_account(account->url);
  return account;
}

Result<Account> post_account(Session& session, const std::string& payload, const char* what,
                             Problem* problem = nullptr) {
  const std::string& url = session.account_url();
  auto response = session.post(Post{url, payload, what, "", Post::Signer::Account, kMaxJson, problem});
  if (!response) return fail(response.error());
  return read_account(*response, url, fmt::format("{} ({})", what, url));
}

// One page of the list: its orders are appended, the URL of the next page is given back ("" = it was the last).
Result<std::string> read_orders_page(const Session& session, const HttpResponse& response, const std::string& url,
                                     std::vector<std::string>& orders) {
  auto document = JsonDocument::parse(response.body, fmt::format("orders ({})", url));
  if (!document) return fail(document.error());
  std::vector<std::string> page = document->root().texts("orders");
  if (auto checked = document->check(); !checked) return fail(checked.error());
  for (std::string& order : page) {
    if (auto checked = check_resource_url(order, session.directory()); !checked)
      return fail(ErrorCode::Protocol, "orders ({}): {}", url, checked.error().message);
    orders.push_back(std::move(order));
  }
  auto next = links(response, "next");
  if (next.empty()) return std::string();
  if (auto checked = check_resource_url(next.front(), session.directory()); !checked)
    return fail(ErrorCode::Protocol, "orders ({}): the link to the next page: {}", url, checked.error().message);
  return next.front();
}

}  // namespace

Result<Account> new_account(Session& session, const NewAccount& wanted) {
  const Directory& directory = session.directory();
  if (directory.external_account_required && !wanted.binding)
    return fail(ErrorCode::Refused,
                "the CA {} makes accounts only for its customers (external account binding, RFC 8555 §7.3.4); give the "
                "key identifier and key that it hands out: --eab-kid and --eab-hmac-key-file of `countersign account "
                "register`, or acme.eab",
                directory.url);
  // RFC 8555 §7.3.3: a person agrees, never the program.
  if (!directory.terms_of_service.empty() && wanted.terms == Terms::NotAgreed)
    return fail(ErrorCode::Refused,
                "the CA {} has terms of service: {}; read them, then agree with --agree-tos or acme.agree_tos = true",
                directory.url, base::printable(directory.terms_of_service));
  boost::json::object payload;
  if (wanted.terms == Terms::Agreed) payload["termsOfServiceAgreed"] = true;
  if (!wanted.contact.empty()) payload["contact"] = json_list(wanted.contact);
  if (wanted.binding) {
    auto binding = bind_external_account(*wanted.binding, session.key(), directory.new_account);
    if (!binding) return fail(binding.error());
    payload["externalAccountBinding"] = boost::json::parse(*binding);
  }
  return post_new_account(session, payload, "newAccount");
}

Result<Account> find_account(Session& session) {
  return post_new_account(session, {{"onlyReturnExisting", true}}, "newAccount, only existing");
}

Result<Account> fetch_account(Session& session, Problem* problem) {
  return post_account(session, "", "account", problem);
}

Result<Account> update_contact(Session& session, const std::vector<std::string>& contact) {
  return post_account(session, boost::json::serialize(boost::json::object{{"contact", json_list(contact)}}),
                      "account update");
}

Result<Account> deactivate_account(Session& session) {
  auto account = post_account(session, R"({"status":"deactivated"})", "account deactivation");
  if (account && account->status != "deactivated")
    return fail(ErrorCode::Protocol,
                "account deactivation ({}): the CA took the request, but says that the account is still \"{}\"; try "
                "again, and ask the CA if it stays so",
                account->url, account->status);
  return account;
}

Result<std::vector<std::string>> list_orders(Session& session, const Account& account) {
  if (account.orders.empty())
    return fail(ErrorCode::NotFound, "the CA {} keeps no list of orders for the account {} (RFC 8555 §7.1.2.1)",
                session.directory().url, account.url);
  if (auto checked = check_resource_url(account.orders, session.directory()); !checked)
    return fail(ErrorCode::Protocol, "account ({}): its list of orders: {}", account.url, checked.error().message);
  std::vector<std::string> orders;
  std::set<std::string> seen;
  std::string url = account.orders;
  while (!url.empty()) {
    if (!seen.insert(url).second)
      return fail(ErrorCode::Protocol, "orders ({}): the pages lead in a circle, back to {}", account.orders, url);
    if (seen.size() > kMostPages)
      return fail(ErrorCode::Protocol, "orders ({}): more than {} pages", account.orders, kMostPages);
    auto response = session.post(Post{url, "", "orders", "", Post::Signer::Account});
    if (!response) return fail(response.error());
    auto next = read_orders_page(session, *response, url, orders);
    if (!next) return fail(next.error());
    url = *std::move(next);
  }
  return orders;
}

Result<void> change_key(Session& session, const PrivateKey& next) {
  const std::string& url = session.directory().key_change;
  if (url.empty())
    return fail(ErrorCode::NotFound, "the CA {} cannot change an account's key (its directory has no keyChange)",
                session.directory().url);
  if (next.public_key() == session.key().public_key())
    return fail(ErrorCode::Invalid, "the new account key is the one in use");
  auto old_key = session.key().jwk();
  if (!old_key) return fail(old_key.error());
  boost::json::object payload{{"account", session.account_url()}, {"oldKey", boost::json::parse(*old_key)}};
  // RFC 8555 §7.3.5: the inner JWS is signed by the new key, which it names whole, for the same URL and without a
  // nonce.
  auto inner = sign_jws(next, {url, "", ""}, boost::json::serialize(payload));
  if (!inner) return fail(inner.error());
  Problem problem;
  auto response = session.post(Post{url, *inner, "keyChange", "", Post::Signer::Account, kMaxJson, &problem});
  if (response) return {};
  if (problem.status == 409)
    return fail(ErrorCode::Exists, "keyChange ({}): the new key is already that of the account {}; make another key",
                url, problem.location.empty() ? "of somebody" : base::printable(problem.location, 200));
  return fail(response.error());
}

}  // namespace countersign::acme
