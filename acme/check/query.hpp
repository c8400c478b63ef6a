// Many DNS questions at once over UDP, and TCP when an answer was truncated: a poll loop, no threads.
#pragma once

#include <chrono>
#include <vector>

#include "acme/check/message.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme::dns {

struct Query {
  base::SocketAddress server;
  Question question;
};

struct AskOptions {
  // The question is sent once for each, and answers to every sending count until the last wait is over.
  std::vector<std::chrono::milliseconds> waits{std::chrono::milliseconds(1000), std::chrono::milliseconds(2000)};
  std::chrono::milliseconds tcp_wait{3000};  // for a whole exchange over TCP
};

// One answer for each query, in their order. Each query has a socket of its own, connected, so that its port is random
// as its id is (RFC 5452 §9) and only its server's datagrams arrive. Error per query: Timeout (silence), Unavailable
// (the network says no), Protocol (a malformed answer), Interrupted.
[[nodiscard]] std::vector<base::Result<Reply>> ask(const std::vector<Query>& queries, const AskOptions& options);

// Without the port when it is 53.
[[nodiscard]] std::string server_text(const base::SocketAddress& server);

}  // namespace countersign::acme::dns
