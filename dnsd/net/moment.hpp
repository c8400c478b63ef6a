// The clocks as the responder wants them.
// Thread: any.
#pragma once

#include "dnsd/answer/query.hpp"

namespace countersign::dnsd {

// Once for a batch. Of the coarse clocks, which cost a few nanoseconds and step every 1 to 10 ms: cookies count
// seconds, and a rate limit's share comes back no finer than a batch.
[[nodiscard]] Moment read_moment();

}  // namespace countersign::dnsd
