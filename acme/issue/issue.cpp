#include "acme/issue/issue.hpp"

#include <algorithm>
#include <future>
#include <set>
#include <utility>

#include "acme/issue/account_store.hpp"
#include "acme/issue/certificate_store.hpp"
#include "acme/issue/daemon_publisher.hpp"
#include "acme/issue/issue_flow.hpp"
#include "acme/issue/missing_delegations.hpp"
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

// The CA, or what is stored, says no: another try ends the same way.
bool is_final(ErrorCode code) {
  return code == ErrorCode::Refused || code == ErrorCode::Protocol || code == ErrorCode::NotFound ||
         code == ErrorCode::Invalid;
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
  [[nodiscard]] AccountStore::Consent consent() const;
  [[nodiscard]] Result<void> use_account(Session& session);
  [[nodiscard]] bool may_resume() const;
  [[nodiscard]] std::optional<Result<IssueOutcome>> resume(Session& session);
  [[nodiscard]] Result<CertificateChain> resume_order(Session& session);
  [[nodiscard]] Result<Order> order(Session& session);
  [[nodiscard]] OrderNotes notes();
  [[nodiscard]] Result<IssueOutcome> issue_order(Session& session, const OrderPlan& plan);
  void adopt_pending(const CertificateChain& chain);
  [[nodiscard]] Result<IssueOutcome> install(const CertificateChain& chain);
  [[nodiscard]] IssueOutcome outcome(const CertificateChain& chain) const;
  void discard_pending();
  void save_record();

  const conf::Config& config_;
  const IssueRequest& request_;
  IssueSurroundings surroundings_;
  Steps steps_;
  std::vector<std::string> names_;
  std::string cert_name_;
  std::string directory_url_;
  std::optional<CertificateStore> store_;
  CertificateRecord record_;
  std::vector<TxtValue> leftovers_;  // of earlier runs, and not to be removed now
  bool noted_ = false;               // this run wrote the record
};

Result<IssueOutcome> IssueRun::run() {
  if (names_.empty()) return fail(ErrorCode::Usage, "no domain name given");
  if (auto chosen = choose_name(); !chosen) return fail(chosen.error());
  auto url = directory_url(config_.acme.ca);
  if (!url) return fail(ErrorCode::Usage, "{}", url.error().message);
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
  sweep_leftovers();
  std::optional<Result<Session>> session;
  if (may_resume()) {
    session = opening.get();
    if (!*session) return fail(session->error());
    if (auto resumed = resume(**session)) return *std::move(resumed);
  }
  auto delegations = follow();
  if (!session) session = opening.get();
  if (!delegations) return fail(delegations.error());
  if (!*session) return fail(session->error());
  return issue_order(**session, {request_.identifiers, *std::move(delegations)});
}

Result<void> IssueRun::choose_name() {
  cert_name_ = request_.cert_name.empty() ? request_.identifiers.front().base_text() : request_.cert_name;
  auto checked = check_cert_name(cert_name_);
  if (!checked) return fail(ErrorCode::Usage, "{}", checked.error().message);
  return {};
}

