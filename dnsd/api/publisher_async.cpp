#include "dnsd/api/publisher_async.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace countersign::dnsd {
namespace {

// An answer that is waited for; the store thread may bring it when nobody waits any more.
template <class Value>
struct Waiting {
  explicit Waiting(const asio::any_io_executor& executor) : patience(executor) {}
  asio::steady_timer patience;
  std::optional<Value> answer;
  std::function<void(const Value&, bool is_late)> settled;  // may be empty
  bool is_abandoned = false;
};

// What a completion of the publisher does: hands its value over to the executor's thread. The work that is tracked
// keeps the loop running until then.
template <class Value>
auto hand_over(const asio::any_io_executor& executor, std::shared_ptr<Waiting<Value>> waiting) {
  auto busy = asio::prefer(executor, asio::execution::outstanding_work_t::tracked);
  return [waiting = std::move(waiting), busy](Value value) {
    asio::post(busy, [waiting, value = std::move(value)]() mutable {
      // Freed with this call: what it holds may hold whoever waits.
      auto settled = std::exchange(waiting->settled, nullptr);
      if (settled) settled(value, waiting->is_abandoned);
      waiting->answer = std::move(value);
      waiting->patience.cancel();
    });
  };
}

template <class Value>
asio::awaitable<Value> await_answer(std::shared_ptr<Waiting<Value>> waiting,
                                    std::chrono::milliseconds patience = kStorePatience) {
  if (!waiting->answer) {
    waiting->patience.expires_after(patience);
    auto waited = co_await waiting->patience.async_wait(kAsTuple);
    static_cast<void>(waited);
  }
  if (!waiting->answer) {
    waiting->is_abandoned = true;
    co_return base::fail(base::ErrorCode::Unavailable,
                         "the store does not answer; its disk may hang, or too much waits for it. What was asked for "
                         "may still happen; try again");
  }
  co_return std::move(*waiting->answer);
}

}  // namespace

asio::awaitable<ValuesResult> submit(asio::any_io_executor executor, zones::Publisher& publisher,
                                     zones::TxtChange change) {
  auto waiting = std::make_shared<Waiting<ValuesResult>>(executor);
  publisher.submit(std::move(change), hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

asio::awaitable<ValuesResult> list(asio::any_io_executor executor, zones::Publisher& publisher,
                                   std::optional<base::Name> name) {
  auto waiting = std::make_shared<Waiting<ValuesResult>>(executor);
  publisher.list(std::move(name), hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

asio::awaitable<base::Result<zones::UpdateVerdict>> update(asio::any_io_executor executor, zones::Publisher& publisher,
                                                           zones::TxtUpdate update) {
  auto waiting = std::make_shared<Waiting<base::Result<zones::UpdateVerdict>>>(executor);
  publisher.update(std::move(update), hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

asio::awaitable<base::Result<void>> change_registration(asio::any_io_executor executor, zones::Publisher& publisher,
                                                        zones::RegistrationChange change) {
  auto waiting = std::make_shared<Waiting<base::Result<void>>>(executor);
  publisher.change_registration(std::move(change), hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

asio::awaitable<base::Result<void>> change_registration(asio::any_io_executor executor, zones::Publisher& publisher,
                                                        zones::RegistrationChange change, Settled settled,
                                                        std::chrono::milliseconds patience) {
  auto waiting = std::make_shared<Waiting<base::Result<void>>>(executor);
  waiting->settled = std::move(settled);
  publisher.change_registration(std::move(change), hand_over(executor, waiting));
  return await_answer(std::move(waiting), patience);
}

asio::awaitable<base::Result<std::vector<zones::Registration>>> list_registrations(asio::any_io_executor executor,
                                                                                   zones::Publisher& publisher,
                                                                                   std::string after,
                                                                                   std::size_t limit) {
  auto waiting = std::make_shared<Waiting<base::Result<std::vector<zones::Registration>>>>(executor);
  publisher.list_registrations(std::move(after), limit, hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

}  // namespace countersign::dnsd
