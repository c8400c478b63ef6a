// The end of one certificate's run, and the way there for an order that an interrupted run left.
#include <algorithm>
#include <utility>

#include "acme/issue/hooks.hpp"
#include "acme/issue/issue_run.hpp"
#include "acme/protocol/csr.hpp"
#include "acme/protocol/pkcs12.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/clock.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// The CA, or what is stored, says no: another try ends the same way.
bool is_final(ErrorCode code) {
  return code == ErrorCode::Refused || code == ErrorCode::Protocol || code == ErrorCode::NotFound ||
         code == ErrorCode::Invalid;
}

}  // namespace

// The order that is there must be what would be ordered now.
bool IssueRun::may_resume() const {
  if (!record_.pending) return false;
  const PendingOrder& pending = *record_.pending;
  IssueOptions then = resolved(config_.acme, pending.options);
  bool compromised = revoked_ && revoked_->reason == RevocationReason::KeyCompromise && options_.reuse_key;
  return !compromised && same_set(asked_names(pending), wanted_names()) && pending.key_type == pending_key_type() &&
         std::find(cas_.begin(), cas_.end(), pending.directory_url) != cas_.end() && then.profile == options_.profile &&
         then.not_before == options_.not_before && then.not_after == options_.not_after;
}

// An order that its CA works on for hours, or that cannot be asked for, must not stand in the way for ever, nor at all
// for who insists (--force).
bool IssueRun::is_worth_waiting_for() const {
  if (request_.holds == Holds::None) return false;
  auto created = base::parse_rfc3339(record_.pending->created);
  bool young = created && base::SystemClock().wall() < *created + std::chrono::hours(1);
  return young && cas_.size() == 1;
}

Result<bool> IssueRun::resume() {
  std::string url = record_.pending->directory_url;
  at_ = static_cast<std::size_t>(std::find(cas_.begin(), cas_.end(), url) - cas_.begin());
  if (auto ran = run_pre_hooks(); !ran) return fail(ran.error());
  std::erase_if(wanted_, [&](const DnsIdentifier& identifier) {
    const auto& names = record_.pending->names;
    return std::find(names.begin(), names.end(), identifier.text()) == names.end();
  });
  dropped_ = record_.pending->dropped;
  auto chain = resume_order();
  if (chain) {
    end_attempt(nullptr);
    auto installed = install(*chain);
    if (!installed) return fail(installed.error());
    outcome_ = *std::move(installed);
    return true;
  }
  if (taken_up_) return false;
  bool final = is_final(chain.error().code);
  if (!final && (interrupted() || is_worth_waiting_for()))
    return fail(chain.error().code, "{}; its order and key are kept: run it again to go on", chain.error().message);
  steps_.warn(fmt::format("the order that an earlier run left unfinished is given up: {}", chain.error().message));
  run_.reset();
  wanted_ = asked_;
  dropped_.clear();
  at_ = 0;
  // What may still come to something is only replaced by a new order (prepare_at).
  if (final) {
    discard_pending();
    save_record();
  }
  house_.cas.begin(this->ca(), asked_.size());
  return false;
}

Result<CertificateChain> IssueRun::resume_order() {
  auto access = house_.cas.account(ca());
  if (!access) return fail(access.error());
  if (!access->account.empty()) steps_.done("account", access->account);
  const std::shared_ptr<Session>& session = access->session;
  if (session->account_url() != record_.pending->account_url)
    return fail(ErrorCode::NotFound, "order ({}): it is of the account {}", record_.pending->url,
                record_.pending->account_url);
  Problem problem;
  auto order = fetch_order(*session, record_.pending->url, &problem);
  if (!order) {
    bool gone = problem.status == 404 || problem.is("malformed") || problem.is("unauthorized");
    // A page of some proxy's is no news about the order: its certificate may be ready.
    return fail(gone ? ErrorCode::NotFound : ErrorCode::Unavailable, "{}", order.error().message);
  }
  if (order->status == OrderStatus::Pending) {
    // It was stopped before the CA got a request: nobody knows its key, and the rest is done as for a new order.
    taken_up_ = *std::move(order);
    return fail(ErrorCode::NotFound, "order ({}): its names are not proved yet", record_.pending->url);
  }
  OrderNotes again;
  again.make_key = [csr = csr_, store = *store_, name = cert_name_, issuance = record_.pending->archive,
                    names = wanted_names()]() -> Result<KeyAndRequest> {
    if (csr) return KeyAndRequest{std::nullopt, csr->der, csr->public_key};
    auto key = store.read_key(name, issuance);
    if (!key) return fail(key.error());
    auto request = make_csr(*key, names);
    if (!request) return fail(request.error());
    std::string public_key = key->public_key();
    return KeyAndRequest{*std::move(key), *std::move(request), std::move(public_key)};
  };
  run_ = std::make_unique<OrderRun>(session, *publisher_, steps_, house_.surroundings.budgets);
  return run_->resume(*std::move(order),
                      {wanted_, {}, options_.challenge, options_.preferred_chain, {}, !options_.not_before.empty()},
                      again);
}

