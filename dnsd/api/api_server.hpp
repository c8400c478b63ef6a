// The public API's connections: HTTP/1.1 with keep-alive over TCP, with TLS when the configuration names a certificate.
// Thread: the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/descriptor.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"
#include "conf/config.hpp"
#include "dnsd/api/api_sessions.hpp"
#include "dnsd/api/http_message.hpp"
#include "dnsd/net/asio.hpp"

namespace countersign::dnsd {

// What the server counts; for /metrics and /v1/status.
struct ApiCounters {
  std::uint64_t accepted = 0;
  std::uint64_t requests = 0;            // answered, those that cannot be read too
  std::uint64_t closed_idle = 0;         // past a deadline
  std::uint64_t closed_for_room = 0;     // the longest idle, for a new one
  std::uint64_t closed_for_address = 0;  // the same, of one address
  std::uint64_t tls_failures = 0;
  std::uint64_t accept_errors = 0;
};

// Answers a request. One of each connection at once; ends the process when it throws.
using HttpHandler = std::function<asio::awaitable<HttpResponse>(HttpRequest)>;

// Listening sockets for `addresses`. Error: Exists (in use), Denied, Io, with the address and the remedy.
[[nodiscard]] base::Result<std::vector<base::Descriptor>> bind_api_listeners(
    const std::vector<base::SocketAddress>& addresses);

class ApiServer {
 public:
  // Outlives the running of `context`.
  ApiServer(asio::io_context& context, HttpHandler handler, ApiDeadlines deadlines = {});
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // At the start and at each reload: limits, and the certificate, read now. Later it is read again when its files
  // change (looked at every few seconds), and the old one stays while the new one is not usable, with one log line.
  // Error: NotFound, Denied, Invalid (what is wrong with which file; nothing is changed then).
  [[nodiscard]] base::Result<void> use(const conf::Api& api);
  // At the start, when use() failed: all but the certificate. Everybody is turned away until its files can be used;
  // DNS, through which a new one is obtained, needs none of it.
  void use_without_certificate(const conf::Api& api);
  // `sockets` listen. After the first use(). Error: Io.
  [[nodiscard]] base::Result<void> serve(std::vector<base::Descriptor> sockets);
  // No new connections and requests; those under way are answered.
  void stop();
  // Looks at the certificate's files now, as the timer does.
  void look_at_certificate();

  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] const ApiCounters& counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::dnsd
