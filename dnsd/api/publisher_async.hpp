// The publisher for coroutines: its completions, which run on the store thread, become values on the control thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <vector>

#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

using ValuesResult = base::Result<std::vector<zones::PublishedValue>>;

// Each resumes on `executor`. The publisher outlives the call.
[[nodiscard]] asio::awaitable<ValuesResult> submit(asio::any_io_executor executor, zones::Publisher& publisher,
                                                   zones::TxtChange change);
[[nodiscard]] asio::awaitable<ValuesResult> list(asio::any_io_executor executor, zones::Publisher& publisher,
                                                 std::optional<base::Name> name);

}  // namespace countersign::dnsd
