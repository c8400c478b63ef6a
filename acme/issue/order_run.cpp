#include "acme/issue/order_run.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "acme/protocol/chain_choice.hpp"
#include "acme/protocol/experimental_challenges.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Milliseconds = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr int kWithdrawTries = 3;
constexpr Milliseconds kWithdrawPause{200};
// The validity of a dns-persist-01 record, and so the longest time that it is served without a new issuance.
constexpr std::chrono::hours kPersistLifetime{24 * 366};

std::vector<std::string> texts_of(const std::vector<DnsIdentifier>& identifiers) {
  std::vector<std::string> names;
  names.reserve(identifiers.size());
  for (const DnsIdentifier& identifier : identifiers) names.push_back(identifier.text());
  return names;
}

// Whether a record that is there says what `fresh` says, and for long enough: a new one at each try would fill the
// name.
bool serves_as(const std::string& there, const std::string& fresh) {
  constexpr std::string_view kUntil = "; persistUntil=";
  std::size_t at = there.find(kUntil);
  if (at == std::string::npos || at != fresh.find(kUntil) || there.compare(0, at, fresh, 0, at) != 0) return false;
  auto seconds = [&](const std::string& text) {
    std::int64_t value = 0;
    const char* begin = text.data() + at + kUntil.size();
    std::from_chars(begin, text.data() + text.size(), value);
    return std::chrono::seconds(value);
  };
  return seconds(fresh) - seconds(there) < kPersistLifetime / 3;
}

