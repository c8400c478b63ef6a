#include "dnsd/api/registrar.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_set>

#include "base/encoding.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/password_helper.hpp"
#include "dnsd/api/publisher_async.hpp"
#include "dnsd/api/rate_buckets.hpp"
#include "dnsd/api/registrar_names.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;
using zones::Registration;
using zones::RegistrationChange;

constexpr std::chrono::seconds kMarksEvery = std::chrono::minutes(1);
constexpr std::size_t kMarksAtOnce = 500;  // a commit that updates may have to wait for
// A million registrations are looked through in a quarter of an hour, a slice in a tenth of a millisecond.
constexpr auto kPruneEvery = std::chrono::seconds(1);
constexpr std::size_t kPruneLook = 1000;
constexpr std::size_t kPruneAtOnce = 50;
// A clock that was moved says nothing about how long somebody was away.
constexpr auto kClockJump = std::chrono::hours(1);
// Of failures: whoever moved a hundred accounts here may use them all at once.
constexpr RateBuckets::Limit kBcryptLimit{1, 10};

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

// Coroutines hold it, so that they may outlive the Registrar in a loop that is being taken down.
class Registrar::Impl : public std::enable_shared_from_this<Registrar::Impl> {
 public:
  Impl(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher, const base::Clock& clock)
      : executor_(std::move(executor)),
        registry_(registry),
        publisher_(publisher),
        clock_(clock),
        marks_timer_(executor_),
        prune_timer_(executor_) {}

  void use(const conf::Config& config) {
    zone_ = config.api.zone;
    if (!zone_ && !config.zones.empty()) zone_ = config.zones.front().name;
    max_registrations_ = config.api.max_registrations;
    prune_unused_ = config.api.prune_unused;
  }
  void start();
  void stop();
  // The thread of the helper ends; whoever waits for it holds this object, and is freed.
  void end_helper() { helper_.stop(); }

  asio::awaitable<Result<IssuedRegistration>> create(RegistrationWishes wishes);
  asio::awaitable<Result<IssuedRegistration>> rotate(std::string username);
  asio::awaitable<Result<void>> remove(std::string username);
  asio::awaitable<Result<std::vector<Registration>>> list(std::string after, std::size_t limit);
  asio::awaitable<Result<Registration>> log_in(std::string username, std::string password, base::SocketAddress client);
  asio::awaitable<void> tell_marks();
  asio::awaitable<std::size_t> prune_some();

  [[nodiscard]] std::optional<Registration> find(std::string_view username) const {
    auto canonical = canonical_username(username);
    if (!canonical) return std::nullopt;
    return registry_.find(*canonical);
  }
  [[nodiscard]] std::size_t size() const { return registry_.size(); }

 private:
  asio::awaitable<void> tell_marks_by_the_clock();
  asio::awaitable<void> prune_by_the_clock();
  asio::awaitable<Result<Registration>> log_in_by_bcrypt(Registration registration, std::string password,
                                                         base::SocketAddress client);
  [[nodiscard]] Result<Registration> make(const RegistrationWishes& wishes, const std::string& password) const;
  [[nodiscard]] std::int64_t now() const { return clock_.wall().time_since_epoch().count(); }
  [[nodiscard]] bool clock_was_moved();
  asio::awaitable<Result<void>> remove_from_store(std::string username);
  Registration used(Registration registration);

  asio::any_io_executor executor_;
  zones::Registry& registry_;
  zones::Publisher& publisher_;
  const base::Clock& clock_;
  asio::steady_timer marks_timer_, prune_timer_;
  PasswordHelper helper_;
  RateBuckets bcrypt_failures_{10'000};

  std::optional<base::Name> zone_;
  std::size_t max_registrations_ = 0;
  std::chrono::milliseconds prune_unused_{0};
  std::optional<std::chrono::milliseconds> clock_offset_;  // wall clock less the one that never jumps
  base::ElapsedTime prune_not_before_{0};

  std::size_t creating_ = 0;                        // on their way to the store
  std::unordered_multiset<std::string> replacing_;  // usernames whose secret is on its way
  std::unordered_set<std::string> leaving_;         // usernames whose removal is: they change nothing any more
  bool running_ = false;
};

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
  ++creating_;
  Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
  --creating_;
  if (!done) co_return base::fail(done.error());
  registry_.put(*made);
  co_return IssuedRegistration(std::move(*made), std::move(password), std::move(zone));
}

