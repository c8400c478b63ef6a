#include "dnsd/api/publisher_async.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <memory>

namespace countersign::dnsd {
namespace {

// Hands a completion's value over to the executor's thread. Copyable, as std::function wants it; the work that is
// tracked keeps the loop running until then.
template <class Value, class Handler>
auto hand_over(const asio::any_io_executor& executor, Handler handler) {
  auto kept = std::make_shared<Handler>(std::move(handler));
  auto busy = asio::prefer(executor, asio::execution::outstanding_work_t::tracked);
  return [kept, busy](Value value) {
    asio::post(busy, [kept, value = std::move(value)]() mutable { std::move (*kept)(std::move(value)); });
  };
}

// Not a coroutine itself: GCC 12.2 destroys a capturing lambda in a co_await expression twice.
template <class Value, class Start>
asio::awaitable<Value> await_completion(asio::any_io_executor executor, Start start) {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Value)>(
      [executor, start = std::move(start)](auto handler) mutable {
        start(hand_over<Value>(executor, std::move(handler)));
      },
      asio::use_awaitable);
}

}  // namespace

asio::awaitable<ValuesResult> submit(asio::any_io_executor executor, zones::Publisher& publisher,
                                     zones::TxtChange change) {
  return await_completion<ValuesResult>(std::move(executor),
                                        [&publisher, change = std::move(change)](auto done) mutable {
                                          publisher.submit(std::move(change), std::move(done));
                                        });
}

asio::awaitable<ValuesResult> list(asio::any_io_executor executor, zones::Publisher& publisher,
                                   std::optional<base::Name> name) {
  return await_completion<ValuesResult>(std::move(executor), [&publisher, name = std::move(name)](auto done) mutable {
    publisher.list(std::move(name), std::move(done));
  });
}

}  // namespace countersign::dnsd
