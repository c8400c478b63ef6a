// The orders of one certificate's run: placing them, and what comes after one that failed.
#include <algorithm>
#include <set>
#include <utility>

#include "acme/issue/issue_run.hpp"
#include "acme/protocol/csr.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// The problem is the CA's own, or its policy's: another CA may well say yes.
bool is_cas_own(const Problem& problem) {
  for (const char* type : {"caa", "rejectedIdentifier", "rateLimited", "serverInternal", "userActionRequired",
                           "externalAccountRequired", "unsupportedIdentifier", "invalidProfile"})
    if (problem.is(type)) return true;
  return false;
}

bool failed(const NameAttempt& name) {
  return name.problem || (!name.status.empty() && name.status != "valid" && name.status != "pending");
}

// RSA keys take seconds: no more at a time than there is work for.
class KeyTurn {
 public:
  explicit KeyTurn(std::counting_semaphore<>& keys) : keys_(keys) { keys_.acquire(); }
  ~KeyTurn() { keys_.release(); }
  KeyTurn(const KeyTurn&) = delete;
  KeyTurn& operator=(const KeyTurn&) = delete;

 private:
  std::counting_semaphore<>& keys_;
};

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + base::printable(name, 64);
  return out;
}

}  // namespace

Result<void> IssueRun::place_order() {
  for (;;) {
    refusal_ = {};
    stage_ = Stage::Ca;
    auto prepared = prepare_at(ca());
    if (prepared) return {};
    if (auto again = after_failure(prepared.error()); !again) return again;
  }
}

Result<void> IssueRun::check_hold(const std::string& ca) {
  if (request_.holds == Holds::None) return {};
  auto now = base::SystemClock().wall();
  auto kind = request_.holds == Holds::CaOnly ? FailureMemory::HoldKind::SaidByCa : FailureMemory::HoldKind::Any;
  auto hold = house_.failures.hold(ca, wanted_names(), now, kind);
  if (!hold) return {};
  // A name that has to wait for its own failures must not fail at the next CA, too.
  if (!hold->said_by_ca) stage_ = Stage::Here;
  return fail(ErrorCode::Unavailable,
              "\"{}\" failed at {} ({}); nothing is ordered there before {}, so that the CA's limits are not spent; "
              "`countersign issue --force` tries all the same",
              hold->name, ca, hold->reason, base::format_rfc3339(hold->until));
}

Result<void> IssueRun::prepare_at(const std::string& ca) {
  run_.reset();
  if (auto free = check_hold(ca); !free) return free;
  std::shared_ptr<Session> session;
  if (options_.challenge == conf::ChallengeType::DnsAccount01) {
    auto access = house_.cas.account(ca);
    if (!access) return fail(access.error());
    session = access->session;
    if (!access->account.empty()) steps_.done("account", access->account);
  }
  // The CA's directory is on its way meanwhile.
  stage_ = Stage::Here;
  if (auto located = locate(session.get()); !located) return located;
  if (auto ran = run_pre_hooks(); !ran) return ran;
  stage_ = Stage::Ca;
  auto placed = order(session);
  if (!placed) return fail(placed.error());
  discard_pending();
  record_.pending = PendingOrder{placed->url,
                                 wanted_names(),
                                 ca,
                                 session->account_url(),
                                 pending_key_type(),
                                 CertificateStore::new_issuance(base::SystemClock().wall()),
                                 base::format_rfc3339(base::SystemClock().wall()),
                                 dropped_,
                                 given_};
  OrderPlan plan{
      wanted_, {}, options_.challenge, options_.preferred_chain, record_.standing, !options_.not_before.empty()};
  for (const Delegation& delegation : delegations_)
    if (std::find(wanted_.begin(), wanted_.end(), delegation.identifier) != wanted_.end())
      plan.delegations.push_back(delegation);
  stage_ = Stage::Order;
  run_ = std::make_unique<OrderRun>(session, *publisher_, steps_, house_.surroundings.budgets);
  return run_->prepare(*std::move(placed), std::move(plan), notes());
}

