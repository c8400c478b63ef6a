// What libcurl says, as this program says it.
#pragma once

#include <curl/curl.h>

#include <string>

#include "base/result.hpp"

namespace countersign::acme {

// `reason`: libcurl's own words, or "". `origin`: the server, or the socket. The codes are those of
// HttpClient::perform().
[[nodiscard]] base::Error transfer_error(CURL* handle, CURLcode code, std::string reason, const std::string& url,
                                         const std::string& origin);

}  // namespace countersign::acme
