// The requests of the control socket (API.md), from request to response, without a socket.
// Thread: the control thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "dnsd/api/documents.hpp"
#include "dnsd/api/request_target.hpp"
#include "dnsd/api/store_view.hpp"
#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

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
};

// `{"error":...}` with the status that its code has.
[[nodiscard]] ApiResponse error_response(const base::Error& error);
[[nodiscard]] ApiResponse error_response(unsigned status, std::string_view code, std::string_view message);

// The one request whose answer does not end; the server of the socket writes it.
struct QueryFilter {
  std::optional<base::Name> name;  // that name alone
};

class ControlApi {
 public:
  // All are kept by reference.
  ControlApi(asio::any_io_executor executor, zones::Publisher& publisher, const DaemonFacts& facts,
             const base::Clock& clock, std::chrono::milliseconds store_patience = StoreView::kPatience)
      : executor_(std::move(executor)),
        publisher_(publisher),
        facts_(facts),
        clock_(clock),
        store_(executor_, publisher, store_patience) {}

  // A filter when this is `GET /v1/queries` in good order.
  [[nodiscard]] static std::optional<QueryFilter> query_stream(const ApiRequest& request);
  [[nodiscard]] asio::awaitable<ApiResponse> handle_request(ApiRequest request);

 private:
  [[nodiscard]] asio::awaitable<ApiResponse> status(RequestTarget target);
  [[nodiscard]] asio::awaitable<ApiResponse> metrics(RequestTarget target);
  [[nodiscard]] asio::awaitable<ApiResponse> list_values(RequestTarget target);
  [[nodiscard]] asio::awaitable<ApiResponse> put_value(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> delete_value(RequestTarget target);

  asio::any_io_executor executor_;
  zones::Publisher& publisher_;
  const DaemonFacts& facts_;
  const base::Clock& clock_;
  StoreView store_;
};

}  // namespace countersign::dnsd
