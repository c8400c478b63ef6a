#include "acme/issue/order_run.hpp"

#include <algorithm>

#include "acme/protocol/csr.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Milliseconds = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr Milliseconds kFirstPoll{10};  // then 20, 40, 80 ...
constexpr Milliseconds kSlowestPoll{1000};
constexpr int kWithdrawTries = 3;
constexpr Milliseconds kWithdrawPause{200};
constexpr Milliseconds kLongestRetryAfter{60'000};  // a CA that says more while it works is not believed

// The wait before the next poll: what the CA says (RFC 8555 §7.4, §7.5.1), else twice the last one.
Milliseconds next_delay(const Order& order, Milliseconds last) {
  if (order.retry_after) return std::clamp(*order.retry_after, kFirstPoll, kLongestRetryAfter);
  return std::min(last * 2, kSlowestPoll);
}

Milliseconds left_until(SteadyClock::time_point deadline) {
  return std::max(std::chrono::ceil<Milliseconds>(deadline - SteadyClock::now()), Milliseconds(0));
}

// `trouble`: why the CA was not heard of at last; "" when it was.
base::Error too_late(const char* what, Milliseconds budget, const std::string& url, const base::Error& trouble) {
  return {ErrorCode::Timeout, fmt::format("the CA did not finish {} within {} s (order {}){}{}", what,
                                          std::chrono::ceil<std::chrono::seconds>(budget).count(), url,
                                          trouble.message.empty() ? "" : "; at last ", trouble.message)};
}

base::Error interruption(const char* what) {
  return {ErrorCode::Interrupted, fmt::format("interrupted while the CA {}", what)};
}

std::vector<std::string> texts_of(const std::vector<DnsIdentifier>& identifiers) {
  std::vector<std::string> names;
  names.reserve(identifiers.size());
  for (const DnsIdentifier& identifier : identifiers) names.push_back(identifier.text());
  return names;
}

std::string listed(const std::vector<TxtValue>& values) {
  std::set<std::string> names;
  for (const TxtValue& value : values) names.insert(value.name.text());
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

void OrderRun::begin(const OrderPlan& plan, const OrderNotes& notes) {
  // An RSA key takes up to seconds; it is made while the CA validates.
  making_key_ = std::async(std::launch::async,
                           [names = texts_of(plan.identifiers), make_key = notes.make_key]() -> Result<KeyAndRequest> {
                             auto key = make_key();
                             if (!key) return fail(key.error());
                             auto csr = make_csr(*key, names);
                             if (!csr) return fail(csr.error());
                             return KeyAndRequest{*std::move(key), *std::move(csr)};
                           });
}

Result<CertificateChain> OrderRun::run(Order order, const OrderPlan& plan, const OrderNotes& notes) {
  // Whose key nobody has any more.
  if (order.status == OrderStatus::Processing || order.status == OrderStatus::Valid)
    return fail(ErrorCode::Protocol,
                "order ({}): the CA gives an order back that another run sent its request for, and the key of that is "
                "not here; run it again when the order has expired, or with other names",
                order.url);
  begin(plan, notes);
  if (order.status == OrderStatus::Ready) steps_.done("order", "the CA asks for no proof");
  auto done = finish(drive(std::move(order), plan, notes), plan);
  // The key's file is the caller's from here on.
  if (making_key_.valid()) making_key_.wait();
  return done;
}

Result<CertificateChain> OrderRun::resume(Order order, const OrderPlan& plan, const OrderNotes& notes) {
  if (order.status == OrderStatus::Pending || order.status == OrderStatus::Invalid)
    return fail(ErrorCode::NotFound, "order ({}): it came to nothing", order.url);
  begin(plan, notes);
  if (auto taken = take_key(); !taken) return fail(taken.error());
  requested_ = true;
  noted_ = true;
  steps_.done("order", fmt::format("going on with {}, which an earlier run left unfinished", order.url));
  // A request that the CA has no more, or never got.
  auto next = order.status == OrderStatus::Ready ? finalize(order, notes) : Result<Order>(std::move(order));
  return finish(next ? drive(*std::move(next), plan, notes) : std::move(next), plan);
}

Result<CertificateChain> OrderRun::finish(const Result<Order>& done, const OrderPlan& plan) {
  if (!done) return fail(done.error());
  steps_.done("finalize", "the CA made the certificate");
  auto pem = fetch_certificate(session_, *done);
  if (!pem) return fail(pem.error());
  auto chain = CertificateChain::parse(*pem, fmt::format("certificate ({})", done->certificate));
  if (!chain) return fail(chain.error());
  auto now = base::SystemClock().wall();
  if (auto checked = chain->check(made_->key, texts_of(plan.identifiers), now); !checked) return fail(checked.error());
  if (chain->not_before() > now)
    steps_.warn(fmt::format("the certificate is not valid before {}; is this machine's clock right?",
                            base::format_rfc3339(chain->not_before())));
  steps_.done("download",
              fmt::format("issued by {}, valid until {}", chain->issuer(), base::format_rfc3339(chain->not_after())));
  return chain;
}

// RFC 8555 §7.1.6. Each turn does what the reported status asks for.
Result<Order> OrderRun::drive(Order order, const OrderPlan& plan, const OrderNotes& notes) {
  bool validated = requested_;
  for (;;) {
    Result<Order> next = order;
    switch (order.status) {
      case OrderStatus::Pending:
        if (validated) return fail(ErrorCode::Protocol, "order ({}): it went back to pending", order.url);
        validated = true;
        next = validate(order, plan, notes);
        break;
      case OrderStatus::Ready:
        if (requested_) {
          next = await_finalization(order);
        } else {
          next = finalize(order, notes);
          // Not sooner: the CA works on the certificate meanwhile.
          withdraw();
        }
        break;
      case OrderStatus::Processing:
        next = await_finalization(order);
        break;
      case OrderStatus::Valid:
        if (requested_) return order;
        return fail(ErrorCode::Protocol, "order ({}): it is valid before it got a request", order.url);
      case OrderStatus::Invalid:
        requested_ = false;
        return fail(failure_of(order));
    }
    if (!next) return next;
    order = *std::move(next);
  }
}

Result<Order> OrderRun::validate(const Order& order, const OrderPlan& plan, const OrderNotes& notes) {
  auto challenges = find_challenges(order, plan);
  if (!challenges) return fail(challenges.error());
  steps_.done("order",
              fmt::format("{}, {} to prove", counted(plan.identifiers.size(), "name"), challenges->urls.size()));
  if (!challenges->values.empty()) {
    if (auto done = publish(*challenges, notes); !done) return fail(done.error());
    auto warnings = publisher_.await_visibility(challenges->values, challenges->zones);
    if (!warnings) return fail(warnings.error());
    for (const std::string& warning : *warnings) steps_.warn(warning);
    steps_.done("fence", "every name server that was reached answers with the values");
    publisher_.watch_questions();
    if (auto done = trigger(*challenges); !done) return fail(done.error());
    steps_.done("trigger", fmt::format("the CA was told to look {}", counted(challenges->urls.size(), "time")));
  }
  auto next = await_validation(order, challenges->values);
  if (next && next->status != OrderStatus::Invalid) steps_.done("validate", "the CA found every value");
  return next;
}

Result<OrderRun::Challenges> OrderRun::find_challenges(const Order& order, const OrderPlan& plan) {
  auto authorizations = fetch_authorizations(session_, order.authorizations);
  if (!authorizations) return fail(authorizations.error());
  auto thumbprint = session_.key().thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  Challenges challenges;
  for (const Authorization& authorization : *authorizations) {
    if (auto added = add_challenge(challenges, authorization, plan, *thumbprint); !added) return fail(added.error());
  }
  return challenges;
}

Result<void> OrderRun::add_challenge(Challenges& challenges, const Authorization& authorization, const OrderPlan& plan,
                                     const std::string& thumbprint) const {
  // RFC 8555 §7.1.4: the CA's sequence means nothing, and `*.` is not in the identifier.
  auto place = std::find_if(plan.delegations.begin(), plan.delegations.end(), [&](const Delegation& delegation) {
    return delegation.identifier.base_text() == authorization.identifier;
  });
  if (place == plan.delegations.end())
    return fail(ErrorCode::Protocol, "authorization ({}): it is for \"{}\", which was not ordered", authorization.url,
                base::printable(authorization.identifier, 260));
  if (authorization.status == AuthorizationStatus::Valid) return {};
  if (authorization.status != AuthorizationStatus::Pending) {
    std::string reason = authorization.failure();
    return fail(ErrorCode::Refused, "the authorization of \"{}\" cannot be used any more{}", authorization.name(),
                reason.empty() ? "" : ": " + reason);
  }
  const Challenge* challenge = authorization.find("dns-01");
  if (challenge == nullptr)
    return fail(ErrorCode::Refused, "the CA offers no dns-01 challenge for \"{}\"", authorization.name());
  auto text = key_authorization(challenge->token, thumbprint);
  if (!text) return fail(text.error().code, "authorization ({}): {}", authorization.url, text.error().message);
  challenges.values.push_back({place->target, dns01_value(*text)});
  if (std::find(challenges.zones.begin(), challenges.zones.end(), *place->zone) == challenges.zones.end())
    challenges.zones.push_back(*place->zone);
  // RFC 8555 §7.5.1: a challenge that is being processed must not be triggered again.
  if (challenge->status == "processing") return {};
  challenges.urls.push_back(challenge->url);
  challenges.authorization_urls.push_back(authorization.url);
  return {};
}

Result<void> OrderRun::publish(const Challenges& challenges, const OrderNotes& notes) {
  if (auto noted = notes.note(challenges.values); !noted) return noted;
  noted_ = true;
  // From here on there may be something to remove.
  published_ = challenges.values;
  if (auto added = publisher_.publish(challenges.values); !added) return added;
  steps_.done("publish",
              fmt::format("{} at {}", counted(challenges.values.size(), "value"), listed(challenges.values)));
  return {};
}

Result<void> OrderRun::trigger(const Challenges& challenges) {
  auto results = trigger_challenges(session_, challenges.urls);
  std::optional<base::Error> first;
  std::vector<std::string> doubtful;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i]) continue;
    if (results[i].error().code == ErrorCode::Interrupted) return results[i];
    if (!first) first = results[i].error();
    doubtful.push_back(challenges.authorization_urls[i]);
  }
  if (!first) return {};
  // The answer may have got lost after the CA began, and a second trigger is not allowed: only the CA's own view
  // counts.
  auto authorizations = fetch_authorizations(session_, doubtful);
  if (!authorizations) return fail(*first);
  for (const Authorization& authorization : *authorizations) {
    const Challenge* challenge = authorization.find("dns-01");
    bool untouched =
        authorization.status == AuthorizationStatus::Pending && challenge != nullptr && challenge->status == "pending";
    if (untouched) return fail(first->code, "\"{}\": {}", authorization.name(), first->message);
  }
  return {};
}

