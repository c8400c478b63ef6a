// The publisher for coroutines: its completions, which run on the store thread, become values on the control thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

using ValuesResult = base::Result<std::vector<zones::PublishedValue>>;

// As long as the deadlines of requests leave room to tell of it; a commit of a slow disk takes a tenth of a second.
inline constexpr std::chrono::milliseconds kStorePatience{10'000};

// Each is submitted at once, and resumes on `executor` when it is awaited there, by its own thread. The publisher
// outlives the call. A store that does not answer within 10 seconds, because its disk hangs, is Unavailable to whoever
// waits; what was submitted may still happen.
[[nodiscard]] asio::awaitable<ValuesResult> submit(asio::any_io_executor executor, zones::Publisher& publisher,
                                                   zones::TxtChange change);
[[nodiscard]] asio::awaitable<ValuesResult> list(asio::any_io_executor executor, zones::Publisher& publisher,
                                                 std::optional<base::Name> name);
[[nodiscard]] asio::awaitable<base::Result<zones::UpdateVerdict>> update(asio::any_io_executor executor,
                                                                         zones::Publisher& publisher,
                                                                         zones::TxtUpdate update);
[[nodiscard]] asio::awaitable<base::Result<void>> change_registration(asio::any_io_executor executor,
                                                                      zones::Publisher& publisher,
                                                                      zones::RegistrationChange change);
// For what follows the store: called on the executor's thread when the store has answered, before whoever waits is
// resumed, and also when nobody waits any more; `is_late` then.
using Settled = std::function<void(const base::Result<void>& done, bool is_late)>;
[[nodiscard]] asio::awaitable<base::Result<void>> change_registration(
    asio::any_io_executor executor, zones::Publisher& publisher, zones::RegistrationChange change, Settled settled,
    std::chrono::milliseconds patience = kStorePatience);
[[nodiscard]] asio::awaitable<base::Result<std::vector<zones::Registration>>> list_registrations(
    asio::any_io_executor executor, zones::Publisher& publisher, std::string after, std::size_t limit);

}  // namespace countersign::dnsd
