// A request and a response of the control socket (API.md), apart from the socket.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace countersign::dnsd {

// Both have constructors because GCC 12.2 destroys an aggregate in a co_await expression twice.
struct ApiRequest {
  ApiRequest(std::string with_method, std::string with_target, std::string with_body = {})
      : method(std::move(with_method)), target(std::move(with_target)), body(std::move(with_body)) {}
  std::string method;
  std::string target;
  std::string body;
};

struct ApiResponse {
  explicit ApiResponse(unsigned with_status = 200, std::string with_body = {})
      : status(with_status), body(std::move(with_body)) {}
  unsigned status;
  std::string body;  // empty for 204
  std::string_view content_type = "application/json";
  std::string allow;  // for 405
  std::string link;   // RFC 8288: where a list goes on; "" = nowhere
};

// `{"error":...}` with the status that its code has.
[[nodiscard]] ApiResponse error_response(const base::Error& error);
[[nodiscard]] ApiResponse error_response(unsigned status, std::string_view code, std::string_view message);

}  // namespace countersign::dnsd
