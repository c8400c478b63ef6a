// The control socket's requests about registrations (API.md), from request to response.
// Thread: the control thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "dnsd/api/control_message.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/api/request_target.hpp"
#include "dnsd/net/asio.hpp"

namespace countersign::dnsd {

class RegistrationsApi {
 public:
  // Kept by reference.
  explicit RegistrationsApi(Registrar& registrar) : registrar_(registrar) {}

  [[nodiscard]] asio::awaitable<ApiResponse> create(RequestTarget target, std::string body);
  [[nodiscard]] asio::awaitable<ApiResponse> list(RequestTarget target);
  // `target` has the username behind "/v1/registrations/".
  [[nodiscard]] ApiResponse show(const RequestTarget& target) const;
  [[nodiscard]] asio::awaitable<ApiResponse> remove(RequestTarget target);
  [[nodiscard]] asio::awaitable<ApiResponse> rotate(RequestTarget target);

 private:
  Registrar& registrar_;
};

}  // namespace countersign::dnsd