asio::awaitable<Result<IssuedRegistration>> Registrar::Impl::rotate(std::string username) {
  auto self = shared_from_this();
  std::optional<Registration> found = find(username);
  if (!found || leaving_.contains(found->username))
    co_return base::fail(ErrorCode::NotFound, "there is no registration \"{}\"", base::printable(username, 100));
  std::string password = random_password();
  found->secret = sha256_of(password);
  RegistrationChange change = change_of(RegistrationChange::Kind::Replace, *found);
  replacing_.insert(found->username);
  Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
  replacing_.erase(replacing_.find(found->username));
  if (!done) co_return base::fail(done.error());
  // Marks of use may have come meanwhile: they are newer than what was found.
  auto current = registry_.find(found->username);
  if (!current) co_return base::fail(ErrorCode::NotFound, "registration {} has been removed", found->username);
  current->secret = found->secret;
  registry_.put(*current);
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
  Result<void> done = co_await remove_from_store(std::move(*canonical));
  co_return done;
}

// The store is asked even for what is not in memory: it may have more after a commit that was acknowledged too late.
asio::awaitable<Result<void>> Registrar::Impl::remove_from_store(std::string username) {
  auto self = shared_from_this();
  auto found = registry_.find(username);
  if (!leaving_.insert(username).second)
    co_return base::fail(ErrorCode::NotFound, "registration {} is being removed already", username);
  Registration registration;
  registration.username = username;
  if (found) registration = *found;
  RegistrationChange change = change_of(RegistrationChange::Kind::Remove, std::move(registration));
  Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
  leaving_.erase(username);
  bool is_gone = done.has_value() || done.error().code == ErrorCode::NotFound;
  if (is_gone) registry_.erase(username);
  co_return done;
}

asio::awaitable<Result<std::vector<Registration>>> Registrar::Impl::list(std::string after, std::size_t limit) {
  auto self = shared_from_this();
  Result<std::vector<Registration>> all = co_await list_registrations(executor_, publisher_, std::move(after), limit);
  co_return all;
}

Registration Registrar::Impl::used(Registration registration) {
  registry_.mark_used(registration.username, now());
  return registration;
}

asio::awaitable<Result<Registration>> Registrar::Impl::log_in(std::string username, std::string password,
                                                              base::SocketAddress client) {
  auto self = shared_from_this();
  std::optional<Registration> found = find(username);
  if (found && leaving_.contains(found->username)) found.reset();
  if (found && found->is_bcrypt()) {
    Result<Registration> answer = co_await log_in_by_bcrypt(std::move(*found), std::move(password), std::move(client));
    co_return answer;
  }
  // The same work for a username that nobody has, as far as it can be.
  static const std::string kNobodys(32, '\0');
  bool right = equal_in_constant_time(sha256_of(password), found ? found->secret : kNobodys);
  if (!found || !right) co_return base::fail(ErrorCode::Denied, "wrong username or password");
  co_return used(std::move(*found));
}

