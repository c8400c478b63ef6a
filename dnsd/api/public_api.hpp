// The HTTP API for ACME clients on other machines, from request to response, without a socket: acme-dns' /register,
// /update and /health, and /present and /cleanup of httpreq and acmeproxy (API.md).
// Thread: the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "dnsd/api/http_message.hpp"
#include "dnsd/api/rate_buckets.hpp"
#include "dnsd/api/registrar.hpp"
#include "dnsd/net/asio.hpp"

namespace countersign::dnsd {

// 404 as acme-dns has it.
[[nodiscard]] HttpResponse not_found_response();

class PublicApi {
 public:
  // All are kept by reference.
  PublicApi(Registrar& registrar, zones::Publisher& publisher, const base::Clock& clock);

  // At the start and at each reload. `token`: of api.registration_token_file.
  void use(const conf::Config& config, std::string token);
  // Answers GET /metrics for loopback (interface.md §5); absent: 404.
  using MetricsSource = std::function<asio::awaitable<HttpResponse>()>;
  void set_metrics(MetricsSource source);

  [[nodiscard]] asio::awaitable<HttpResponse> handle_request(HttpRequest request);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace countersign::dnsd