Result<Order> IssueRun::order(std::shared_ptr<Session>& session) {
  auto access = house_.cas.account(ca());
  if (!access) return fail(access.error());
  session = access->session;
  if (!access->account.empty()) steps_.done("account", access->account);
  auto taken_up = std::exchange(taken_up_, std::nullopt);
  // Without the names that lost their delegation meanwhile, it is another order.
  if (taken_up && same_set(record_.pending->names, wanted_names())) {
    steps_.done("order", fmt::format("going on with {}, which an earlier run left unfinished", taken_up->url));
    return *std::move(taken_up);
  }
  auto placed = ask_for_order(*session);
  if (placed || placed.error().code != ErrorCode::NotFound) return placed;
  steps_.warn(fmt::format("the CA does not know the account {} any more", session->account_url()));
  auto again = house_.cas.account_again(ca(), session);
  if (!again) return fail(again.error());
  session = again->session;
  if (!again->account.empty()) steps_.done("account", again->account);
  if (options_.challenge == conf::ChallengeType::DnsAccount01) {
    // The names belong to the account.
    stage_ = Stage::Here;
    if (auto located = locate(session.get()); !located) return fail(located.error());
    stage_ = Stage::Ca;
  }
  return ask_for_order(*session);
}

Result<Order> IssueRun::ask_for_order(Session& session) {
  auto wanted = wanted_order(session);
  if (!wanted) return fail(wanted.error());
  Problem problem;
  auto placed = new_order(session, *wanted, &problem);
  // RFC 9773 §5: 409 alreadyReplaced. One CA has another name for it, and one fails (5xx) over some serial numbers.
  bool replaced =
      problem.is("alreadyReplaced") || problem.status == 409 || problem.status == 404 || problem.status >= 500;
  if (!placed && replaced && !wanted->replaces.empty()) {
    // Once more, as an order like any other.
    wanted->replaces.clear();
    problem = {};
    placed = new_order(session, *wanted, &problem);
  }
  if (placed) return placed;
  refusal_ = {};
  refusal_.ca = ca();
  for (const std::string& name : wanted_names()) refusal_.names.push_back({name, {}, {}, {}, {}, {}});
  if (problem.status == 0) return placed;
  for (const Subproblem& part : problem.subproblems) {
    for (NameAttempt& name : refusal_.names) {
      if (name.name != part.identifier) continue;
      Problem own;
      own.type = part.type;
      own.detail = part.detail;
      own.status = problem.status;
      name.problem = own;
    }
  }
  refusal_.problem = problem;
  refusal_.try_again = problem.try_again(base::SystemClock().wall());
  return placed;
}

Result<NewOrder> IssueRun::wanted_order(const Session& session) {
  NewOrder wanted;
  wanted.names = wanted_names();
  wanted.not_before = options_.not_before;
  wanted.not_after = options_.not_after;
  wanted.replaces = predecessor(session);
  if (options_.profile.empty()) return wanted;
  const auto& profiles = session.directory().profiles;
  if (profiles.find(options_.profile) != profiles.end()) {
    wanted.profile = options_.profile;
    return wanted;
  }
  std::vector<std::string> offered;
  for (const auto& [name, description] : profiles) offered.push_back(name);
  std::string offer = offered.empty() ? "it has none" : "it has " + listed(offered);
  if (at_ == 0)
    return fail(request_.holds == Holds::All ? ErrorCode::Refused : ErrorCode::Usage,
                "the CA {} has no profile \"{}\"; {}", ca(), options_.profile, offer);
  // The wish was about another CA.
  steps_.warn(fmt::format("{} has no profile \"{}\"; {}", ca(), options_.profile, offer));
  return wanted;
}

