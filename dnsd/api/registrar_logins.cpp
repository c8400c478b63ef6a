// Registrar: who somebody is.
#include "base/log.hpp"
#include "dnsd/api/client_address.hpp"
#include "dnsd/api/registrar_impl.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::Result;
using zones::Registration;
using zones::RegistrationChange;

// Of failures: whoever moved a hundred accounts here may use them all at once.
constexpr RateBuckets::Limit kBcryptLimit{1, 10};

}  // namespace

Registration Registrar::Impl::used(Registration registration) {
  registry_.mark_used(registration.username, now());
  return registration;
}

std::optional<Registration> Registrar::Impl::find_staying(std::string_view username) const {
  std::optional<Registration> found = find(username);
  if (found && leaving_.contains(found->username)) found.reset();
  return found;
}

asio::awaitable<Result<Registration>> Registrar::Impl::log_in(std::string username, std::string password,
                                                              base::SocketAddress client) {
  auto self = shared_from_this();
  std::optional<Registration> found = find_staying(username);
  if (!found || !found->is_bcrypt()) co_return log_in_by_digest(std::move(found), password);
  Result<Registration> answer =
      co_await log_in_by_bcrypt(std::move(found->username), std::move(password), std::move(client));
  co_return answer;
}

Result<Registration> Registrar::Impl::log_in_by_digest(std::optional<Registration> found, std::string_view password) {
  // The same work for a username that nobody has, as far as it can be.
  static const std::string kNobodys(32, '\0');
  bool right = equal_in_constant_time(sha256_of(password), found ? found->secret : kNobodys);
  if (!found || !right) return base::fail(ErrorCode::Denied, "wrong username or password");
  return used(std::move(*found));
}

asio::awaitable<Result<Registration>> Registrar::Impl::log_in_by_bcrypt(std::string username, std::string password,
                                                                        base::SocketAddress client) {
  std::string address = address_key(client);
  bool has_turn = co_await turns_.enter(address, username);
  if (!has_turn)
    co_return base::fail(ErrorCode::Unavailable, "too many passwords of {} or {} wait to be verified",
                         client.address_text(), username);
  std::string whose = username;
  std::string given = password;
  Result<bool> verified = co_await verify_in_turn(std::move(whose), std::move(given), std::move(client));
  turns_.leave(address, username);
  if (!verified) co_return base::fail(verified.error());
  // Meanwhile it may have been removed, its password rotated, or its hash replaced by another login.
  std::optional<Registration> current = find_staying(username);
  if (!current || !current->is_bcrypt()) co_return log_in_by_digest(std::move(current), password);
  if (!*verified) co_return base::fail(ErrorCode::Denied, "wrong username or password");
  // A rotation that is on its way must not be overwritten by the password before it.
  if (replacing_.contains(username)) co_return used(std::move(*current));
  Registration registration = *current;
  co_await replace_hash(std::move(registration), std::move(password));
  current = registry_.find(username);
  if (!current) co_return base::fail(ErrorCode::Denied, "registration {} has been removed", username);
  co_return used(std::move(*current));
}

// The token of a failure is taken before the work: many at once must not all find the one that is left.
asio::awaitable<Result<bool>> Registrar::Impl::verify_in_turn(std::string username, std::string password,
                                                              base::SocketAddress client) {
  std::optional<Registration> found = find_staying(username);
  if (!found || !found->is_bcrypt()) co_return false;  // since it waits
  std::string address = address_key(client);
  if (bcrypt_failures_.take(address, kBcryptLimit, clock_.elapsed()))
    co_return base::fail(ErrorCode::Unavailable, "too many passwords of {} to verify", client.address_text());
  std::string hash = found->secret;
  Result<bool> verified = co_await helper_.verify(executor_, std::move(password), std::move(hash));
  bool is_failure = verified.has_value() && !*verified;
  if (!is_failure) bcrypt_failures_.give_back(address, kBcryptLimit, clock_.elapsed());
  co_return verified;
}

asio::awaitable<void> Registrar::Impl::replace_hash(Registration registration, std::string password) {
  registration.secret = sha256_of(password);
  RegistrationChange change;
  change.kind = RegistrationChange::Kind::Replace;
  change.registration = registration;
  Settled settled = settle_secret(registration.username, registration.secret);
  Result<void> done =
      co_await change_registration(executor_, publisher_, std::move(change), std::move(settled), patience_);
  if (done)
    base::log::info("bcrypt hash replaced", {{"who", registration.username}});
  else
    base::log::warn("bcrypt hash not replaced", {{"who", registration.username}, {"why", done.error().message}});
}

}  // namespace countersign::dnsd