asio::awaitable<Result<Registration>> Registrar::Impl::log_in_by_bcrypt(Registration registration, std::string password,
                                                                        base::SocketAddress client) {
  if (bcrypt_failures_.look(address_key(client), kBcryptLimit, clock_.elapsed()))
    co_return base::fail(ErrorCode::Unavailable, "too many passwords of {} to verify", client.address_text());
  std::string given = password;
  std::string hash = registration.secret;
  Result<bool> verified = co_await helper_.verify(executor_, std::move(given), std::move(hash));
  if (!verified) co_return base::fail(verified.error());
  // Meanwhile it may have been removed, its password rotated, or its hash replaced by another login.
  auto current = registry_.find(registration.username);
  bool is_there = current && !leaving_.contains(registration.username);
  if (!is_there || !*verified) {
    static_cast<void>(bcrypt_failures_.take(address_key(client), kBcryptLimit, clock_.elapsed()));
    co_return base::fail(ErrorCode::Denied, "wrong username or password");
  }
  if (current->secret != registration.secret) {
    if (!equal_in_constant_time(sha256_of(password), current->secret))
      co_return base::fail(ErrorCode::Denied, "wrong username or password");
    co_return used(std::move(*current));
  }
  registration = std::move(*current);
  // A rotation that is on its way must not be overwritten by the password before it.
  if (replacing_.contains(registration.username)) co_return used(std::move(registration));
  replacing_.insert(registration.username);
  Registration renewed = registration;
  renewed.secret = sha256_of(password);
  RegistrationChange change = change_of(RegistrationChange::Kind::Replace, renewed);
  Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
  replacing_.erase(replacing_.find(registration.username));
  if (!done) {
    base::log::warn("bcrypt hash not replaced", {{"who", registration.username}, {"why", done.error().message}});
    co_return used(std::move(registration));
  }
  current = registry_.find(registration.username);
  if (!current) co_return base::fail(ErrorCode::Denied, "registration {} has been removed", registration.username);
  current->secret = renewed.secret;
  registry_.put(*current);
  base::log::info("bcrypt hash replaced", {{"who", registration.username}});
  co_return used(std::move(*current));
}

asio::awaitable<void> Registrar::Impl::tell_marks() {
  auto self = shared_from_this();
  std::vector<zones::UsedMark> marks = registry_.take_marks();
  while (!marks.empty()) {
    std::size_t rest = marks.size() - std::min(marks.size(), kMarksAtOnce);
    RegistrationChange change;
    change.kind = RegistrationChange::Kind::MarkUsed;
    change.marks.assign(marks.begin() + static_cast<std::ptrdiff_t>(rest), marks.end());
    Result<void> done = co_await change_registration(executor_, publisher_, std::move(change));
    if (!done) {
      // The store has said itself what is wrong; the next minute tries again.
      registry_.mark_again(marks);
      co_return;
    }
    marks.resize(rest);
  }
}

bool Registrar::Impl::clock_was_moved() {
  std::chrono::milliseconds offset = clock_.wall().time_since_epoch() - clock_.elapsed();
  bool moved = clock_offset_ && std::chrono::abs(offset - *clock_offset_) > kClockJump;
  clock_offset_ = offset;
  return moved;
}

asio::awaitable<std::size_t> Registrar::Impl::prune_some() {
  auto self = shared_from_this();
  std::size_t gone = 0;
  if (clock_was_moved()) {
    prune_not_before_ = clock_.elapsed() + kClockJump;
    if (prune_unused_.count() > 0)
      base::log::warn("the clock was set: unused registrations are kept for an hour, in case that it was set wrong");
  }
  if (prune_unused_.count() <= 0 || clock_.elapsed() < prune_not_before_) co_return gone;
  std::int64_t deadline = now() - prune_unused_.count();
  std::vector<std::string> unused = registry_.unused_since(deadline, kPruneAtOnce, kPruneLook);
  for (const std::string& username : unused) {
    // One that is used while others are removed stays.
    auto found = registry_.find(username);
    if (!found || std::max(found->created, found->used) >= deadline) continue;
    std::string leaving = username;
    Result<void> done = co_await remove_from_store(std::move(leaving));
    if (!done) co_return gone;  // the store has said itself what is wrong; the next slice tries again
    base::log::info(
        "registration removed",
        {{"who", "prune_unused"}, {"username", username}, {"name", found->name.text()}, {"label", found->label}});
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
    co_await tell_marks();
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
  RegistrationChange change;
  change.kind = RegistrationChange::Kind::MarkUsed;
  change.marks = registry_.take_marks();
  // Nobody waits: the publisher finishes what was submitted before it ends.
  if (!change.marks.empty()) publisher_.change_registration(std::move(change), [](const Result<void>&) {});
}

Registrar::Registrar(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher,
                     const base::Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(executor), registry, publisher, clock)) {}

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