// RFC 9773 §5: what this order replaces, so that the CA's limits do not count it.
std::string IssueRun::predecessor(const Session& session) const {
  if (session.directory().renewal_info.empty() || record_.directory_url != ca() ||
      record_.account_url != session.account_url())
    return {};
  auto chain = store_->live_chain(cert_name_);
  if (!chain) return {};
  std::vector<std::string> names = chain->names();
  bool shares = std::any_of(wanted_.begin(), wanted_.end(), [&](const DnsIdentifier& identifier) {
    return std::find(names.begin(), names.end(), identifier.text()) != names.end();
  });
  return shares ? chain->ari_id() : std::string();
}

std::string IssueRun::pending_key_type() const {
  return csr_ ? "csr" : key_type_text(options_.key_type);
}

std::function<Result<KeyAndRequest>()> IssueRun::key_maker() const {
  std::string issuance = record_.pending->archive;
  if (csr_)
    return [csr = *csr_, store = *store_, name = cert_name_, issuance, rights = rights_]() -> Result<KeyAndRequest> {
      if (auto made = store.make_issuance(name, issuance, rights); !made) return fail(made.error());
      return KeyAndRequest{std::nullopt, csr.der, csr.public_key};
    };
  // A key that got into other hands, or is of another type, is not used again.
  bool compromised = revoked_ && revoked_->reason == RevocationReason::KeyCompromise;
  bool reuse = options_.reuse_key && !compromised && !record_.archive.empty() &&
               record_.key_type == key_type_text(options_.key_type);
  return [&house = house_, store = *store_, name = cert_name_, issuance, type = options_.key_type, rights = rights_,
          names = wanted_names(), old = reuse ? record_.archive : std::string()]() -> Result<KeyAndRequest> {
    KeyTurn turn(house.keys);
    auto key = old.empty() ? PrivateKey::generate(type) : store.read_key(name, old);
    if (!key) return fail(key.error());
    if (auto written = store.write_key(name, issuance, *key, rights); !written) return fail(written.error());
    auto csr = make_csr(*key, names);
    if (!csr) return fail(csr.error());
    std::string public_key = key->public_key();
    return KeyAndRequest{*std::move(key), *std::move(csr), std::move(public_key)};
  };
}

OrderNotes IssueRun::notes() {
  OrderNotes notes;
  notes.make_key = key_maker();
  notes.note = [this](const std::vector<TxtValue>& passing, const std::vector<TxtValue>& standing) {
    record_.published = leftovers_;
    record_.published.insert(record_.published.end(), passing.begin(), passing.end());
    // Also those of an order before: they are served, and have to be removed at some time.
    for (const TxtValue& value : standing) {
      auto same = [&](const TxtValue& other) { return other.name == value.name && other.value == value.value; };
      if (std::none_of(record_.standing.begin(), record_.standing.end(), same)) record_.standing.push_back(value);
      if (std::none_of(standing_now_.begin(), standing_now_.end(), same)) standing_now_.push_back(value);
    }
    record_.server = options_.server;
    record_.credentials = options_.credentials;
    if (record_.archive.empty()) record_.names = wanted_names();
    noted_ = true;
    return store_->save(cert_name_, record_);
  };
  return notes;
}

Result<void> IssueRun::after_failure(base::Error error) {
  end_attempt(&error);
  bool may_resume = run_ && run_->may_resume();
  if (may_resume)
    return fail(error.code, "{}{}; its order and key are kept: run it again to go on", failures_, error.message);
  // Nothing of the CA's: the daemon, the disk, a person, or the names' own delegations.
  bool local = stage_ == Stage::Here || (run_ && run_->failed_here()) || error.code == ErrorCode::Interrupted ||
               error.code == ErrorCode::Usage || error.code == ErrorCode::Io || error.code == ErrorCode::Full ||
               error.code == ErrorCode::Denied || interrupted();
  // Where only this CA objects, the next one may take all names.
  if (!local && another_ca_may_differ() && try_next_ca(error)) return {};
  if (!local && drop_failed_names()) return {};
  if (!local && try_next_ca(error)) return {};
  return fail(error.code, "{}{}", failures_, error.message);
}

