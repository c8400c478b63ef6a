#include "dnsd/api/registrar.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>

#include "base/encoding.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "dnsd/api/registrar_impl.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;
using zones::Registration;
using zones::RegistrationChange;

constexpr std::chrono::seconds kMarksEvery = std::chrono::minutes(1);
// A million registrations are looked through in a quarter of an hour, a slice in a tenth of a millisecond.
constexpr auto kPruneEvery = std::chrono::seconds(1);
constexpr std::size_t kPruneLook = 1000;
constexpr std::size_t kPruneAtOnce = 50;

std::string random_password() {
  std::array<std::byte, 30> octets{};
  base::fill_random(octets);
  return base::base64url_encode(octets);
}

RegistrationChange change_of(RegistrationChange::Kind kind, Registration registration) {
  RegistrationChange change;
  change.kind = kind;
  change.registration = std::move(registration);
  return change;
}

}  // namespace

Settled Registrar::Impl::settle_addition(Registration made) {
  ++creating_;
  return [self = shared_from_this(), made = std::move(made)](const Result<void>& done, bool is_late) {
    --self->creating_;
    if (!done) return;
    self->registry_.put(made);
    // Nobody has been told the password, and nobody will be.
    if (is_late) asio::co_spawn(self->executor_, self->take_back(made.username), kEndOnException);
  };
}

Settled Registrar::Impl::settle_secret(std::string username, std::string secret) {
  replacing_.insert(username);
  return [self = shared_from_this(), username = std::move(username), secret = std::move(secret)](
             const Result<void>& done, bool is_late) {
    self->replacing_.erase(self->replacing_.find(username));
    // Marks of use may have come meanwhile: they are newer than what was found before.
    auto current = self->registry_.find(username);
    if (!done || !current) return;
    current->secret = secret;
    self->registry_.put(*current);
    if (is_late) base::log::warn("the store answered late: the password has been replaced", {{"username", username}});
  };
}

Settled Registrar::Impl::settle_removal(Registration leaving, Why why) {
  leaving_.insert(leaving.username);
  return [self = shared_from_this(), leaving = std::move(leaving), why](const Result<void>& done, bool is_late) {
    self->leaving_.erase(leaving.username);
    bool is_gone = done.has_value() || done.error().code == ErrorCode::NotFound;
    if (is_gone) self->registry_.erase(leaving.username);
    if (!done) return;
    if (why == Why::Unused)
      base::log::info("registration removed", {{"who", "prune_unused"},
                                               {"username", leaving.username},
                                               {"name", leaving.name.text()},
                                               {"label", leaving.label}});
    else if (is_late)
      base::log::warn("the store answered late: the registration has been removed", {{"username", leaving.username}});
  };
}

Result<Registration> Registrar::Impl::make(const RegistrationWishes& wishes, const std::string& password) const {
  if (!zone_) return base::fail(ErrorCode::NotFound, "there is no zone where a registration could get its name");
  if (registry_.size() + creating_ >= max_registrations_)
    return base::fail(ErrorCode::Full, "there are {} registrations already; raise api.max_registrations or remove some",
                      registry_.size());
  Registration registration;
  registration.username = random_uuid();
  registration.subdomain = random_uuid();
  if (!wishes.name.empty()) {
    auto subdomain = parse_subdomain(wishes.name);
    if (!subdomain) return base::fail(subdomain.error());
    registration.subdomain = std::move(*subdomain);
  }
  auto labels = base::Name::parse(registration.subdomain);
  if (!labels) return base::fail(labels.error());
  auto name = zone_->prepend(*labels);
  if (!name)
    return base::fail(ErrorCode::Invalid,
                      "{}.{} is too long for a domain name; let the registration have a random name",
                      registration.subdomain, zone_->text());
  registration.name = std::move(*name);
  registration.secret = sha256_of(password);
  registration.allow_from = wishes.allow_from;
  registration.domains = wishes.domains;
  registration.label = wishes.label;
  registration.created = now();
  return registration;
}

asio::awaitable<Result<IssuedRegistration>> Registrar::Impl::create(RegistrationWishes wishes) {
  auto self = shared_from_this();
  std::string password = random_password();
  auto made = make(wishes, password);
  if (!made) co_return base::fail(made.error());
  base::Name zone = *zone_;
  RegistrationChange change = change_of(RegistrationChange::Kind::Add, *made);
  Settled settled = settle_addition(*made);
  Result<void> done =
      co_await change_registration(executor_, publisher_, std::move(change), std::move(settled), patience_);
  if (!done) co_return base::fail(done.error());
  co_return IssuedRegistration(std::move(*made), std::move(password), std::move(zone));
}

asio::awaitable<Result<IssuedRegistration>> Registrar::Impl::rotate(std::string username) {
  auto self = shared_from_this();
  std::optional<Registration> found = find_staying(username);
  if (!found)
    co_return base::fail(ErrorCode::NotFound, "there is no registration \"{}\"", base::printable(username, 100));
  std::string password = random_password();
  found->secret = sha256_of(password);
  RegistrationChange change = change_of(RegistrationChange::Kind::Replace, *found);
  Settled settled = settle_secret(found->username, found->secret);
  Result<void> done =
      co_await change_registration(executor_, publisher_, std::move(change), std::move(settled), patience_);
  if (!done) co_return base::fail(done.error());
  auto current = registry_.find(found->username);
  if (!current) co_return base::fail(ErrorCode::NotFound, "registration {} has been removed", found->username);
  // Its name's zone is what remains behind the subdomain.
  base::Name zone = current->name;
  auto labels = base::Name::parse(current->subdomain);
  for (std::size_t i = labels ? labels->label_count() : 1; i > 0; --i) zone = zone.parent();
  co_return IssuedRegistration(std::move(*current), std::move(password), std::move(zone));
}

