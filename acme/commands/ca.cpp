#include "acme/commands/ca.hpp"

#include <boost/json.hpp>

#include "acme/state/certificate_record.hpp"
#include "acme/transport/interrupt.hpp"
#include "conf/ca_directories.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : " ") + harmless(text);
  return out;
}

}  // namespace

Result<std::string> chosen_directory(const Context& context, const std::string& ca) {
  auto url = conf::directory_url(ca.empty() ? context.config.acme.ca : ca);
  if (!url) return fail(ErrorCode::Usage, "{}: {}", ca.empty() ? "acme.ca" : "--ca", url.error().message);
  return url;
}

Result<Session> open_session(const Context& context, const std::string& directory_url) {
  install_interrupt_handlers();
  HttpOptions options;
  options.ca_bundle = context.config.acme.ca_bundle;
  return Session::open(directory_url, options);
}

Result<AccountStore> open_accounts(const Context& context, const std::string& directory_url) {
  return AccountStore::open(context.config.state_dir / "acme", directory_url);
}

Result<CaAccount> open_ca(const Context& context, const std::string& ca) {
  auto url = chosen_directory(context, ca);
  if (!url) return fail(url.error());
  auto store = open_accounts(context, *url);
  if (!store) return fail(store.error());
  auto session = open_session(context, *url);
  if (!session) return fail(session.error());
  return CaAccount{*std::move(url), *std::move(store), *std::move(session)};
}

Result<CaAccount> open_account(const Context& context, const std::string& ca) {
  auto opened = open_ca(context, ca);
  if (!opened) return opened;
  if (auto used = opened->store.use_existing(opened->session); !used) return fail(used.error());
  return opened;
}

Result<AccountView> view_account(const AccountStore& store) {
  auto stored = store.stored();
  if (!stored) return fail(stored.error());
  AccountView view;
  view.account = *std::move(stored);
  view.folder = store.folder().string();
  auto key = store.key();
  if (!key) return fail(key.error());
  view.key_type = key_type_text(key->type());
  auto thumbprint = key->thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  view.thumbprint = *std::move(thumbprint);
  return view;
}

std::string account_text(const AccountView& view) {
  const StoredAccount& account = view.account;
  std::string status = harmless(account.status.empty() ? "not known" : account.status);
  if (!view.from_ca) status += fmt::format(" when last asked, {}", harmless(account.written));
  std::vector<std::vector<std::string>> rows{
      {"  CA", harmless(account.directory)},
      {"  status", status},
      {"  contact", account.contact.empty() ? "none" : joined(account.contact)},
      {"  key", fmt::format("{}, thumbprint {}", view.key_type, view.thumbprint)},
      {"  orders", account.orders.empty() ? "no list" : harmless(account.orders)},
      {"  terms", account.terms.empty() ? "none agreed to from here" : harmless(account.terms)}};
  if (!account.terms_agreed.empty()) rows.back()[1] += " (agreed " + harmless(account.terms_agreed) + ")";
  if (!account.eab_kid.empty()) rows.push_back({"  bound to", harmless(account.eab_kid)});
  rows.push_back({"  files", view.folder});
  std::string text = harmless(account.url) + "\n" + table_text(rows);
  text.pop_back();
  return text;
}

std::string account_json(const AccountView& view, const std::string& done) {
  const StoredAccount& account = view.account;
  auto or_null = [](const std::string& text) { return text.empty() ? json::value(nullptr) : json::value(text); };
  json::object document;
  if (!done.empty()) document["done"] = done;
  document["url"] = account.url;
  document["directory"] = account.directory;
  document["status"] = or_null(account.status);
  document["contact"] = json::array(account.contact.begin(), account.contact.end());
  document["key_type"] = view.key_type;
  document["thumbprint"] = view.thumbprint;
  document["orders"] = or_null(account.orders);
  document["terms_of_service_agreed"] = or_null(account.terms);
  document["terms_of_service_agreed_at"] = or_null(account.terms_agreed);
  document["eab_kid"] = or_null(account.eab_kid);
  document["folder"] = view.folder;
  document["source"] = view.from_ca ? "ca" : "disk";
  return json::serialize(document);
}

}  // namespace countersign::acme