// Waits `patience`, or until the last of `unasked` was asked for: then true.
bool OrderRun::await_questions(std::set<base::Name>& unasked, Milliseconds patience) {
  auto end = SteadyClock::now() + patience;
  while (!unasked.empty() && !interrupted()) {
    auto left = left_until(end);
    if (left.count() == 0) return false;
    for (const base::Name& name : publisher_.await_questions(left)) unasked.erase(name);
    if (unasked.empty()) return true;
  }
  sleep_unless_interrupted(left_until(end));
  return false;
}

Result<std::optional<Order>> OrderRun::look(const std::string& order_url, base::Error& trouble) {
  auto order = fetch_order(session_, order_url);
  trouble = order ? base::Error{} : order.error();
  if (order) return std::optional<Order>(*std::move(order));
  // One broken connection or one busy moment is no news about the order.
  if (trouble.code == ErrorCode::Unavailable || trouble.code == ErrorCode::Timeout) return std::optional<Order>();
  return fail(trouble);
}

Result<Order> OrderRun::await_validation(Order order, const std::vector<TxtValue>& values) {
  auto deadline = SteadyClock::now() + budgets_.validation;
  std::set<base::Name> unasked;
  for (const TxtValue& value : values) unasked.insert(value.name);
  Milliseconds delay = kFirstPoll;
  base::Error trouble;
  for (;;) {
    // The CA has asked for everything: its verdict is only a moment away, however long it took to ask or wants us to
    // wait (RFC 8555 §7.5.1).
    if (await_questions(unasked, std::min(delay, left_until(deadline)))) delay = kFirstPoll / 2;
    if (interrupted()) return fail(interruption("validates"));
    auto next = look(order.url, trouble);
    if (!next) return fail(next.error());
    if (*next && (*next)->status != OrderStatus::Pending) return **std::move(next);
    if (SteadyClock::now() >= deadline)
      return fail(too_late("its validation", budgets_.validation, order.url, trouble));
    if (*next) order.retry_after = (*next)->retry_after;
    delay = next_delay(order, delay);
  }
}

