#include "acme/commands/caa_records.hpp"

#include <algorithm>

#include "base/name.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string without_wildcard(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

bool is_below(const std::string& name, const std::string& parent) {
  return name.size() > parent.size() && name.ends_with(parent) && name[name.size() - parent.size() - 1] == '.';
}

std::vector<std::string> domains_of(const std::vector<std::string>& names) {
  std::vector<std::string> domains;
  for (const std::string& name : names) domains.push_back(without_wildcard(name));
  std::sort(domains.begin(), domains.end());
  domains.erase(std::unique(domains.begin(), domains.end()), domains.end());
  std::vector<std::string> tops;
  for (const std::string& domain : domains) {
    bool covered =
        std::any_of(domains.begin(), domains.end(), [&](const std::string& other) { return is_below(domain, other); });
    if (!covered) tops.push_back(domain + ".");
  }
  if (tops.empty()) tops.emplace_back("DOMAIN.");
  return tops;
}

// A parameter's value (RFC 8657 §3, after RFC 8659 §4.2): visible ASCII without ";". Quotes and backslashes are left
// out, too: no URL or domain has them, and they mean something in a master file.
bool may_stand_in_value(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return c > ' ' && c <= '~' && c != ';' && c != '"' && c != '\\'; });
}

}  // namespace

std::string CaaRecord::line() const {
  return fmt::format("{} CAA 0 {} \"{}\"", name, tag, value);
}

Result<std::vector<CaaRecord>> caa_records(const CaaWish& wish) {
  if (wish.identities.empty())
    return fail(
        ErrorCode::NotFound,
        "the CA names no CAA identity (caaIdentities in its directory); ask it for the name that it looks for in "
        "CAA records, and add \"accounturi={}\" behind it if it knows RFC 8657",
        wish.account_url);
  if (!may_stand_in_value(wish.account_url))
    return fail(ErrorCode::Protocol, "the account's URL \"{}\" cannot stand in a CAA record (RFC 8657 §3)",
                base::printable(wish.account_url));
  std::string methods;
  for (const std::string& method : wish.methods) methods += (methods.empty() ? "" : ",") + method;
  std::vector<CaaRecord> records;
  for (const std::string& domain : domains_of(wish.names)) {
    for (const std::string& identity : wish.identities) {
      if (!base::Name::parse(identity) || !may_stand_in_value(identity))
        return fail(ErrorCode::Protocol, "the CA's CAA identity \"{}\" is no domain name (RFC 8659 §4.2)",
                    base::printable(identity));
      std::string value = fmt::format("{}; accounturi={}", identity, wish.account_url);
      if (!methods.empty()) value += "; validationmethods=" + methods;
      records.push_back({domain, "issue", std::move(value)});
    }
  }
  return records;
}

}  // namespace countersign::acme
