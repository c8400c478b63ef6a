// Registrations as the APIs see them: made, checked, rotated, removed, pruned. Memory (Registry) follows what the store
// has acknowledged.
// Whoever asks for a change logs it; what time removes is logged here. Thread: the control thread; bcrypt hashes are
// verified by a thread of its own (PasswordHelper).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/socket_address.hpp"
#include "conf/config.hpp"
#include "dnsd/api/publisher_async.hpp"
#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"
#include "zones/registry.hpp"

namespace countersign::dnsd {

// Constructors because GCC 12.2 destroys an aggregate in a co_await expression twice.
struct RegistrationWishes {
  RegistrationWishes() {}
  std::string name;  // "example.com": owns that label or labels below the zone; "" = a new UUID
  std::vector<base::Name> domains;
  std::vector<std::string> allow_from;  // CIDRs, judged already
  std::string label;
};

struct IssuedRegistration {
  IssuedRegistration(zones::Registration with_registration, std::string with_password, base::Name with_zone)
      : registration(std::move(with_registration)), password(std::move(with_password)), zone(std::move(with_zone)) {}
  zones::Registration registration;
  std::string password;  // 40 of [A-Za-z0-9_-], 240 random bits; only here, never kept
  base::Name zone;
};

class Registrar {
 public:
  // All are kept by reference; the registry has what the store has. `patience`: how long the store is waited for; what
  // it does later is followed all the same.
  Registrar(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher,
            const base::Clock& clock, std::chrono::milliseconds patience = kStorePatience);
  ~Registrar();
  Registrar(const Registrar&) = delete;
  Registrar& operator=(const Registrar&) = delete;

  // At the start and at each reload: zone, max_registrations, prune_unused.
  void use(const conf::Config& config);
  // Marks of use go to the store once a minute, unused registrations go; from now until stop().
  void start();
  void stop();
  // The marks that the store does not have yet are submitted: the last thing, when the loop has ended.
  void flush();
  // What happens by the clock between start() and stop(), for tests: the marks that there are go to the store; the next
  // entries of the registry are looked at, and how many of them went.
  [[nodiscard]] asio::awaitable<void> tell_marks();
  [[nodiscard]] asio::awaitable<std::size_t> prune_some();

  // Error: Full (max_registrations), Exists (the name is another's), Invalid (the name), NotFound (no zone),
  // Unavailable (nothing is left of it, also when the store answers later).
  [[nodiscard]] asio::awaitable<base::Result<IssuedRegistration>> create(RegistrationWishes wishes);
  // A new password; the old one is worth nothing from then on. Error: NotFound, Unavailable (it
  // may still happen, when the store does not answer in time).
  [[nodiscard]] asio::awaitable<base::Result<IssuedRegistration>> rotate(std::string username);
  // With its values. Error: NotFound, Unavailable (as above).
  [[nodiscard]] asio::awaitable<base::Result<void>> remove(std::string username);
  [[nodiscard]] asio::awaitable<base::Result<std::vector<zones::Registration>>> list(std::string after,
                                                                                     std::size_t limit);
  [[nodiscard]] std::optional<zones::Registration> find(std::string_view username) const;
  [[nodiscard]] std::size_t size() const;

  // Whose username and password these are. `username` in any spelling that canonical_username() takes. In constant time
  // for what may be guessed; an imported bcrypt hash is verified by the helper thread and replaced at its first
  // success. Marks the registration used. Error: Denied (either is wrong), Unavailable (too many bcrypt hashes wait, or
  // too many from `client` were wrong or are being verified).
  [[nodiscard]] asio::awaitable<base::Result<zones::Registration>> log_in(std::string username, std::string password,
                                                                          base::SocketAddress client);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace countersign::dnsd
