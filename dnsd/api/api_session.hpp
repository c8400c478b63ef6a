// One connection of the public API, and its conversation: requests in, answers out, in their order.
// Thread: the control thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <optional>
#include <string>

#include "base/socket_address.hpp"
#include "dnsd/api/api_server.hpp"
#include "dnsd/api/http_exchange.hpp"

namespace countersign::dnsd {

struct ApiSession : ApiPlace {
  using Socket = asio::ip::tcp::socket;

  explicit ApiSession(Socket with_socket);

  Socket socket;
  std::optional<asio::ssl::stream<Socket&>> tls;
  base::SocketAddress peer;
  boost::beast::flat_buffer input;  // what has come and is not used yet
  std::string output;
  bool too_slow = false;  // its request is past the deadline
};

// What all conversations have in common; the server's.
struct ApiTalk {
  ApiSessions& sessions;
  const HttpHandler& handler;
  ApiCounters& counters;
  const bool& stopping;
};

// To the end of the connection. Both stay where they are; `session` is not removed.
[[nodiscard]] asio::awaitable<void> converse(const ApiTalk& talk, ApiSession& session);

}  // namespace countersign::dnsd
