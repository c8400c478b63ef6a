#include "acme/issue/issue.hpp"

#include <algorithm>
#include <future>
#include <set>

#include "acme/issue/account_store.hpp"
#include "acme/issue/certificate_store.hpp"
#include "acme/issue/daemon_publisher.hpp"
#include "acme/issue/issue_flow.hpp"
#include "acme/issue/run_lock.hpp"
#include "acme/issue/steps.hpp"
#include "acme/protocol/directory.hpp"
#include "base/clock.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

const char* key_type_text(conf::KeyType type) {
  switch (type) {
    case conf::KeyType::P256:
      return "p256";
    case conf::KeyType::P384:
      return "p384";
    case conf::KeyType::Rsa2048:
      return "rsa2048";
    case conf::KeyType::Rsa3072:
      return "rsa3072";
    case conf::KeyType::Rsa4096:
      break;
  }
  return "rsa4096";
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

// Every name that lacks its delegation, each with what is wrong and the record to add, on lines of their own.
base::Error missing_delegations(const std::vector<Delegation>& delegations) {
  std::size_t missing = 0;
  std::string lines;
  std::set<std::string> told;
  for (const Delegation& delegation : delegations) {
    if (delegation.zone) continue;
    ++missing;
    if (!told.insert(delegation.challenge_name.text()).second) continue;  // x and *.x lack the same record
    lines += fmt::format("\n{}: {}", delegation.identifier.text(), delegation.problem);
    if (!delegation.remedy.empty()) lines += "\n" + delegation.remedy;
  }
  return {ErrorCode::NotFound, fmt::format("the challenges of {} of {} cannot be answered, so nothing was ordered; add "
                                           "what follows to the DNS, then run it again{}",
                                           missing, counted(delegations.size(), "name"), lines)};
}

// The values live in `run`, the files in `store`; what both need is here.
class IssueRun {
 public:
  IssueRun(const conf::Config& config, const IssueRequest& request, const IssueCallbacks& callbacks,
           IssueSurroundings surroundings)
      : config_(config), request_(request), surroundings_(surroundings), steps_(callbacks) {
    for (const DnsIdentifier& identifier : request.identifiers) names_.push_back(identifier.text());
  }

  Result<IssueOutcome> run();

 private:
  using Opening = std::future<Result<Session>>;

  [[nodiscard]] Result<void> choose_name();
  [[nodiscard]] Result<void> check_record();
  [[nodiscard]] std::optional<IssueOutcome> leave_alone();
  void sweep_leftovers();
  [[nodiscard]] Opening open_session() const;
  [[nodiscard]] Result<std::vector<Delegation>> follow();
  [[nodiscard]] Result<Order> order(Session& session);
  [[nodiscard]] Result<IssueOutcome> issue_order(Session& session, const OrderPlan& plan);
  [[nodiscard]] Result<IssueOutcome> install(const IssuedCertificate& issued, const std::string& order_url);
  [[nodiscard]] IssueOutcome outcome(const CertificateChain& chain) const;
  void forget_pending(bool withdrawn);

  const conf::Config& config_;
  const IssueRequest& request_;
  IssueSurroundings surroundings_;
  Steps steps_;
  std::vector<std::string> names_;
  std::string cert_name_;
  std::string directory_url_;
  std::optional<CertificateStore> store_;
  CertificateRecord record_;
};

Result<IssueOutcome> IssueRun::run() {
  if (names_.empty()) return fail(ErrorCode::Invalid, "no domain name given");
  if (auto chosen = choose_name(); !chosen) return fail(chosen.error());
  auto url = directory_url(config_.acme.ca);
  if (!url) return fail(url.error());
  directory_url_ = *std::move(url);
  auto store = CertificateStore::open(config_.state_dir / "acme");
  if (!store) {
    const char* hint = store.error().code == ErrorCode::Denied ? "; run it as root, or set state_dir" : "";
    return fail(store.error().code, "{}{}", store.error().message, hint);
  }
  store_ = *std::move(store);
  auto lock = RunLock::take(store_->lock_file(cert_name_), fmt::format("the certificate \"{}\"", cert_name_));
  if (!lock) return fail(lock.error());
  if (auto checked = check_record(); !checked) return fail(checked.error());
  if (auto there = leave_alone()) return *std::move(there);

  // The CA's directory and the delegations have nothing to do with each other.
  Opening opening = open_session();
  auto delegations = follow();
  auto session = opening.get();
  if (!delegations) return fail(delegations.error());
  if (!session) return fail(session.error());
  return issue_order(*session, {request_.identifiers, *std::move(delegations), config_.acme.key_type});
}

Result<void> IssueRun::choose_name() {
  cert_name_ = request_.cert_name.empty() ? request_.identifiers.front().base_text() : request_.cert_name;
  return check_cert_name(cert_name_);
}

Result<void> IssueRun::check_record() {
  auto loaded = store_->load(cert_name_);
  if (!loaded) return fail(loaded.error());
  if (!*loaded) return {};
  record_ = **std::move(loaded);
  bool may_change = request_.cert_name_given || request_.when_valid == WhenValid::IssueAgain;
  if (record_.archive.empty() || may_change || same_set(record_.names, names_)) return {};
  return fail(
      ErrorCode::Exists,
      "the certificate \"{}\" exists with other names ({}); give --cert-name {} or --force to replace it by one for "
      "\"{}\", or another --cert-name to keep both",
      cert_name_, joined(record_.names), cert_name_, joined(names_));
}

std::optional<IssueOutcome> IssueRun::leave_alone() {
  if (request_.when_valid == WhenValid::IssueAgain || !same_set(record_.names, names_)) return std::nullopt;
  auto chain = store_->live_chain(cert_name_);
  std::vector<std::string> sorted = names_;
  std::sort(sorted.begin(), sorted.end());
  if (!chain || chain->names() != sorted) return std::nullopt;
  if (base::SystemClock().wall() >= renewal_time(chain->not_before(), chain->not_after())) return std::nullopt;
  if (record_.directory_url != directory_url_)
    steps_.warn(fmt::format("the certificate \"{}\" is from {}, not from {}; give --force to have a new one",
                            cert_name_, record_.directory_url, directory_url_));
  if (!record_.published.empty()) sweep_leftovers();
  IssueOutcome there = outcome(*chain);
  there.left_alone = true;
  return there;
}

// A run that was killed may have left its values behind.
void IssueRun::sweep_leftovers() {
  if (record_.published.empty()) return;
  auto removed = surroundings_.publisher.withdraw(record_.published);
  if (!removed) steps_.warn(fmt::format("values of an earlier run may still be served: {}", removed.error().message));
  forget_pending(removed.has_value());
}

IssueRun::Opening IssueRun::open_session() const {
  HttpOptions options;
  options.ca_bundle = config_.acme.ca_bundle;
  return std::async(std::launch::async, [url = directory_url_, options, count = names_.size()]() {
    auto session = Session::open(url, options);
    // newOrder needs one, the authorizations one each.
    if (session) session->prefetch_nonces(count);
    return session;
  });
}

Result<std::vector<Delegation>> IssueRun::follow() {
  sweep_leftovers();
  auto delegations = surroundings_.publisher.locate(request_.identifiers);
  if (!delegations) return delegations;
  bool missing = std::any_of(delegations->begin(), delegations->end(), [](const Delegation& d) { return !d.zone; });
  if (missing) return fail(missing_delegations(*delegations));
  for (const Delegation& delegation : *delegations)
    if (!delegation.warning.empty()) steps_.warn(delegation.warning);
  std::set<std::string> zones;
  for (const Delegation& delegation : *delegations) zones.insert(delegation.zone->text());
  steps_.done("delegation",
              fmt::format("{} into {}", counted(names_.size(), "name"), joined({zones.begin(), zones.end()})));
  return delegations;
}

Result<Order> IssueRun::order(Session& session) {
  auto accounts = AccountStore::open(config_.state_dir / "acme", directory_url_);
  if (!accounts) return fail(accounts.error());
  AccountStore::Consent consent{config_.acme.contact, config_.acme.agree_tos ? Terms::Agreed : Terms::NotAgreed};
  auto account = accounts->use(session, consent);
  if (!account) return fail(account.error());
  steps_.done("account", *account);
  auto order = new_order(session, names_);
  if (order || order.error().code != ErrorCode::NotFound) return order;
  steps_.warn(fmt::format("the CA does not know the account {} any more", session.account_url()));
  account = accounts->make_again(session, consent);
  if (!account) return fail(account.error());
  steps_.done("account", *account);
  return new_order(session, names_);
}

Result<IssueOutcome> IssueRun::issue_order(Session& session, const OrderPlan& plan) {
  auto placed = order(session);
  if (!placed) return fail(placed.error());
  std::string order_url = placed->url;
  auto before_publish = [&](const std::vector<TxtValue>& values) {
    record_.pending_order_url = order_url;
    record_.published = values;
    if (record_.archive.empty()) record_.names = names_;
    return store_->save(cert_name_, record_);
  };
  OrderRun run(session, surroundings_.publisher, steps_, surroundings_.budgets);
  auto issued = run.run(*std::move(placed), plan, before_publish);
  bool withdrawn = run.withdraw();
  if (issued) {
    if (withdrawn) record_.published.clear();
    return install(*issued, order_url);
  }
  forget_pending(withdrawn);
  return fail(issued.error());
}

Result<IssueOutcome> IssueRun::install(const IssuedCertificate& issued, const std::string& order_url) {
  auto archive = store_->write_archive(cert_name_, issued.key, issued.chain, base::SystemClock().wall());
  CertificateRecord before = record_;
  Result<void> switched;
  if (archive) {
    record_.names = names_;
    record_.directory_url = directory_url_;
    record_.key_type = key_type_text(config_.acme.key_type);
    record_.order_url = order_url;
    record_.archive = *archive;
    record_.not_before = base::format_rfc3339(issued.chain.not_before());
    record_.not_after = base::format_rfc3339(issued.chain.not_after());
    record_.serial = issued.chain.serial();
    record_.issuer = issued.chain.issuer();
    record_.pending_order_url.clear();
    switched = store_->switch_live(cert_name_, record_);
  } else {
    switched = fail(archive.error());
  }
  if (!switched) {
    record_ = std::move(before);
    forget_pending(record_.published.empty());
    return fail(switched.error().code, "the certificate was issued but cannot be installed: {}",
                switched.error().message);
  }
  steps_.done("install", store_->live(cert_name_).string());
  return outcome(issued.chain);
}

IssueOutcome IssueRun::outcome(const CertificateChain& chain) const {
  IssueOutcome out;
  out.cert_name = cert_name_;
  out.directory = store_->live(cert_name_);
  out.names = names_;
  out.not_after = base::format_rfc3339(chain.not_after());
  out.issuer = chain.issuer();
  out.warnings = steps_.warnings();
  return out;
}

// The order came to nothing. Values that could not be removed stay noted for the next run.
void IssueRun::forget_pending(bool withdrawn) {
  if (record_.pending_order_url.empty() && record_.published.empty()) return;
  record_.pending_order_url.clear();
  if (withdrawn) record_.published.clear();
  bool nothing_left = record_.archive.empty() && record_.published.empty();
  auto done = nothing_left ? store_->forget(cert_name_) : store_->save(cert_name_, record_);
  if (!done) steps_.warn(done.error().message);
}

}  // namespace

Result<IssueOutcome> issue_with(const conf::Config& config, const IssueRequest& request,
                                const IssueCallbacks& callbacks, IssueSurroundings surroundings) {
  return IssueRun(config, request, callbacks, surroundings).run();
}

Result<IssueOutcome> issue(const conf::Config& config, const IssueRequest& request, const IssueCallbacks& callbacks) {
  DaemonPublisher publisher(config);
  return issue_with(config, request, callbacks, {publisher, Budgets{}});
}

}  // namespace countersign::acme