asio::awaitable<Result<void>> Registrar::Impl::remove(std::string username) {
  auto self = shared_from_this();
  auto canonical = canonical_username(username);
  if (!canonical)
    co_return base::fail(ErrorCode::NotFound, "there is no registration \"{}\"", base::printable(username, 100));
  Result<void> done = co_await remove_from_store(std::move(*canonical), Why::Asked);
  co_return done;
}

// The store is asked even for what is not in memory: it may have more after a commit that was acknowledged too late.
asio::awaitable<Result<void>> Registrar::Impl::remove_from_store(std::string username, Why why) {
  auto self = shared_from_this();
  if (leaving_.contains(username))
    co_return base::fail(ErrorCode::Unavailable,
                         "registration {} is being removed already, but the store has not answered; try again",
                         username);
  Registration leaving = registry_.find(username).value_or(Registration());
  leaving.username = std::move(username);
  RegistrationChange change = change_of(RegistrationChange::Kind::Remove, leaving);
  Settled settled = settle_removal(std::move(leaving), why);
  Result<void> done =
      co_await change_registration(executor_, publisher_, std::move(change), std::move(settled), patience_);
  co_return done;
}

asio::awaitable<void> Registrar::Impl::take_back(std::string username) {
  auto self = shared_from_this();
  std::string who = username;
  Result<void> done = co_await remove_from_store(std::move(who), Why::Asked);
  if (done)
    base::log::warn("the store answered late: a registration that nobody was told of is removed again",
                    {{"username", username}});
  else
    base::log::warn("a registration that nobody was told of stays; remove it",
                    {{"username", username}, {"why", done.error().message}});
}

asio::awaitable<Result<std::vector<Registration>>> Registrar::Impl::list(std::string after, std::size_t limit) {
  auto self = shared_from_this();
  Result<std::vector<Registration>> all = co_await list_registrations(executor_, publisher_, std::move(after), limit);
  co_return all;
}

asio::awaitable<std::size_t> Registrar::Impl::prune_some() {
  auto self = shared_from_this();
  std::size_t gone = 0;
  std::optional<std::int64_t> age_now = ages_.now();
  if (prune_unused_.count() <= 0) co_return gone;
  if (ages_.was_set())
    base::log::warn("the clock was set: unused registrations are kept for a day, in case that it was set wrong");
  if (!age_now) co_return gone;
  std::int64_t deadline = *age_now - prune_unused_.count();
  std::vector<std::string> unused = registry_.unused_since(deadline, kPruneAtOnce, kPruneLook);
  for (const std::string& username : unused) {
    // One that is used while others are removed stays.
    auto found = registry_.find(username);
    if (!found || std::max(found->created, found->used) >= deadline) continue;
    std::string leaving = username;
    Result<void> done = co_await remove_from_store(std::move(leaving), Why::Unused);
    if (!done) co_return gone;  // the store has said itself what is wrong; the next slice tries again
    ++gone;
  }
  co_return gone;
}

asio::awaitable<void> Registrar::Impl::tell_marks_by_the_clock() {
  auto self = shared_from_this();
  while (running_) {
    marks_timer_.expires_after(kMarksEvery);
    auto [error] = co_await marks_timer_.async_wait(kAsTuple);
    if (error || !running_) co_return;
    co_await marks_.tell();
  }
}

asio::awaitable<void> Registrar::Impl::prune_by_the_clock() {
  auto self = shared_from_this();
  while (running_) {
    prune_timer_.expires_after(prune_unused_.count() > 0 ? kPruneEvery : kMarksEvery);
    auto [error] = co_await prune_timer_.async_wait(kAsTuple);
    if (error || !running_) co_return;
    co_await prune_some();
  }
}

void Registrar::Impl::start() {
  if (running_) return;
  running_ = true;
  asio::co_spawn(executor_, tell_marks_by_the_clock(), kEndOnException);
  asio::co_spawn(executor_, prune_by_the_clock(), kEndOnException);
}

void Registrar::Impl::stop() {
  running_ = false;
  marks_timer_.cancel();
  prune_timer_.cancel();
}

Registrar::Registrar(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher,
                     const base::Clock& clock, std::chrono::milliseconds patience)
    : impl_(std::make_shared<Impl>(std::move(executor), registry, publisher, clock, patience)) {}

Registrar::~Registrar() {
  impl_->end_helper();
}

void Registrar::use(const conf::Config& config) {
  impl_->use(config);
}
void Registrar::start() {
  impl_->start();
}
void Registrar::stop() {
  impl_->stop();
}
void Registrar::flush() {
  impl_->flush();
}
asio::awaitable<void> Registrar::tell_marks() {
  return impl_->tell_marks();
}
asio::awaitable<std::size_t> Registrar::prune_some() {
  return impl_->prune_some();
}
asio::awaitable<Result<IssuedRegistration>> Registrar::create(RegistrationWishes wishes) {
  return impl_->create(std::move(wishes));
}
asio::awaitable<Result<IssuedRegistration>> Registrar::rotate(std::string username) {
  return impl_->rotate(std::move(username));
}
asio::awaitable<Result<void>> Registrar::remove(std::string username) {
  return impl_->remove(std::move(username));
}
asio::awaitable<Result<std::vector<Registration>>> Registrar::list(std::string after, std::size_t limit) {
  return impl_->list(std::move(after), limit);
}
std::optional<Registration> Registrar::find(std::string_view username) const {
  return impl_->find(username);
}
std::size_t Registrar::size() const {
  return impl_->size();
}
asio::awaitable<Result<Registration>> Registrar::log_in(std::string username, std::string password,
                                                        base::SocketAddress client) {
  return impl_->log_in(std::move(username), std::move(password), std::move(client));
}

}  // namespace countersign::dnsd