Result<void> OrderRun::take_key() {
  if (made_) return {};
  auto made = making_key_.get();
  if (!made) return fail(made.error());
  made_ = *std::move(made);
  return {};
}

Result<Order> OrderRun::finalize(const Order& order, const OrderNotes& notes) {
  if (auto taken = take_key(); !taken) return fail(taken.error());
  if (!noted_) {
    if (auto noted = notes.note({}); !noted) return fail(noted.error());
    noted_ = true;
  }
  requested_ = true;
  auto next = finalize_order(session_, order, made_->csr);
  if (next || next.error().code == ErrorCode::Interrupted) return next;
  // The answer may have got lost after the CA began: only its own view of the order counts.
  auto now = fetch_order(session_, order.url);
  if (now && now->status != OrderStatus::Ready) return now;
  if (!now && now.error().code == ErrorCode::Interrupted) return now;
  // It read the request and said no: it would say so again.
  if (now && next.error().code == ErrorCode::Refused) requested_ = false;
  return next;
}

Result<Order> OrderRun::await_finalization(Order order) {
  auto deadline = SteadyClock::now() + budgets_.finalization;
  Milliseconds delay = next_delay(order, kFirstPoll / 2);
  base::Error trouble;
  while (order.status == OrderStatus::Processing || order.status == OrderStatus::Ready) {
    if (SteadyClock::now() >= deadline)
      return fail(too_late("the certificate", budgets_.finalization, order.url, trouble));
    if (!sleep_unless_interrupted(std::min(delay, left_until(deadline))))
      return fail(interruption("makes the certificate"));
    auto next = look(order.url, trouble);
    if (!next) return fail(next.error());
    if (*next) order = **std::move(next);
    delay = next_delay(order, delay);
  }
  return order;
}

