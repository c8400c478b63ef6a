#include "dnsd/api/publisher_async.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>

namespace countersign::dnsd {
namespace {

// As long as the deadlines of requests leave room to tell of it; a commit of a slow disk takes a tenth of a second.
constexpr std::chrono::seconds kPatience{10};

// An answer that is waited for; the store thread may bring it when nobody waits any more.
template <class Value>
struct Waiting {
  explicit Waiting(const asio::any_io_executor& executor) : patience(executor) {}
  asio::steady_timer patience;
  std::optional<Value> answer;
};

// What a completion of the publisher does: hands its value over to the executor's thread. The work that is tracked
// keeps the loop running until then.
template <class Value>
auto hand_over(const asio::any_io_executor& executor, std::shared_ptr<Waiting<Value>> waiting) {
  auto busy = asio::prefer(executor, asio::execution::outstanding_work_t::tracked);
  return [waiting = std::move(waiting), busy](Value value) {
    asio::post(busy, [waiting, value = std::move(value)]() mutable {
      waiting->answer = std::move(value);
      waiting->patience.cancel();
    });
  };
}

template <class Value>
asio::awaitable<Value> await_answer(std::shared_ptr<Waiting<Value>> waiting) {
  if (!waiting->answer) {
    waiting->patience.expires_after(kPatience);
    auto waited = co_await waiting->patience.async_wait(kAsTuple);
    static_cast<void>(waited);
  }
  if (!waiting->answer)
    co_return base::fail(base::ErrorCode::Unavailable,
                         "the store does not answer; its disk may hang, or too much waits for it");
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

asio::awaitable<base::Result<std::vector<zones::Registration>>> list_registrations(asio::any_io_executor executor,
                                                                                   zones::Publisher& publisher,
                                                                                   std::string after,
                                                                                   std::size_t limit) {
  auto waiting = std::make_shared<Waiting<base::Result<std::vector<zones::Registration>>>>(executor);
  publisher.list_registrations(std::move(after), limit, hand_over(executor, waiting));
  return await_answer(std::move(waiting));
}

}  // namespace countersign::dnsd
