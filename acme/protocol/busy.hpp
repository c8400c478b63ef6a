// When to ask once more a CA that is busy, or behind a connection that broke.
#pragma once

#include <chrono>
#include <optional>

#include "acme/transport/http.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// The wait before the next try, after `tries` that ended so; absent when the answer has to be taken as it is: it is no
// such trouble, it was tried often enough, or the CA wants longer than a program should wait.
[[nodiscard]] std::optional<std::chrono::milliseconds> busy_delay(const base::Result<HttpResponse>& answer,
                                                                  unsigned tries);

}  // namespace countersign::acme
