#include "acme/state/account_file.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "acme/protocol/json.hpp"

namespace countersign::acme {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string account_document(const StoredAccount& account) {
  boost::json::object fields{{"url", account.url}, {"directory", account.directory}};
  fields["contact"] = boost::json::array(account.contact.begin(), account.contact.end());
  const std::pair<const char*, const std::string*> optional[] = {
      {"status", &account.status},
      {"orders", &account.orders},
      {"terms_of_service_agreed", &account.terms},
      {"terms_of_service_agreed_at", &account.terms_agreed},
      {"eab_kid", &account.eab_kid},
      {"thumbprint", &account.thumbprint},
  };
  for (const auto& [name, value] : optional)
    if (!value->empty()) fields[name] = *value;
  fields["written"] = account.written;
  return boost::json::serialize(fields) + "\n";
}

Result<StoredAccount> parse_account(const std::string& text, const std::string& source) {
  auto document = JsonDocument::parse(text, source);
  if (!document) return fail(ErrorCode::Invalid, "{}", document.error().message);
  JsonObject root = document->root();
  StoredAccount account;
  account.url = root.text("url");
  account.directory = root.optional_text("directory");
  account.status = root.optional_text("status");
  account.contact = root.optional_texts("contact");
  account.orders = root.optional_text("orders");
  account.terms = root.optional_text("terms_of_service_agreed");
  account.terms_agreed = root.optional_text("terms_of_service_agreed_at");
  account.eab_kid = root.optional_text("eab_kid");
  account.thumbprint = root.optional_text("thumbprint");
  account.written = root.optional_text("written");
  if (auto checked = document->check(); !checked) return fail(ErrorCode::Invalid, "{}", checked.error().message);
  return account;
}

}  // namespace countersign::acme