Result<void> IssueRun::check_record() {
  auto loaded = store_->load(cert_name_);
  if (!loaded) return fail(loaded.error());
  if (!*loaded) return {};
  record_ = **std::move(loaded);
  if (record_.pending && store_->is_live(cert_name_, record_.pending->archive)) {
    // It was switched to, but the record could not be saved. Its folder is in use: never to be gone on with.
    auto chain = store_->live_chain(cert_name_);
    if (chain) adopt_pending(*chain);
    record_.pending.reset();
    save_record();
  }
  bool may_change = request_.cert_name_given || request_.when_valid == WhenValid::IssueAgain;
  if (record_.archive.empty() || may_change || same_set(record_.names, names_)) return {};
  return fail(
      ErrorCode::Usage,
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
  sweep_leftovers();
  IssueOutcome there = outcome(*chain);
  there.left_alone = true;
  return there;
}

// A run that was killed may have left its values behind.
void IssueRun::sweep_leftovers() {
  if (record_.published.empty()) return;
  auto removed = surroundings_.publisher.withdraw(record_.published);
  if (!removed) {
    steps_.warn(fmt::format("values of an earlier run may still be served: {}", removed.error().message));
    leftovers_ = record_.published;
    return;
  }
  record_.published.clear();
  save_record();
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

AccountStore::Consent IssueRun::consent() const {
  return {config_.acme.contact, config_.acme.agree_tos ? Terms::Agreed : Terms::NotAgreed};
}

Result<void> IssueRun::use_account(Session& session) {
  if (!session.account_url().empty()) return {};
  auto accounts = AccountStore::open(config_.state_dir / "acme", directory_url_);
  if (!accounts) return fail(accounts.error());
  auto account = accounts->use(session, consent());
  if (!account) return fail(account.error());
  steps_.done("account", *account);
  return {};
}

bool IssueRun::may_resume() const {
  return record_.pending && same_set(record_.pending->names, names_) &&
         record_.pending->directory_url == directory_url_ &&
         record_.pending->key_type == key_type_text(config_.acme.key_type);
}

// Absent: there is nothing to go on with any more.
std::optional<Result<IssueOutcome>> IssueRun::resume(Session& session) {
  if (auto used = use_account(session); !used) return fail(used.error());
  auto chain = resume_order(session);
  if (chain) return install(*chain);
  if (!is_final(chain.error().code)) return fail(chain.error());
  steps_.warn(fmt::format("the order that an earlier run left unfinished is given up: {}", chain.error().message));
  discard_pending();
  save_record();
  return std::nullopt;
}

Result<CertificateChain> IssueRun::resume_order(Session& session) {
  if (session.account_url() != record_.pending->account_url)
    return fail(ErrorCode::NotFound, "order ({}): it is of the account {}", record_.pending->url,
                record_.pending->account_url);
  auto order = fetch_order(session, record_.pending->url);
  if (!order) return fail(order.error());
  OrderNotes again;
  again.make_key = [store = *store_, name = cert_name_, issuance = record_.pending->archive] {
    return store.read_key(name, issuance);
  };
  OrderRun run(session, surroundings_.publisher, steps_, surroundings_.budgets);
  return run.resume(*std::move(order), {request_.identifiers, {}}, again);
}

Result<Order> IssueRun::order(Session& session) {
  if (auto used = use_account(session); !used) return fail(used.error());
  auto order = new_order(session, names_);
  if (order || order.error().code != ErrorCode::NotFound) return order;
  steps_.warn(fmt::format("the CA does not know the account {} any more", session.account_url()));
  auto accounts = AccountStore::open(config_.state_dir / "acme", directory_url_);
  if (!accounts) return fail(accounts.error());
  auto account = accounts->make_again(session, consent());
  if (!account) return fail(account.error());
  steps_.done("account", *account);
  return new_order(session, names_);
}

OrderNotes IssueRun::notes() {
  OrderNotes notes;
  notes.make_key = [store = *store_, name = cert_name_, issuance = record_.pending->archive,
                    type = config_.acme.key_type]() -> Result<PrivateKey> {
    auto key = PrivateKey::generate(type);
    if (!key) return key;
    if (auto written = store.write_key(name, issuance, *key); !written) return fail(written.error());
    return key;
  };
  notes.note = [this](const std::vector<TxtValue>& values) {
    record_.published = leftovers_;
    record_.published.insert(record_.published.end(), values.begin(), values.end());
    if (record_.archive.empty()) record_.names = names_;
    noted_ = true;
    return store_->save(cert_name_, record_);
  };
  return notes;
}

Result<IssueOutcome> IssueRun::issue_order(Session& session, const OrderPlan& plan) {
  auto placed = order(session);
  if (!placed) return fail(placed.error());
  discard_pending();
  record_.pending = PendingOrder{placed->url,
                                 names_,
                                 directory_url_,
                                 session.account_url(),
                                 key_type_text(config_.acme.key_type),
                                 CertificateStore::new_issuance(base::SystemClock().wall())};
  OrderRun run(session, surroundings_.publisher, steps_, surroundings_.budgets);
  auto chain = run.run(*std::move(placed), plan, notes());
  if (run.withdraw()) record_.published = leftovers_;
  if (chain) return install(*chain);
  if (!run.may_resume()) discard_pending();
  if (noted_) save_record();
  const char* hint = run.may_resume() ? "; its order and key are kept: run it again to go on" : "";
  return fail(chain.error().code, "{}{}", chain.error().message, hint);
}

// The pending order's certificate becomes the one that the record is about.
void IssueRun::adopt_pending(const CertificateChain& chain) {
  PendingOrder pending = *std::exchange(record_.pending, std::nullopt);
  record_.names = std::move(pending.names);
  record_.directory_url = std::move(pending.directory_url);
  record_.key_type = std::move(pending.key_type);
  record_.order_url = std::move(pending.url);
  record_.archive = std::move(pending.archive);
  record_.not_before = base::format_rfc3339(chain.not_before());
  record_.not_after = base::format_rfc3339(chain.not_after());
  record_.serial = chain.serial();
  record_.issuer = chain.issuer();
}

Result<IssueOutcome> IssueRun::install(const CertificateChain& chain) {
  CertificateRecord before = record_;
  auto done = store_->write_chain(cert_name_, record_.pending->archive, chain);
  if (done) {
    adopt_pending(chain);
    done = store_->switch_live(cert_name_, record_);
    if (!done && store_->is_live(cert_name_, record_.archive)) {
      steps_.warn(fmt::format("the certificate is installed, but that cannot be noted: {}", done.error().message));
      done = {};
    }
  }
  if (!done) {
    record_ = std::move(before);
    save_record();
    return fail(done.error().code,
                "the certificate was issued but cannot be installed: {}; its order and key are kept: run it again",
                done.error().message);
  }
  steps_.done("install", store_->live(cert_name_).string());
  return outcome(chain);
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

void IssueRun::discard_pending() {
  if (record_.pending) store_->remove_issuance(cert_name_, record_.pending->archive);
  record_.pending.reset();
}

// What there is to know for the next run; no file when that is nothing.
void IssueRun::save_record() {
  bool nothing = record_.archive.empty() && record_.published.empty() && !record_.pending;
  auto done = nothing ? store_->forget(cert_name_) : store_->save(cert_name_, record_);
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
