// Who may have a password verified by bcrypt now: two of each address and of each username, so that nobody fills the
// helper's queue alone; the others wait their turn.
// Thread: those of one executor.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <unordered_map>

#include "dnsd/net/asio.hpp"

namespace countersign::dnsd {

class BcryptTurns {
 public:
  static constexpr std::size_t kAtOnce = 2;
  static constexpr std::size_t kMaxWaitingOfOne = 32;  // address or username
  static constexpr std::size_t kMaxWaiting = 64;

  explicit BcryptTurns(const asio::any_io_executor& executor);

  // False: too many wait already. Else leave() follows, with the same. This outlives it.
  [[nodiscard]] asio::awaitable<bool> enter(std::string address, std::string username);
  void leave(const std::string& address, const std::string& username);

 private:
  struct Count {
    std::size_t busy = 0;
    std::size_t waiting = 0;
  };
  [[nodiscard]] Count count_of(const std::string& key) const;
  [[nodiscard]] bool is_free(const std::string& address, const std::string& username) const;
  void change(const std::string& key, std::size_t Count::* what, std::ptrdiff_t by);

  // Addresses and usernames, which never look alike: only one of them is a UUID.
  std::unordered_map<std::string, Count> counts_;
  std::size_t waiting_ = 0;
  asio::steady_timer left_;  // never expires; cancelled whenever somebody leaves
};

}  // namespace countersign::dnsd
