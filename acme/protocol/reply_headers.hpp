// Headers of a CA's answers that carry more than one word: Retry-After and Link.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/transport/http.hpp"

namespace countersign::acme {

// Seconds or an HTTP-date (RFC 9110 §10.2.3, §5.6.7, obsolete forms too). A date counts from the answer's own Date
// header, so that a wrong clock here does no harm. Clamped to 0 .. 7 days; absent when missing or unreadable.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response);

// The targets of all links of that relation (RFC 8288): several headers, several links in one, several relations in
// one link.
[[nodiscard]] std::vector<std::string> links(const HttpResponse& response, std::string_view relation);

// The media type without parameters, in lower case.
[[nodiscard]] std::string media_type(const HttpResponse& response);

}  // namespace countersign::acme
