#include "dnsd/api/registrar_turns.hpp"

#include <boost/asio/any_io_executor.hpp>

namespace countersign::dnsd {

BcryptTurns::BcryptTurns(const asio::any_io_executor& executor)
    : left_(executor, asio::steady_timer::time_point::max()) {}

BcryptTurns::Count BcryptTurns::count_of(const std::string& key) const {
  auto found = counts_.find(key);
  return found == counts_.end() ? Count() : found->second;
}

bool BcryptTurns::is_free(const std::string& address, const std::string& username) const {
  return count_of(address).busy < kAtOnce && count_of(username).busy < kAtOnce;
}

void BcryptTurns::change(const std::string& key, std::size_t Count::* what, std::ptrdiff_t by) {
  Count& count = counts_[key];
  count.*what += static_cast<std::size_t>(by);
  if (count.busy == 0 && count.waiting == 0) counts_.erase(key);
}

asio::awaitable<bool> BcryptTurns::enter(std::string address, std::string username) {
  if (!is_free(address, username)) {
    bool has_room = waiting_ < kMaxWaiting && count_of(address).waiting < kMaxWaitingOfOne &&
                    count_of(username).waiting < kMaxWaitingOfOne;
    if (!has_room) co_return false;
    ++waiting_;
    change(address, &Count::waiting, 1);
    change(username, &Count::waiting, 1);
    // Those who waited before are woken before.
    while (!is_free(address, username)) {
      auto woken = co_await left_.async_wait(kAsTuple);
      static_cast<void>(woken);
    }
    --waiting_;
    change(address, &Count::busy, 1);
    change(username, &Count::busy, 1);
    change(address, &Count::waiting, -1);
    change(username, &Count::waiting, -1);
    co_return true;
  }
  change(address, &Count::busy, 1);
  change(username, &Count::busy, 1);
  co_return true;
}

void BcryptTurns::leave(const std::string& address, const std::string& username) {
  change(address, &Count::busy, -1);
  change(username, &Count::busy, -1);
  left_.cancel();
}

}  // namespace countersign::dnsd
