#include "acme/renew/renew.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "acme/issue/ca_sessions.hpp"
#include "acme/renew/known.hpp"
#include "acme/renew/suggestion.hpp"
#include "acme/state/run_lock.hpp"
#include "base/log.hpp"
#include "base/random.hpp"

namespace countersign::acme {
namespace {

using base::ElapsedTime;
using base::ErrorCode;
using base::fail;
using base::Result;
using base::WallTime;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using Status = RenewItem::Status;

// Twice a day, with the timer's spread (conf/countersign-renew.timer).
constexpr milliseconds kTimerPeriod = hours(13);
constexpr milliseconds kLongestSleep = hours(6);
constexpr milliseconds kShortestSleep = std::chrono::seconds(1);
constexpr milliseconds kFirstRetry = minutes(1), kLongestRetry = hours(1);
constexpr unsigned kAskers = 8;

ElapsedTime elapsed() {
  return base::SystemClock().elapsed();
}

WallTime wall() {
  return base::SystemClock().wall();
}

// The certificate's run lock keeps an issuance, which writes the same file, apart.
void keep_suggestion(const CertificateStore& store, const std::string& cert_name, const std::string& archive,
                     const RenewalState& state) {
  auto lock = RunLock::take(store.lock_file(cert_name), cert_name);
  if (!lock) return;  // whoever holds it may be renewing it; the next round asks again
  auto record = store.load(cert_name);
  if (!record || !*record || (*record)->archive != archive) return;
  (*record)->renewal = state;
  if (auto saved = store.save(cert_name, **record); !saved)
    base::log::warn("the CA's suggestion cannot be kept",
                    {{"certificate", cert_name}, {"reason", saved.error().message}});
}

// Those of an earlier run that was stopped, or of hooks that failed, for a certificate that stays in force.
bool has_hooks_to_run(const Prospect& prospect, const Decision& decision) {
  bool in_force = decision.kind == Decision::Kind::NotDue || decision.can_wait;
  return in_force && prospect.live && prospect.record->deploy_due;
}

void make_due(RenewItem& item, WhenValid when_valid, Holds holds) {
  auto identifiers = parse_identifiers(item.names);
  if (!identifiers) {
    item.status = Status::Failed;
    item.result = fail(identifiers.error());
    item.reason = identifiers.error().message;
    return;
  }
  item.status = Status::Due;
  IssueRequest issue;
  issue.identifiers = *std::move(identifiers);
  issue.cert_name = item.cert_name;
  issue.cert_name_given = true;
  issue.when_valid = when_valid;
  issue.holds = holds;
  item.request = std::move(issue);
}

}  // namespace

struct Renewer::Asked {
  Prospect* prospect = nullptr;
  std::string cert_name;
  Result<RenewalInfo> info = fail(ErrorCode::Interrupted, "interrupted");
};

Renewer::Renewer() : seed_(base::random_u64()) {}

Result<std::vector<RenewItem>> Renewer::plan(const conf::Config& config, const RenewRequest& request) {
  auto known = known_certificates(config, request.certificates);
  if (!known) return fail(known.error());
  std::vector<Prospect*> prospects;
  for (Known& one : *known)
    if (one.prospect) prospects.push_back(&*one.prospect);
  if (!prospects.empty() && request.trigger == Trigger::Schedule) {
    auto store = CertificateStore::open(config.state_dir / "acme");
    if (!store) return fail(store.error());
    store->remove_leftovers();
    ask_for_suggestions(config, *store, prospects);
  }
  std::vector<RenewItem> items;
  for (const Known& one : *known) {
    if (one.prospect) {
      items.push_back(item_of(*one.prospect, request));
      continue;
    }
    RenewItem broken;
    broken.cert_name = one.cert_name;
    broken.status = Status::Failed;
    broken.reason = one.prospect.error().message;
    broken.result = fail(one.prospect.error());
    items.push_back(std::move(broken));
  }
  return items;
}

// Several at a time: a thousand certificates are a thousand requests.
void Renewer::ask_for_suggestions(const conf::Config& config, const CertificateStore& store,
                                  const std::vector<Prospect*>& prospects) {
  std::vector<Asked> asked;
  for (Prospect* prospect : prospects) {
    // RFC 9773 §4.3: not for what expired, or will be replaced in any case.
    if (!prospect->live || !prospect->record || wall() >= prospect->live->not_after) continue;
    if (auto silent = silence_.find(prospect->cert_name); silent != silence_.end() && elapsed() < silent->second.until)
      continue;
    if (is_time_to_ask(prospect->record->renewal, prospect->live->certificate_id, wall()))
      asked.push_back({prospect, prospect->cert_name});
  }
  CaSessions cas(config);
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    for (std::size_t i = next++; i < asked.size() && !interrupted(); i = next++) {
      Asked& one = asked[i];
      auto session = cas.directory(one.prospect->record->directory_url);
      one.info = session ? fetch_renewal_info(**session, one.prospect->live->certificate_id)
                         : Result<RenewalInfo>(fail(session.error()));
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min<std::size_t>(asked.size(), kAskers); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  for (Asked& one : asked) {
    std::optional<RenewalState>& state = one.prospect->record->renewal;
    if (!one.info) {
      Patience& patience = silence_[one.cert_name];
      milliseconds wait = wait_after(one.info.error().code, ++patience.failures);
      patience.until = elapsed() + wait;
      if (is_long_term(one.info.error().code)) {
        // Kept: who starts this every five minutes must not ask as often.
        state = put_off(state, one.prospect->live->certificate_id, wall() + wait);
        keep_suggestion(store, one.cert_name, one.prospect->record->archive, *state);
      }
      base::log::debug("no renewal information",
                       {{"certificate", one.cert_name}, {"reason", one.info.error().message}});
      continue;
    }
    silence_.erase(one.cert_name);
    std::string before =
        state && state->certificate_id == one.prospect->live->certificate_id ? state->explanation_url : "";
    state = taken_up(state, one.prospect->live->certificate_id, *one.info, wall(), base::random_u64());
    if (state->explanation_url != before) explanations_[one.cert_name] = state->explanation_url;
    keep_suggestion(store, one.cert_name, one.prospect->record->archive, *state);
  }
}

RenewItem Renewer::item_of(const Prospect& prospect, const RenewRequest& request) {
  WallTime now = wall();
  Decision decision = decide(prospect, request.trigger, now,
                             now + (request.presence == Presence::Stays ? milliseconds(0) : kTimerPeriod));
  RenewItem item;
  item.cert_name = prospect.cert_name;
  item.names = prospect.names;
  item.reason = decision.reason;
  item.can_wait = decision.can_wait;
  if (auto news = explanations_.extract(prospect.cert_name)) item.explanation_url = std::move(news.mapped());
  switch (decision.kind) {
    case Decision::Kind::Nothing:
      return item;
    case Decision::Kind::NotDue:
      item.status = Status::NotDue;
      item.next = decision.suggested_by_ca ? decision.at : decision.at + spread(prospect);
      if (prospect.record && prospect.record->renewal && decision.suggested_by_ca)
        item.next = std::min(*item.next, ask_again_at(prospect.cert_name, *prospect.record->renewal, now));
      break;
    case Decision::Kind::HeldBack:
      item.status = Status::HeldBack;
      item.next = decision.at;
      break;
    case Decision::Kind::Due:
      break;
  }
  WhenValid when_valid = WhenValid::IssueAgain;
  if (decision.kind != Decision::Kind::Due) {
    if (!has_hooks_to_run(prospect, decision)) return item;
    item.reason = "its deploy hooks did not come to a good end yet";
    item.can_wait = false;
    when_valid = WhenValid::RunHooks;
  }
  if (request.trigger == Trigger::Schedule && must_wait(item, when_valid, now)) return item;
  make_due(item, when_valid, request.trigger == Trigger::Force ? Holds::None : Holds::All);
  return item;
}

// Of what failed in this process, and is due again.
bool Renewer::must_wait(RenewItem& item, WhenValid when_valid, WallTime now) const {
  const std::map<std::string, Patience>& failures = when_valid == WhenValid::RunHooks ? hooks_ : failures_;
  auto failed = failures.find(item.cert_name);
  if (failed == failures.end() || failed->second.until <= elapsed()) return false;
  WallTime again = now + (failed->second.until - elapsed());
  item.status = Status::HeldBack;
  item.next = item.next ? std::min(*item.next, again) : again;
  return true;
}

// What was tried now, and failed.
milliseconds Renewer::lengthen(Patience& patience) {
  auto wait = std::min<milliseconds>(kFirstRetry * (1U << std::min(patience.failures++, 6U)), kLongestRetry);
  patience.until = elapsed() + wait;
  return wait;
}

WallTime Renewer::ask_again_at(const std::string& cert_name, const RenewalState& state, WallTime now) const {
  auto silent = silence_.find(cert_name);
  return silent == silence_.end() ? state.ask_at : std::max(state.ask_at, now + (silent->second.until - elapsed()));
}

// Where the time follows from the lifetime alone, certificates that were issued together do not come back together.
milliseconds Renewer::spread(const Prospect& prospect) const {
  if (!prospect.live) return milliseconds(0);
  auto most = std::min<milliseconds>((prospect.live->not_after - prospect.live->not_before) / 50, hours(1));
  if (most.count() <= 0) return milliseconds(0);
  std::uint64_t drawn = std::hash<std::string>()(prospect.cert_name) ^ seed_;
  return milliseconds(drawn % static_cast<std::uint64_t>(most.count()));
}

void Renewer::carry_out(const conf::Config& config, const RenewRequest& request, std::vector<RenewItem>& items,
                        const IssueCallbacks& callbacks) {
  std::vector<IssueRequest> requests;
  std::vector<RenewItem*> due;
  for (RenewItem& item : items) {
    if (item.status != Status::Due) continue;
    requests.push_back(*item.request);
    due.push_back(&item);
  }
  if (due.empty()) return;
  auto results = issue(config, requests, request.jobs, callbacks);
  for (std::size_t i = 0; i < due.size(); ++i) settle(config, *due[i], std::move(results[i]));
  if (interrupted()) return;

  // RFC 9773 §4.3: asked for right after issuance, so that the first window is known; not fatal.
  auto store = CertificateStore::open(config.state_dir / "acme");
  if (!store) return;
  std::vector<Prospect> renewed;
  for (RenewItem* item : due) {
    if (!item->result || !*item->result) continue;
    auto prospect = read_prospect(config, *store, item->cert_name, find_entry(config, item->cert_name));
    if (prospect) renewed.push_back(*std::move(prospect));
  }
  std::vector<Prospect*> prospects;
  prospects.reserve(renewed.size());
  for (Prospect& prospect : renewed) prospects.push_back(&prospect);
  ask_for_suggestions(config, *store, prospects);
  RenewRequest look;
  look.presence = Presence::Stays;
  for (const Prospect& prospect : renewed) {
    auto item = std::find_if(due.begin(), due.end(),
                             [&](const RenewItem* one) { return one->cert_name == prospect.cert_name; });
    RenewItem after = item_of(prospect, look);
    (*item)->next = after.status == Status::Due ? wall() : after.next;
    if (!after.explanation_url.empty()) (*item)->explanation_url = after.explanation_url;
  }
}

void Renewer::settle(const conf::Config& config, RenewItem& item, Result<IssueOutcome> result) {
  if (result) {
    failures_.erase(item.cert_name);
    bool hooks_failed = !result->hook_failure.empty();
    if (hooks_failed)
      lengthen(hooks_[item.cert_name]);
    else
      hooks_.erase(item.cert_name);
    item.status = !result->left_alone ? Status::Renewed : hooks_failed ? Status::Failed : Status::Deployed;
    if (item.status == Status::Failed) item.reason = result->hook_failure;
  } else if (result.error().code == ErrorCode::Exists) {
    item.status = Status::Busy;
    item.reason = result.error().message;
    item.next = wall() + kFirstRetry;
  } else {
    item.status = Status::Failed;
    bool hooks_only = item.request->when_valid == WhenValid::RunHooks;
    item.next = wall() + lengthen((hooks_only ? hooks_ : failures_)[item.cert_name]);
    // What the CA refused waits longer.
    auto store = CertificateStore::open(config.state_dir / "acme");
    auto prospect = store ? read_prospect(config, *store, item.cert_name, find_entry(config, item.cert_name))
                          : Result<Prospect>(fail(store.error()));
    if (prospect) {
      Decision decision = decide(*prospect, Trigger::Schedule, wall(), wall());
      if (decision.kind == Decision::Kind::HeldBack) item.next = std::max(*item.next, decision.at);
    }
  }
  item.result = std::move(result);
}

WallTime Renewer::next_round(const std::vector<RenewItem>& items, WallTime now) const {
  WallTime next = now + kLongestSleep;
  for (const RenewItem& item : items)
    if (item.next) next = std::min(next, *item.next);
  return std::max(next, now + kShortestSleep);
}

}  // namespace countersign::acme
