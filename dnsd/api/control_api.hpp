// The requests of the control socket (API.md), from request to response, without a socket.
// Thread: the control thread.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dnsd/api/control_message.hpp"
#include "dnsd/api/documents.hpp"
#include "dnsd/api/registrations_api.hpp"
#include "dnsd/api/request_target.hpp"
#include "dnsd/api/store_view.hpp"
#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

// The one request whose answer does not end; the server of the socket writes it.
struct QueryFilter {
  std::optional<base::Name> name;  // that name alone
};

class ControlApi {
 public:
  // All are kept by reference. Without a registrar there are no registrations: 503.
  ControlApi(asio::any_io_executor executor, zones::Publisher& publisher, const DaemonFacts& facts,
             const base::Clock& clock, Registrar* registrar = nullptr,
             std::chrono::milliseconds store_patience = StoreView::kPatience)
      : executor_(std::move(executor)),
        publisher_(publisher),
        facts_(facts),
        clock_(clock),
        store_(executor_, publisher, store_patience) {
    if (registrar != nullptr) registrations_.emplace(*registrar);
  }

  // A filter when this is `GET /v1/queries` in good order.
  [[nodiscard]] static std::optional<QueryFilter> query_stream(const ApiRequest& request);
  [[nodiscard]] asio::awaitable<ApiResponse> handle_request(ApiRequest request);

  // What there is: "GET /v1/txt", "PUT /v1/txt/{name}", as the OpenAPI document writes them.
  [[nodiscard]] static std::vector<std::string> routes();

 private:
  using Handler = asio::awaitable<ApiResponse> (ControlApi::*)(RequestTarget target, std::string body);
  struct Route {
    std::string_view method;
    std::string_view pattern;  // "{...}" stands for any segment
    Handler handler;
  };
  [[nodiscard]] static std::span<const Route> table();

  [[nodiscard]] asio::awaitable<ApiResponse> status(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> metrics(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> list_values(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> put_value(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> delete_value(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> bad_query_stream(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> list_registrations(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> make_registration(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> show_registration(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> remove_registration(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> rotate_registration(RequestTarget target, std::string body);

  asio::any_io_executor executor_;
  zones::Publisher& publisher_;
  const DaemonFacts& facts_;
  const base::Clock& clock_;
  StoreView store_;
  std::optional<RegistrationsApi> registrations_;
};

}  // namespace countersign::dnsd
