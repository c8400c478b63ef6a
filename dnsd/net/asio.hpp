// Boost.Asio as the daemon uses it: coroutines that get errors as values.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

namespace countersign::dnsd {

namespace asio = boost::asio;

// co_await ends with a tuple whose first element is the error_code.
inline constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

// How a coroutine of the daemon is spawned: errors are values in it, so that an exception (out of memory) ends the
// process, instead of one session or all accepting in silence.
inline constexpr auto kEndOnException = [](const std::exception_ptr& exception) {
  if (exception) std::rethrow_exception(exception);
};

}  // namespace countersign::dnsd
