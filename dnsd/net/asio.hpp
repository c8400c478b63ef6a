// Boost.Asio as the daemon uses it: coroutines that get errors as values.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace countersign::dnsd {

namespace asio = boost::asio;

// co_await ends with a tuple whose first element is the error_code.
inline constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

}  // namespace countersign::dnsd
