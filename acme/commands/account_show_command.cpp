// `account show` and `account orders`: what there is.
#include <boost/json.hpp>
#include <future>
#include <set>

#include "acme/commands/ca.hpp"
#include "acme/commands/caa_records.hpp"
#include "acme/protocol/order.hpp"
#include "acme/state/certificate_names.hpp"
#include "acme/state/certificate_store.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

ExitStatus failed(const Context& context, const base::Error& error) {
  return fail_with(context.terminal, context.options, error);
}

// What the CA says goes to the disk, too.
Result<void> refresh(const Context& context, const AccountStore& store, const std::string& directory_url) {
  auto session = open_session(context, directory_url);
  if (!session) return fail(session.error());
  if (auto used = store.use_existing(*session); !used) return used;
  auto account = fetch_account(*session);
  if (!account) return fail(account.error());
  return store.note(*session, *account);
}

// RFC 8657 §4 names the methods as the challenges are named.
const char* method_text(conf::ChallengeType type) {
  switch (type) {
    case conf::ChallengeType::Dns01:
      return "dns-01";
    case conf::ChallengeType::DnsAccount01:
      return "dns-account-01";
    case conf::ChallengeType::DnsPersist01:
      return "dns-persist-01";
  }
  return "";
}

// The names that this account has certificates for here, and by which methods.
Result<void> add_certificates(const Context& context, const std::string& directory_url, CaaWish& wish) {
  std::set<std::string> methods{method_text(context.config.acme.challenge)};
  std::filesystem::path acme = context.config.state_dir / "acme";
  auto names = certificate_names(acme);
  if (!names) return fail(names.error());
  auto store = names->empty() ? Result<CertificateStore>(fail(ErrorCode::NotFound, "")) : CertificateStore::open(acme);
  if (!store && !names->empty()) return fail(store.error());
  for (const std::string& name : *names) {
    auto record = store->load(name);
    // One broken file hides none of the others.
    if (!record) context.terminal.warning(record.error().message);
    if (!record || !*record || (*record)->directory_url != directory_url) continue;
    wish.names.insert(wish.names.end(), (*record)->names.begin(), (*record)->names.end());
    if ((*record)->options.challenge) methods.insert(method_text(*(*record)->options.challenge));
  }
  wish.methods.assign(methods.begin(), methods.end());
  return {};
}

ExitStatus show_caa(const Context& context, const AccountShowCommand& command) {
  auto ca = open_account(context, command.ca);
  if (!ca) return failed(context, ca.error());
  CaaWish wish;
  wish.identities = ca->session.directory().caa_identities;
  wish.account_url = ca->session.account_url();
  if (auto added = add_certificates(context, ca->directory_url, wish); !added) return failed(context, added.error());
  auto records = caa_records(wish);
  if (!records) return failed(context, records.error());
  json::array list;
  for (const CaaRecord& record : *records) {
    list.push_back({{"name", record.name},
                    {"type", "CAA"},
                    {"flags", 0},
                    {"tag", record.tag},
                    {"value", record.value},
                    {"record", record.line()}});
    if (!context.options.json) context.terminal.result(record.line());
  }
  if (context.options.json) context.terminal.result(json::serialize(list));
  context.terminal.note(context.terminal.shade(
      Shade::Faint,
      fmt::format("{}these also hold for wildcards, unless the name has issuewild records; other CAs and accounts need "
                  "records of their own",
                  wish.names.empty() ? "put your domain in DOMAIN's place; " : "")));
  return ExitStatus::Done;
}

const char* status_text(OrderStatus status) {
  switch (status) {
    case OrderStatus::Pending:
      return "pending";
    case OrderStatus::Ready:
      return "ready";
    case OrderStatus::Processing:
      return "processing";
    case OrderStatus::Valid:
      return "valid";
    case OrderStatus::Invalid:
      return "invalid";
  }
  return "";
}

std::vector<Result<Order>> fetch_orders(Session& session, const std::vector<std::string>& urls) {
  std::vector<Result<Order>> orders;
  for (std::size_t begin = 0; begin < urls.size(); begin += Session::kWindow) {
    std::vector<std::future<Result<Order>>> under_way;
    for (std::size_t i = begin; i < std::min(urls.size(), begin + Session::kWindow); ++i)
      under_way.push_back(
          std::async(std::launch::async, [&session, &url = urls[i]] { return fetch_order(session, url); }));
    for (auto& order : under_way) orders.push_back(order.get());
  }
  return orders;
}

json::object document_of(const Order& order) {
  return {{"url", order.url},
          {"status", status_text(order.status)},
          {"names", json::array(order.identifiers.begin(), order.identifiers.end())},
          {"expires", order.expires.empty() ? json::value(nullptr) : json::value(order.expires)},
          {"error", order.error ? json::value(order.error->describe()) : json::value(nullptr)}};
}

std::vector<std::string> row_of(const Order& order) {
  std::string names;
  for (const std::string& name : order.identifiers) names += (names.empty() ? "" : " ") + harmless(name);
  return {status_text(order.status), order.expires.empty() ? "-" : harmless(order.expires), harmless(order.url), names};
}

}  // namespace

ExitStatus run(const Context& context, const AccountShowCommand& command) {
  if (command.caa) return show_caa(context, command);
  auto url = chosen_directory(context, command.ca);
  if (!url) return failed(context, url.error());
  auto store = open_accounts(context, *url);
  if (!store) return failed(context, store.error());
  auto asked = refresh(context, *store, *url);
  auto view = view_account(*store);
  // Without anything on the disk, what the CA or the store said is all there is.
  if (!view) return failed(context, asked || view.error().code != ErrorCode::NotFound ? view.error() : asked.error());
  view->from_ca = asked.has_value();
  context.terminal.result(context.options.json ? account_json(*view, "") : account_text(*view));
  if (asked) return ExitStatus::Done;
  context.terminal.warning(fmt::format("this is what the disk says: {}", asked.error().message));
  bool unreachable = asked.error().code == ErrorCode::Unavailable || asked.error().code == ErrorCode::Timeout;
  return unreachable ? ExitStatus::Done : exit_status(asked.error().code);
}

ExitStatus run(const Context& context, const AccountOrdersCommand& command) {
  auto ca = open_account(context, command.ca);
  if (!ca) return failed(context, ca.error());
  auto account = fetch_account(ca->session);
  if (!account) return failed(context, account.error());
  auto urls = list_orders(ca->session, *account);
  if (!urls) return failed(context, urls.error());
  json::array list;
  std::vector<std::vector<std::string>> rows;
  bool complete = true;
  for (const auto& order : fetch_orders(ca->session, *urls)) {
    if (order) {
      list.push_back(document_of(*order));
      rows.push_back(row_of(*order));
      continue;
    }
    // One that the CA has forgotten hides none of the others.
    context.terminal.error(order.error().message);
    complete = false;
  }
  if (context.options.json) {
    context.terminal.result(json::serialize(list));
  } else if (rows.empty()) {
    context.terminal.note(complete ? "the CA lists no orders of this account" : "no order could be read");
  } else {
    std::string text = table_text(rows);
    text.pop_back();
    context.terminal.result(text);
  }
  return complete ? ExitStatus::Done : ExitStatus::Failed;
}

}  // namespace countersign::acme