base::Error OrderRun::failure_of(const Order& order) {
  std::string reasons;
  std::size_t failed = 0;
  // RFC 8555 §7.1.6: the reason of a failed validation stands in the authorization, not in the order.
  auto authorizations = fetch_authorizations(session_, order.authorizations);
  if (authorizations) {
    for (const Authorization& authorization : *authorizations) {
      std::string reason = authorization.failure();
      if (authorization.status == AuthorizationStatus::Pending || authorization.status == AuthorizationStatus::Valid)
        continue;
      ++failed;
      reasons += fmt::format("{}\"{}\": {}", reasons.empty() ? "" : "; ", authorization.name(),
                             reason.empty() ? "the CA gives no reason" : reason);
    }
  }
  if (failed > 0)
    return {ErrorCode::Refused, fmt::format("the CA could not validate {} of {}: {}", failed,
                                            counted(order.identifiers.size(), "name"), reasons)};
  return {ErrorCode::Refused, fmt::format("the CA made the order invalid ({}): {}{}{}", order.url,
                                          order.error ? order.error->describe() : "it gives no reason",
                                          authorizations ? "" : "; its authorizations cannot be read: ",
                                          authorizations ? "" : authorizations.error().message)};
}

bool OrderRun::withdraw() {
  if (published_.empty() || gave_up_) return published_.empty();
  // An interruption may be why we are here.
  Uninterrupted shield;
  auto since = SteadyClock::now();
  Result<void> removed = publisher_.withdraw(published_);
  // A daemon that is being restarted is back in a moment.
  for (int i = 1; i < kWithdrawTries && !removed; ++i) {
    sleep_unless_interrupted(kWithdrawPause);
    removed = publisher_.withdraw(published_);
  }
  if (!removed) {
    gave_up_ = true;
    steps_.warn(
        fmt::format("the values at {} may still be served: {}; the daemon removes them at the end of their lifetime",
                    listed(published_), removed.error().message));
    return false;
  }
  steps_.done_meanwhile("cleanup", fmt::format("{} removed", counted(published_.size(), "value")), since);
  published_.clear();
  return true;
}

}  // namespace countersign::acme
