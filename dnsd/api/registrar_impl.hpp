// The inside of Registrar: registrar.cpp and registrar_logins.cpp alone.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_set>

#include "dnsd/api/password_helper.hpp"
#include "dnsd/api/rate_buckets.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/api/registrar_age.hpp"
#include "dnsd/api/registrar_marks.hpp"
#include "dnsd/api/registrar_names.hpp"
#include "dnsd/api/registrar_turns.hpp"

namespace countersign::dnsd {

// Coroutines hold it, so that they may outlive the Registrar in a loop that is being taken down.
class Registrar::Impl : public std::enable_shared_from_this<Registrar::Impl> {
 public:
  Impl(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher, const base::Clock& clock,
       std::chrono::milliseconds patience)
      : executor_(std::move(executor)),
        registry_(registry),
        publisher_(publisher),
        clock_(clock),
        patience_(patience),
        marks_(executor_, registry, publisher),
        ages_(clock, registry.newest()),
        turns_(executor_),
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
  void flush() { marks_.flush(); }
  // The thread of the helper ends; whoever waits for it holds this object, and is freed.
  void end_helper() { helper_.stop(); }

  asio::awaitable<base::Result<IssuedRegistration>> create(RegistrationWishes wishes);
  asio::awaitable<base::Result<IssuedRegistration>> rotate(std::string username);
  asio::awaitable<base::Result<void>> remove(std::string username);
  asio::awaitable<base::Result<std::vector<zones::Registration>>> list(std::string after, std::size_t limit);
  asio::awaitable<base::Result<zones::Registration>> log_in(std::string username, std::string password,
                                                            base::SocketAddress client);
  asio::awaitable<void> tell_marks() {
    auto self = shared_from_this();
    co_await marks_.tell();
  }
  asio::awaitable<std::size_t> prune_some();

  [[nodiscard]] std::optional<zones::Registration> find(std::string_view username) const {
    auto canonical = canonical_username(username);
    if (!canonical) return std::nullopt;
    return registry_.find(*canonical);
  }
  [[nodiscard]] std::size_t size() const { return registry_.size(); }

 private:
  asio::awaitable<void> tell_marks_by_the_clock();
  asio::awaitable<void> prune_by_the_clock();
  asio::awaitable<base::Result<zones::Registration>> log_in_by_bcrypt(std::string username, std::string password,
                                                                      base::SocketAddress client);
  asio::awaitable<base::Result<bool>> verify_in_turn(std::string username, std::string password,
                                                     base::SocketAddress client);
  asio::awaitable<void> replace_hash(zones::Registration registration, std::string password);
  [[nodiscard]] base::Result<zones::Registration> log_in_by_digest(std::optional<zones::Registration> found,
                                                                   std::string_view password);
  [[nodiscard]] base::Result<zones::Registration> make(const RegistrationWishes& wishes,
                                                       const std::string& password) const;
  [[nodiscard]] std::int64_t now() const { return clock_.wall().time_since_epoch().count(); }
  [[nodiscard]] std::optional<zones::Registration> find_staying(std::string_view username) const;
  enum class Why { Asked, Unused };
  asio::awaitable<base::Result<void>> remove_from_store(std::string username, Why why);
  asio::awaitable<void> take_back(std::string username);
  zones::Registration used(zones::Registration registration);
  // What memory does once the store has answered, be it after whoever asked has gone.
  [[nodiscard]] Settled settle_addition(zones::Registration made);
  [[nodiscard]] Settled settle_secret(std::string username, std::string secret);
  [[nodiscard]] Settled settle_removal(zones::Registration leaving, Why why);

  asio::any_io_executor executor_;
  zones::Registry& registry_;
  zones::Publisher& publisher_;
  const base::Clock& clock_;
  std::chrono::milliseconds patience_;
  UseMarks marks_;
  AgeClock ages_;
  BcryptTurns turns_;
  asio::steady_timer marks_timer_, prune_timer_;
  PasswordHelper helper_;
  RateBuckets bcrypt_failures_{10'000};

  std::optional<base::Name> zone_;
  std::size_t max_registrations_ = 0;
  std::chrono::milliseconds prune_unused_{0};

  std::size_t creating_ = 0;                        // on their way to the store
  std::unordered_multiset<std::string> replacing_;  // usernames whose secret is on its way
  std::unordered_set<std::string> leaving_;         // usernames whose removal is: they change nothing any more
  bool running_ = false;
};

}  // namespace countersign::dnsd
