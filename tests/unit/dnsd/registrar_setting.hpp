// For the tests of Registrar: logins, what the store has, a store that hangs.
#pragma once

#include <future>
#include <utility>

#include "dnsd/api/registrar.hpp"
#include "tests/unit/dnsd/public_api_setting.hpp"

namespace countersign::tests {

inline const base::SocketAddress kClient = *base::SocketAddress::parse("192.0.2.7:4000");
inline const std::string kPassword = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ1234";

inline std::optional<base::ErrorCode> log_in(PublicApiSetting& setting, std::string username, std::string password) {
  auto login = setting.run(setting.registrar.log_in(std::move(username), std::move(password), kClient));
  if (login) return std::nullopt;
  return login.error().code;
}

inline std::vector<zones::Registration> stored(PublicApiSetting& setting) {
  auto all = setting.run(setting.registrar.list("", 1000));
  REQUIRE(all);
  return *all;
}

// A store thread that hangs, as it does when its disk does.
class HungStore {
 public:
  explicit HungStore(zones::Publisher& publisher) {
    publisher.list(std::nullopt, [released = release_.get_future().share()](const auto&) { released.wait(); });
  }
  ~HungStore() { release(); }
  HungStore(const HungStore&) = delete;
  HungStore& operator=(const HungStore&) = delete;
  void release() {
    if (!std::exchange(is_released_, true)) release_.set_value();
  }

 private:
  std::promise<void> release_;
  bool is_released_ = false;
};

// Until `result` is there; what else goes on goes on.
template <class Value>
void wait_for(PublicApiSetting& setting, const std::optional<Value>& result) {
  setting.context.restart();
  while (!result) setting.context.run_one();
}

}  // namespace countersign::tests
