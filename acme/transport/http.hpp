// HTTP requests in batches: requests that do not depend on each other go out together and return when all are answered.
// Thread: any; requests of several threads share the connections.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

struct HttpRequest {
  enum class Method { Get, Head, Post, Put, Delete };
  Method method = Method::Get;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::size_t max_body = 0;  // octets of the answer's; 0 = as HttpOptions say
};

struct HttpResponse {
  long status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, in the order received
  std::string body;

  // The first header of that name (lower case); empty when absent.
  [[nodiscard]] std::string header(std::string_view name) const;
  // All headers of that name.
  [[nodiscard]] std::vector<std::string> all_headers(std::string_view name) const;
};

struct HttpOptions {
  std::string ca_bundle;                      // PEM file trusted besides the system's certificates; "" = none
  std::filesystem::path unix_socket;          // connect to this instead of the URL's host; "" = no
  std::chrono::milliseconds timeout{30'000};  // for each request
  std::size_t max_body = 4U << 20U;           // octets; a larger body is an error
  long max_connections = 8;                   // to one HTTP/1.1 server; an HTTP/2 one gets a single connection
};

class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // One answer for each request, in their order. Connections are kept and shared, HTTP/2 multiplexed where the server
  // offers it. Redirects are not followed. Error per request: Unavailable (no connection, TLS, an answer
  // cut short; says what and which host), Denied (a Unix socket's mode), Timeout, Protocol (headers or body too large,
  // no HTTP), Interrupted, Invalid (no http or https URL) or Usage (an unusable ca_bundle).
  [[nodiscard]] std::vector<base::Result<HttpResponse>> perform(const std::vector<HttpRequest>& requests);
  [[nodiscard]] base::Result<HttpResponse> perform(const HttpRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::acme
