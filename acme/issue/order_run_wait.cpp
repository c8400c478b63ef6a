// The waiting half of an order: for the CA's validation and for its certificate, and what it says when it says no.
#include <algorithm>

#include "acme/issue/order_run.hpp"
#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Milliseconds = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr Milliseconds kFirstPoll{10};  // then 20, 40, 80 ...
constexpr Milliseconds kSlowestPoll{1000};
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

const char* status_text(AuthorizationStatus status) {
  switch (status) {
    case AuthorizationStatus::Pending:
      return "pending";
    case AuthorizationStatus::Valid:
      return "valid";
    case AuthorizationStatus::Invalid:
      return "invalid";
    case AuthorizationStatus::Deactivated:
      return "deactivated";
    case AuthorizationStatus::Expired:
      return "expired";
    case AuthorizationStatus::Revoked:
      break;
  }
  return "revoked";
}

}  // namespace

Result<std::optional<Order>> OrderRun::look(const std::string& order_url, base::Error& trouble) {
  Problem problem;
  auto order = fetch_order(*session_, order_url, &problem);
  busy_for_ = problem.retry_after;
  trouble = order ? base::Error{} : order.error();
  if (order) return std::optional<Order>(*std::move(order));
  // One broken connection or one busy moment is no news about the order.
  if (trouble.code == ErrorCode::Unavailable || trouble.code == ErrorCode::Timeout) return std::optional<Order>();
  return fail(trouble);
}

Result<Order> OrderRun::await_validation(Order order) {
  auto deadline = SteadyClock::now() + budgets_.validation;
  std::set<base::Name> unasked;
  for (const TxtValue& value : challenges_.values) unasked.insert(value.name);
  Milliseconds delay = kFirstPoll;
  base::Error trouble;
  for (;;) {
    // The CA has asked for everything: its verdict is only a moment away, however long it took to ask or wants us to
    // wait (RFC 8555 §7.5.1).
    bool expected =
        !unasked.empty() && publisher_.await_questions(mark_, unasked, std::min(delay, left_until(deadline)));
    if (expected)
      delay = kFirstPoll / 2;
    else if (unasked.empty())
      sleep_unless_interrupted(std::min(delay, left_until(deadline)));
    if (interrupted()) return fail(interruption("validates"));
    auto next = look(order.url, trouble);
    if (!next) return fail(next.error());
    if (*next && (*next)->status != OrderStatus::Pending) return **std::move(next);
    if (SteadyClock::now() >= deadline)
      return fail(too_late("its validation", budgets_.validation, order.url, trouble));
    order.retry_after = *next ? (*next)->retry_after : busy_for_;
    delay = next_delay(order, delay);
  }
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
    if (*next)
      order = **std::move(next);
    else
      order.retry_after = busy_for_;
    delay = next_delay(order, delay);
  }
  return order;
}

base::Error OrderRun::failure_of(const Order& order) {
  attempt_.problem = order.error;
  // RFC 8555 §7.1.6: the reason of a failed validation stands in the authorization, not in the order.
  auto authorizations = fetch_authorizations(*session_, order.authorizations);
  if (authorizations) {
    base::Error failed = authorizations_failed(order, *authorizations);
    if (!failed.message.empty()) return failed;
  }
  return {ErrorCode::Refused, fmt::format("the CA made the order invalid ({}): {}{}{}", order.url,
                                          order.error ? order.error->describe() : "it gives no reason",
                                          authorizations ? "" : "; its authorizations cannot be read: ",
                                          authorizations ? "" : authorizations.error().message)};
}

// "" when none of them failed.
base::Error OrderRun::authorizations_failed(const Order& order, const std::vector<Authorization>& authorizations) {
  std::string reasons;
  std::size_t failed = 0;
  std::vector<std::string> left_over;
  for (const Authorization& authorization : authorizations) {
    auto name = std::find_if(attempt_.names.begin(), attempt_.names.end(),
                             [&](const NameAttempt& attempt) { return attempt.name == authorization.name(); });
    if (name != attempt_.names.end()) name->status = status_text(authorization.status);
    if (authorization.status == AuthorizationStatus::Pending) left_over.push_back(authorization.url);
    if (authorization.status == AuthorizationStatus::Pending || authorization.status == AuthorizationStatus::Valid)
      continue;
    ++failed;
    std::string reason = authorization.failure();
    reasons += fmt::format("{}\"{}\": {}", reasons.empty() ? "" : "; ", authorization.name(),
                           reason.empty() ? "the CA gives no reason" : reason);
    if (name == attempt_.names.end()) continue;
    for (const Challenge& challenge : authorization.challenges)
      if (challenge.error) name->problem = challenge.error;
  }
  challenges_.pending = std::move(left_over);
  if (failed == 0) return {};
  return {ErrorCode::Refused, fmt::format("the CA could not validate {} of {}: {}", failed,
                                          counted(order.identifiers.size(), "name"), reasons)};
}

}  // namespace countersign::acme