std::string listed(const std::vector<TxtValue>& values) {
  std::set<std::string> names;
  for (const TxtValue& value : values) names.insert(value.name.text());
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

OrderRun::~OrderRun() {
  withdraw();
  if (making_key_.valid()) making_key_.wait();
}

const char* OrderRun::challenge_type() const {
  switch (plan_.challenge) {
    case conf::ChallengeType::Dns01:
      return "dns-01";
    case conf::ChallengeType::DnsAccount01:
      return "dns-account-01";
    case conf::ChallengeType::DnsPersist01:
      break;
  }
  return "dns-persist-01";
}

void OrderRun::begin() {
  attempt_.ca = session_->directory().url;
  for (const DnsIdentifier& identifier : plan_.identifiers)
    attempt_.names.push_back({identifier.text(), {}, {}, {}, {}, {}});
  // An RSA key takes up to seconds; it is made while the CA validates.
  try {
    making_key_ = std::async(std::launch::async, notes_.make_key);
  } catch (const std::system_error&) {
    // No thread to be had: it is made when it is needed.
    making_key_ = std::async(std::launch::deferred, notes_.make_key);
  }
}

Result<void> OrderRun::prepare(Order order, OrderPlan plan, OrderNotes notes) {
  // Whose key nobody has any more.
  if (order.status == OrderStatus::Processing || order.status == OrderStatus::Valid)
    return fail(ErrorCode::Protocol,
                "order ({}): the CA gives an order back that another run sent its request for, and the key of that is "
                "not here; run it again when the order has expired, or with other names",
                order.url);
  order_ = std::move(order);
  plan_ = std::move(plan);
  notes_ = std::move(notes);
  begin();
  Result<void> done;
  if (order_.status == OrderStatus::Pending) {
    done = find_challenges(order_);
    if (done) done = publish();
  } else if (order_.status == OrderStatus::Ready) {
    steps_.done("order", "the CA asks for no proof");
  }
  if (!done) {
    give_up_authorizations(done.error());
    making_key_.wait();
  }
  return done;
}

Result<CertificateChain> OrderRun::complete() {
  auto chain = finish(drive(order_));
  attempt_.succeeded = chain.has_value();
  note_questions();
  if (!chain && !requested_) give_up_authorizations(chain.error());
  // The key's file is the caller's from here on.
  if (making_key_.valid()) making_key_.wait();
  return chain;
}

Result<CertificateChain> OrderRun::resume(Order order, OrderPlan plan, OrderNotes notes) {
  if (order.status == OrderStatus::Pending || order.status == OrderStatus::Invalid)
    return fail(ErrorCode::NotFound, "order ({}): it came to nothing", order.url);
  plan_ = std::move(plan);
  notes_ = std::move(notes);
  begin();
  if (auto taken = take_key(); !taken) return fail(taken.error());
  requested_ = true;
  noted_ = true;
  steps_.done("order", fmt::format("going on with {}, which an earlier run left unfinished", order.url));
  // A request that the CA has no more, or never got.
  auto next = order.status == OrderStatus::Ready ? finalize(order) : Result<Order>(std::move(order));
  auto chain = finish(next ? drive(*std::move(next)) : std::move(next));
  attempt_.succeeded = chain.has_value();
  return chain;
}

Result<CertificateChain> OrderRun::finish(const Result<Order>& done) {
  if (!done) return fail(done.error());
  steps_.done("finalize", "the CA made the certificate");
  auto chosen = fetch_chain(*session_, *done, plan_.preferred_chain);
  if (!chosen) return fail(chosen.error());
  if (!chosen->warning.empty()) steps_.warn(chosen->warning);
  CertificateChain& chain = chosen->chain;
  auto now = base::SystemClock().wall();
  if (auto checked = chain.check(made_->public_key, texts_of(plan_.identifiers), now); !checked)
    return fail(checked.error());
  if (chain.not_before() > now && !plan_.not_before_asked)
    steps_.warn(fmt::format("the certificate is not valid before {}; is this machine's clock right?",
                            base::format_rfc3339(chain.not_before())));
  steps_.done("download",
              fmt::format("issued by {}, valid until {}", chain.issuer(), base::format_rfc3339(chain.not_after())));
  return std::move(chain);
}

// RFC 8555 §7.1.6. Each turn does what the reported status asks for.
Result<Order> OrderRun::drive(Order order) {
  bool validated = requested_;
  for (;;) {
    Result<Order> next = order;
    switch (order.status) {
      case OrderStatus::Pending:
        if (validated) return fail(ErrorCode::Protocol, "order ({}): it went back to pending", order.url);
        validated = true;
        next = validate(order);
        break;
      case OrderStatus::Ready:
        if (requested_) {
          next = await_finalization(order);
        } else {
          next = finalize(order);
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

Result<Order> OrderRun::validate(const Order& order) {
  if (!challenges_.urls.empty()) {
    attempt_.triggered = base::SystemClock().wall();
    mark_ = publisher_.watch_questions();
    if (auto done = trigger(); !done) return fail(done.error());
    steps_.done("trigger", fmt::format("the CA was told to look {}", counted(challenges_.urls.size(), "time")));
  }
  auto next = await_validation(order);
  if (next && next->status != OrderStatus::Invalid) steps_.done("validate", "the CA found every value");
  return next;
}

Result<void> OrderRun::find_challenges(const Order& order) {
  auto authorizations = fetch_authorizations(*session_, order.authorizations);
  if (!authorizations) return fail(authorizations.error());
  auto thumbprint = session_->key().thumbprint();
  if (!thumbprint) return fail(thumbprint.error());
  for (const Authorization& authorization : *authorizations) {
    if (auto added = add_challenge(authorization, *thumbprint); !added) return added;
  }
  steps_.done("order",
              fmt::format("{}, {} to prove", counted(plan_.identifiers.size(), "name"), challenges_.urls.size()));
  return {};
}

Result<void> OrderRun::add_challenge(const Authorization& authorization, const std::string& thumbprint) {
  // RFC 8555 §7.1.4: the CA's sequence means nothing, and `*.` is not in the identifier.
  auto place = std::find_if(plan_.delegations.begin(), plan_.delegations.end(), [&](const Delegation& delegation) {
    return delegation.identifier.base_text() == authorization.identifier;
  });
  if (place == plan_.delegations.end())
    return fail(ErrorCode::Protocol, "authorization ({}): it is for \"{}\", which was not ordered", authorization.url,
                base::printable(authorization.identifier, 260));
  if (authorization.status == AuthorizationStatus::Valid) return {};
  if (authorization.status != AuthorizationStatus::Pending) {
    std::string reason = authorization.failure();
    return fail(ErrorCode::Refused, "the authorization of \"{}\" cannot be used any more{}", authorization.name(),
                reason.empty() ? "" : ": " + reason);
  }
  challenges_.pending.push_back(authorization.url);
  const Challenge* challenge = authorization.find(challenge_type());
  if (challenge == nullptr) {
    std::string offered;
    for (const Challenge& other : authorization.challenges)
      offered += (offered.empty() ? "" : ", ") + base::printable(other.type, 40);
    return fail(ErrorCode::Refused, "the CA offers no {} challenge for \"{}\", only: {}", challenge_type(),
                authorization.name(), offered.empty() ? "none" : offered);
  }
  auto value = value_for(authorization, *challenge, *place, thumbprint);
  if (!value) return fail(value.error().code, "authorization ({}): {}", authorization.url, value.error().message);
  TxtValue published{place->target, *std::move(value)};
  auto same = [&](const TxtValue& other) { return other.name == published.name && other.value == published.value; };
  for (NameAttempt& name : attempt_.names) {
    if (name.name != authorization.name()) continue;
    name.target = published.name;
    name.challenge_name = place->challenge_name;
    name.value = published.value;
  }
  if (std::none_of(challenges_.values.begin(), challenges_.values.end(), same))
    challenges_.values.push_back(std::move(published));
  if (std::find(challenges_.zones.begin(), challenges_.zones.end(), *place->zone) == challenges_.zones.end())
    challenges_.zones.push_back(*place->zone);
  // RFC 8555 §7.5.1: a challenge that is being processed must not be triggered again.
  if (challenge->status == "processing") return {};
  challenges_.urls.push_back(challenge->url);
  challenges_.authorization_urls.push_back(authorization.url);
  return {};
}

Result<std::string> OrderRun::value_for(const Authorization& authorization, const Challenge& challenge,
                                        const Delegation& place, const std::string& thumbprint) const {
  if (!stands()) {
    auto text = key_authorization(challenge.token, thumbprint);
    if (!text) return text;
    return dns01_value(*text);
  }
  auto issuer = persist_issuer(challenge);
  if (!issuer) return issuer;
  PersistRecord record;
  record.issuer_domain_name = *std::move(issuer);
  record.account_uri = persist_account_uri(session_->directory(), challenge, authorization.identifier, thumbprint,
                                           session_->account_url());
  // One record proves a name and its wildcard.
  std::string base_text = place.identifier.base_text();
  record.wildcard = std::any_of(plan_.identifiers.begin(), plan_.identifiers.end(), [&](const DnsIdentifier& other) {
    return other.is_wildcard() && other.base_text() == base_text;
  });
  record.until = std::chrono::floor<std::chrono::seconds>(base::SystemClock().wall()) + kPersistLifetime;
  auto fresh = persist_value(record);
  if (!fresh) return fresh;
  for (const TxtValue& there : plan_.standing)
    if (there.name == place.target && serves_as(there.value, *fresh)) return there.value;
  return fresh;
}

Result<void> OrderRun::publish() {
  const std::vector<TxtValue>& values = challenges_.values;
  if (values.empty()) return {};
  failed_here_ = true;
  std::vector<TxtValue> none;
  if (auto noted = notes_.note(stands() ? none : values, stands() ? values : none); !noted) return noted;
  noted_ = true;
  std::optional<Milliseconds> lifetime;
  if (stands()) lifetime = kPersistLifetime;
  // From here on there may be something to remove.
  if (!stands()) published_ = values;
  if (auto added = publisher_.publish(values, lifetime); !added) return added;
  steps_.done("publish", fmt::format("{} at {}", counted(values.size(), "value"), listed(values)));
  auto warnings = publisher_.await_visibility(values, challenges_.zones);
  if (!warnings) return fail(warnings.error());
  for (const std::string& warning : *warnings) steps_.warn(warning);
  steps_.done("fence", "every name server that was reached answers with the values");
  failed_here_ = false;
  return {};
}

Result<void> OrderRun::trigger() {
  auto results = trigger_challenges(*session_, challenges_.urls);
  std::vector<base::Error> errors;
  std::vector<std::string> doubtful;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i]) continue;
    if (results[i].error().code == ErrorCode::Interrupted) return results[i];
    errors.push_back(results[i].error());
    doubtful.push_back(challenges_.authorization_urls[i]);
  }
  if (errors.empty()) return {};
  // The answer may have got lost after the CA began, and a second trigger is not allowed: only the CA's own view
  // counts.
  auto authorizations = fetch_authorizations(*session_, doubtful);
  if (!authorizations) return fail(errors.front());
  for (std::size_t i = 0; i < authorizations->size(); ++i) {
    const Authorization& authorization = (*authorizations)[i];
    const Challenge* challenge = authorization.find(challenge_type());
    bool untouched =
        authorization.status == AuthorizationStatus::Pending && challenge != nullptr && challenge->status == "pending";
    if (untouched) return fail(errors[i].code, "\"{}\": {}", authorization.name(), errors[i].message);
  }
  return {};
}

Result<void> OrderRun::take_key() {
  if (made_) return {};
  auto made = making_key_.get();
  failed_here_ = !made;
  if (!made) return fail(made.error());
  made_ = *std::move(made);
  return {};
}

Result<Order> OrderRun::finalize(const Order& order) {
  if (auto taken = take_key(); !taken) return fail(taken.error());
  if (!noted_) {
    failed_here_ = true;
    if (auto noted = notes_.note({}, {}); !noted) return fail(noted.error());
    failed_here_ = false;
    noted_ = true;
  }
  requested_ = true;
  Problem problem;
  auto next = finalize_order(*session_, order, made_->csr, &problem);
  if (next || next.error().code == ErrorCode::Interrupted) return next;
  // The answer may have got lost after the CA began: only its own view of the order counts.
  auto now = fetch_order(*session_, order.url);
  if (now && now->status != OrderStatus::Ready) return now;
  if (!now && now.error().code == ErrorCode::Interrupted) return now;
  if (problem.status != 0) {
    attempt_.problem = problem;
    attempt_.try_again = problem.try_again(base::SystemClock().wall());
  }
  // It read the request and said no: it would say so again.
  if (now && next.error().code == ErrorCode::Refused) requested_ = false;
  return next;
}

// What nobody will prove any more counts against the account until it expires.
void OrderRun::give_up_authorizations(const base::Error& error) {
  bool hopeless = error.code == ErrorCode::Interrupted || error.code == ErrorCode::Unavailable || interrupted();
  if (!hopeless || failed_here_) deactivate_authorizations(*session_, challenges_.pending);
  challenges_.pending.clear();
}

void OrderRun::note_questions() {
  attempt_.watched = mark_ && publisher_.sees_questions();
  for (NameAttempt& name : attempt_.names) {
    if (!name.value.empty()) name.queries = publisher_.questions(mark_, name.target);
    if (attempt_.succeeded) name.status = "valid";
  }
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