// The pending order's certificate becomes the one that the record is about.
void IssueRun::adopt_pending(const CertificateChain& chain) {
  PendingOrder pending = *std::exchange(record_.pending, std::nullopt);
  record_.names = std::move(pending.names);
  record_.dropped = std::move(pending.dropped);
  record_.options = std::move(pending.options);
  record_.options.not_before.reset();  // they were about this one
  record_.options.not_after.reset();
  record_.directory_url = std::move(pending.directory_url);
  record_.account_url = std::move(pending.account_url);
  record_.key_type = std::move(pending.key_type);
  record_.order_url = std::move(pending.url);
  record_.archive = std::move(pending.archive);
  record_.not_before = base::format_rfc3339(chain.not_before());
  record_.not_after = base::format_rfc3339(chain.not_after());
  record_.serial = chain.serial();
  record_.issuer = chain.issuer();
  record_.renewal.reset();
  record_.deploy_due = true;
}

Result<void> IssueRun::write_files(const CertificateChain& chain) {
  const std::string& issuance = record_.pending->archive;
  if (options_.pkcs12 != conf::Pkcs12::None && run_->key()) {
    auto der = make_pkcs12(*run_->key(), chain, cert_name_, pkcs12_password_, options_.pkcs12);
    if (!der) return fail(der.error());
    if (auto written = store_->write_pkcs12(cert_name_, issuance, *der, rights_); !written) return written;
  }
  return store_->write_chain(cert_name_, issuance, chain, rights_);
}

Result<IssueOutcome> IssueRun::install(const CertificateChain& chain) {
  CertificateRecord before = record_;
  auto done = write_files(chain);
  if (done) {
    adopt_pending(chain);
    record_.deploy_due = !options_.deploy_hooks.empty();
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
  withdraw_standing();
  IssueOutcome out = outcome(chain);
  deploy(out);
  out.warnings = steps_.warnings();
  return out;
}

// The records of dns-persist-01 that newer ones have taken the place of, or that nothing needs any more.
void IssueRun::withdraw_standing() {
  auto issuer = [](const TxtValue& value) { return value.value.substr(0, value.value.find(';')); };
  std::vector<TxtValue> old, kept;
  for (const TxtValue& value : record_.standing) {
    bool is_new = std::any_of(standing_now_.begin(), standing_now_.end(),
                              [&](const TxtValue& now) { return now.name == value.name && now.value == value.value; });
    bool replaced = std::any_of(standing_now_.begin(), standing_now_.end(), [&](const TxtValue& now) {
      return now.name == value.name && issuer(now) == issuer(value);
    });
    bool useless = options_.challenge != conf::ChallengeType::DnsPersist01;
    (useless || (replaced && !is_new) ? old : kept).push_back(value);
  }
  if (old.empty()) return;
  Uninterrupted shield;
  if (auto removed = publisher_->withdraw(old); !removed) {
    steps_.warn(fmt::format("old records of dns-persist-01 are still served: {}", removed.error().message));
    return;
  }
  record_.standing = std::move(kept);
  save_record();
}

void IssueRun::deploy(IssueOutcome& out) {
  if (!options_.deploy_hooks.empty()) {
    HookContext context = hook_context();
    std::lock_guard lock(house_.hooks);
    auto run = run_hooks(options_.deploy_hooks, context);
    if (!run) {
      out.hook_failure = run.error().message;
      steps_.warn(
          fmt::format("a deploy hook failed, the certificate is installed all the same: {}; the next run tries the "
                      "hooks again",
                      run.error().message));
      return;
    }
    steps_.done("deploy", counted(options_.deploy_hooks.size(), "hook"));
  }
  if (!record_.deploy_due) return;
  record_.deploy_due = false;
  save_record();
}

IssueOutcome IssueRun::outcome(const CertificateChain& chain) const {
  IssueOutcome out;
  out.cert_name = cert_name_;
  out.directory = store_->live(cert_name_);
  std::error_code ignored;
  for (const char* file : {"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "certificate.p12"})
    if (std::filesystem::exists(out.directory / file, ignored)) out.files.emplace_back(file);
  out.names = chain.names();
  // As they were asked for.
  if (same_set(out.names, wanted_names())) out.names = wanted_names();
  out.dropped = dropped_;
  out.ca = ca();
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
  bool nothing = record_.archive.empty() && record_.published.empty() && record_.standing.empty() && !record_.pending;
  auto done = nothing ? store_->forget(cert_name_) : store_->save(cert_name_, record_);
  if (!done) steps_.warn(done.error().message);
}

}  // namespace countersign::acme