// Cleans up behind the order at hand, tells of it, and remembers what failed.
void IssueRun::end_attempt(const base::Error* error) {
  bool ordered = run_ != nullptr;
  if (ordered) {
    if (!run_->withdraw()) leftovers_.insert(leftovers_.end(), run_->published().begin(), run_->published().end());
    record_.published = leftovers_;
    if (error != nullptr && !run_->may_resume()) discard_pending();
    if (error != nullptr && noted_) save_record();
  }
  if (attempt().ca.empty()) return;
  steps_.tried(attempt());
  if (error != nullptr)
    remember_failures(attempt());
  else if (auto forgotten = house_.failures.succeeded(ca(), wanted_names()); !forgotten)
    steps_.warn(forgotten.error().message);
}

void IssueRun::remember_failures(const Attempt& attempt) {
  auto now = base::SystemClock().wall();
  Result<void> noted;
  for (const NameAttempt& name : attempt.names) {
    if (!failed(name)) continue;
    std::string reason = name.problem ? name.problem->summary() : "its authorization is " + name.status;
    auto until = name.problem ? name.problem->try_again(now) : std::nullopt;
    auto done = house_.failures.failed(ca(), {name.name}, reason, now, until);
    if (!done) noted = done;
  }
  // The order as a whole: a limit, or a refusal that does not say which name it is about.
  bool none_failed = std::none_of(attempt.names.begin(), attempt.names.end(), failed);
  bool limited = attempt.problem && (attempt.problem->is("rateLimited") || attempt.problem->status == 429);
  bool refused = attempt.problem && none_failed && attempt.problem->code() == ErrorCode::Refused;
  if (limited || refused) {
    auto until = attempt.problem->try_again(now);
    std::vector<std::string> others;
    for (const NameAttempt& name : attempt.names)
      if (!failed(name)) others.push_back(name.name);
    auto done = house_.failures.failed(ca(), others, attempt.problem->summary(), now, until);
    if (!done) noted = done;
  }
  if (!noted) steps_.warn(noted.error().message);
}

bool IssueRun::drop_failed_names() {
  if (!options_.drop_failed) return false;
  std::set<std::string> bad;
  for (const NameAttempt& name : attempt().names)
    if (failed(name)) bad.insert(name.name);
  if (bad.empty() || bad.size() >= wanted_.size()) return false;
  std::vector<DnsIdentifier> kept;
  for (const DnsIdentifier& identifier : wanted_) {
    if (bad.contains(identifier.text()))
      dropped_.push_back(identifier.text());
    else
      kept.push_back(identifier);
  }
  if (kept.size() == wanted_.size()) return false;
  wanted_ = std::move(kept);
  steps_.warn(fmt::format("going on without {}", listed({bad.begin(), bad.end()})));
  return true;
}

bool IssueRun::another_ca_may_differ() const {
  if (attempt().problem && is_cas_own(*attempt().problem)) return true;
  return std::any_of(attempt().names.begin(), attempt().names.end(),
                     [](const NameAttempt& name) { return name.problem && is_cas_own(*name.problem); });
}

bool IssueRun::try_next_ca(const base::Error& error) {
  if (at_ + 1 >= cas_.size()) return false;
  // A name that one CA cannot find, none can.
  bool names_failed = std::any_of(attempt().names.begin(), attempt().names.end(), failed);
  if (names_failed && !another_ca_may_differ()) return false;
  failures_ += fmt::format("{}: {}\n", ca(), error.message);
  ++at_;
  wanted_ = asked_;
  dropped_.clear();
  taken_up_.reset();  // it is the other CA's
  steps_.warn(fmt::format("{}; trying {} instead", error.message, ca()));
  return true;
}

Result<void> IssueRun::run_pre_hooks() {
  std::call_once(house_.before, [this] {
    // Of many certificates, none is the one that they run for.
    HookContext context = house_.certificates == 1 ? hook_context() : HookContext();
    house_.pre_hooks = run_hooks(config_.acme.pre_hooks, context);
  });
  return house_.pre_hooks;
}

}  // namespace countersign::acme
