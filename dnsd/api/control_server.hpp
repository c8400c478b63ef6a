// The control socket's connections: HTTP/1.1, one coroutine each.
// Thread: the control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <list>
#include <optional>

#include "base/descriptor.hpp"
#include "dnsd/api/control_api.hpp"
#include "dnsd/api/query_session.hpp"

namespace countersign::dnsd {

class ControlServer {
 public:
  // Outlives the running of `context`.
  ControlServer(asio::io_context& context, ControlApi& api, SeenStream& seen);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // `socket` listens. At most 1,000 connections are served at once, and no more than a quarter of the descriptors that
  // the process may have: DNS over TCP needs them too.
  void serve(base::Descriptor socket);
  // No new connections and requests; those under way are answered, streams end.
  void stop();

  [[nodiscard]] std::size_t connections() const { return sessions_.size(); }

 private:
  struct Session {
    explicit Session(asio::local::stream_protocol::socket socket) : stream(std::move(socket)) {}
    ControlStream stream;
    bool answering = false;
    QuerySession* queries = nullptr;
  };
  using Sessions = std::list<Session>;

  [[nodiscard]] asio::awaitable<void> accept();
  void complain(boost::system::error_code error);
  [[nodiscard]] asio::awaitable<void> converse(Sessions::iterator session);
  [[nodiscard]] asio::awaitable<void> stream_queries(Sessions::iterator session, QueryFilter filter,
                                                     HttpFraming framing);

  asio::io_context& context_;
  ControlApi& api_;
  SeenStream& seen_;
  asio::local::stream_protocol::acceptor acceptor_;
  Sessions sessions_;
  std::optional<std::chrono::steady_clock::time_point> complained_;
  std::size_t max_connections_;
  bool stopping_ = false;
};

}  // namespace countersign::dnsd
