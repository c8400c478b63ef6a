// A request and a response of the public API, apart from sockets and from the library that reads them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/socket_address.hpp"

namespace countersign::dnsd {

// Both have constructors because GCC 12.2 destroys an aggregate in a co_await expression twice.
struct HttpRequest {
  HttpRequest() {}  // NOLINT(modernize-use-equals-default)
  std::string method;
  std::string target;                                       // as sent, with its query
  std::string body;                                         // at most the server's limit
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case, in their order
  base::SocketAddress peer;                                 // who is connected: maybe a proxy

  // The first field of this name; "" when absent. `name` in lower case.
  [[nodiscard]] std::string_view field(std::string_view name) const;
};

struct HttpResponse {
  explicit HttpResponse(unsigned with_status = 200, std::string with_body = {},
                        std::string_view with_content_type = "application/json")
      : status(with_status), body(std::move(with_body)), content_type(with_content_type) {}
  unsigned status;
  std::string body;                                         // sent as it is, without a newline at its end
  std::string_view content_type;                            // not sent with an empty body
  std::vector<std::pair<std::string, std::string>> fields;  // Allow, Location, Retry-After, Access-Control-...
  bool close = false;                                       // the connection ends with it
};

}  // namespace countersign::dnsd
