// One certificate of an issue(), in two halves: up to its published values, and from the trigger to the installed
// files. Where the first order fails, both halves are gone through again: without the failed names, or at the next CA.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/issue/hooks.hpp"
#include "acme/issue/issue_flow.hpp"
#include "acme/issue/steps.hpp"
#include "acme/protocol/csr.hpp"
#include "acme/state/certificate_store.hpp"
#include "acme/state/revocation_mark.hpp"
#include "acme/state/run_lock.hpp"

namespace countersign::acme {

// The same names in any order.
[[nodiscard]] inline bool same_set(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

class IssueRun {
 public:
  IssueRun(IssueHouse& house, const IssueRequest& request, Steps steps)
      : house_(house), config_(house.config), request_(request), steps_(std::move(steps)) {}
  IssueRun(const IssueRun&) = delete;
  IssueRun& operator=(const IssueRun&) = delete;

  // Errors of both: as issue().
  [[nodiscard]] base::Result<void> prepare();
  // Only after prepare() went well.
  [[nodiscard]] base::Result<IssueOutcome> complete();
  // CERT and names, as far as they are known: for hooks.
  [[nodiscard]] HookContext hook_context() const;

 private:
  // Before any CA is asked.
  [[nodiscard]] base::Result<void> choose_names();
  [[nodiscard]] base::Result<void> open_store();
  [[nodiscard]] base::Result<void> check_record();
  [[nodiscard]] base::Result<void> choose_options();
  [[nodiscard]] base::Result<void> read_password();
  [[nodiscard]] bool leave_alone();
  void keep_options();
  [[nodiscard]] base::Result<void> drop_undelegated(std::vector<Delegation>& delegations);
  [[nodiscard]] base::Result<void> rehearse();
  void sweep_leftovers();

  // One order.
  [[nodiscard]] base::Result<void> place_order();
  [[nodiscard]] base::Result<void> prepare_at(const std::string& ca);
  [[nodiscard]] base::Result<void> check_hold(const std::string& ca);
  [[nodiscard]] base::Result<void> locate(const Session* session);
  [[nodiscard]] base::Result<std::vector<ChallengePlace>> places(const Session* session) const;
  [[nodiscard]] base::Result<Order> order(std::shared_ptr<Session>& session);
  [[nodiscard]] base::Result<Order> ask_for_order(Session& session);
  [[nodiscard]] base::Result<NewOrder> wanted_order(const Session& session);
  [[nodiscard]] std::string predecessor(const Session& session) const;
  [[nodiscard]] OrderNotes notes();
  [[nodiscard]] std::function<base::Result<KeyAndRequest>()> key_maker() const;
  // What comes after an order that failed: none (the error), or another one.
  [[nodiscard]] base::Result<void> after_failure(base::Error error);
  void end_attempt(const base::Error* error);
  void remember_failures(const Attempt& attempt);
  [[nodiscard]] bool drop_failed_names();
  [[nodiscard]] bool try_next_ca(const base::Error& error);
  [[nodiscard]] bool another_ca_may_differ() const;
  [[nodiscard]] const Attempt& attempt() const { return run_ ? run_->attempt() : refusal_; }
  [[nodiscard]] base::Result<void> run_pre_hooks();

  // An interrupted run's order.
  [[nodiscard]] bool may_resume() const;
  [[nodiscard]] bool is_worth_waiting_for() const;
  // True: it is done, outcome_ is set. An error ends the run.
  [[nodiscard]] base::Result<bool> resume();
  [[nodiscard]] base::Result<CertificateChain> resume_order();

  // The end.
  [[nodiscard]] base::Result<IssueOutcome> install(const CertificateChain& chain);
  [[nodiscard]] base::Result<void> write_files(const CertificateChain& chain);
  void deploy(IssueOutcome& out);
  void adopt_pending(const CertificateChain& chain);
  void withdraw_standing();
  [[nodiscard]] IssueOutcome outcome(const CertificateChain& chain) const;
  void discard_pending();
  void save_record();

  [[nodiscard]] std::vector<std::string> wanted_names() const;
  [[nodiscard]] const std::string& ca() const { return cas_[at_]; }
  [[nodiscard]] std::string pending_key_type() const;

  IssueHouse& house_;
  const conf::Config& config_;
  const IssueRequest& request_;
  Steps steps_;

  std::vector<DnsIdentifier> asked_;
  std::string cert_name_;
  std::optional<SigningRequest> csr_;
  conf::CertificateOptions given_;  // from wherever they are given
  IssueOptions options_;
  FileRights rights_;
  std::string pkcs12_password_;
  std::optional<CertificateStore> store_;
  std::optional<RunLock> lock_;
  CertificateRecord record_;
  std::optional<RevocationMark> revoked_;  // what is live
  std::vector<TxtValue> leftovers_;        // of earlier runs, and not to be removed now
  std::vector<TxtValue> standing_now_;     // published by this run
  bool noted_ = false;                     // this run wrote the record

  Publisher* publisher_ = nullptr;
  std::vector<std::string> cas_;  // directory URLs, tried in turn
  std::size_t at_ = 0;
  std::vector<DnsIdentifier> wanted_;  // asked_ without the dropped ones
  std::vector<std::string> dropped_;
  std::vector<Delegation> delegations_;
  std::string delegations_for_;  // dns-account-01: whose account
  // Of the order at hand.
  enum class Stage { Ca, Here, Order };
  Stage stage_ = Stage::Here;
  Attempt refusal_;  // when the CA made no order
  std::unique_ptr<OrderRun> run_;
  std::optional<Order> taken_up_;  // of an interrupted run, to go on with instead of a new one
  std::string failures_;           // of the CAs before this one

  std::optional<IssueOutcome> outcome_;  // nothing is left to do
};

}  // namespace countersign::acme
