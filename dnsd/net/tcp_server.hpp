// DNS over TCP (RFC 7766), on the control thread. The loop of Asio waits for one epoll descriptor, which waits for all
// connections: one that is idle costs a few hundred octets, where a coroutine with a stream of its own takes kilobytes,
// and a busy one two system calls for all that it has sent.
// Thread: the control thread; counters and seen() as they say.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "base/socket_address.hpp"
#include "dnsd/answer/responder.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/seen_ring.hpp"
#include "dnsd/net/tcp_counters.hpp"
#include "dnsd/net/tcp_sessions.hpp"
#include "zones/epoch.hpp"

namespace countersign::dnsd {

class TcpServer {
 public:
  // `reader` is this server's alone. Outlives the running of `context`.
  TcpServer(asio::io_context& context, const Responder& responder, zones::Epochs::Reader& reader, TcpLimits limits);
  ~TcpServer();
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  // `socket` listens. Error: Io, when the system has no descriptor or memory to wait for it with.
  [[nodiscard]] base::Result<void> serve(base::Descriptor socket);
  // From now on; what is beyond them is closed, the longest idle first.
  void set_limits(TcpLimits limits);
  // What becomes of queries that the responder defers; they get no answer without it. `message` lasts until the handler
  // returns. It calls `send` once, then or later, on this thread, with nothing to say there is no answer; the session
  // may be gone by then, and this server.
  using DeferredHandler = std::function<void(base::Bytes message, const base::SocketAddress& client,
                                             std::function<void(std::string)> send)>;
  void set_deferred_handler(DeferredHandler handler) { deferred_handler_ = std::move(handler); }
  // No new connections. What has arrived is answered and answers on their way are finished; then all are closed.
  void stop();

  [[nodiscard]] std::size_t connections() const { return sessions_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const TcpCounters& tcp_counters() const { return tcp_counters_; }
  [[nodiscard]] SeenRing& seen() { return seen_; }

 private:
  using TimePoint = TcpSessions::TimePoint;
  class Peer;

  void wait();
  void serve_ready();
  void serve_event(std::uint64_t data);
  void accept_waiting(int listener);
  void accept_failed(int reason);
  void admit(base::Descriptor socket, const sockaddr_storage& client, socklen_t length);
  void read_from(TcpSession& session);
  void write_to(TcpSession& session);
  void take_step(TcpSession& session, const Peer& peer, TcpConversation::Wants wants);
  void throw_away_input(const TcpSession& session);
  void end(TcpSession& session, base::Counter* reason);
  void listen_for(std::uint32_t events);

  void start_sweeping();
  void sweep();
  void end_if_drained();

  [[nodiscard]] std::size_t answer(TcpSession& session, base::Bytes query, base::MutableBytes place);
  struct Deferral;
  [[nodiscard]] std::size_t defer(TcpSession& session, base::Bytes query, base::MutableBytes place);
  void deliver(std::uint64_t number, std::string answer);

  const Responder& responder_;
  zones::Epochs::Reader& reader_;
  TcpSessions sessions_;
  DeferredHandler deferred_handler_;
  std::unordered_map<std::uint64_t, TcpSession*> expecting_;  // by number: those that expect answers
  std::uint64_t last_number_ = 0;
  bool deferring_ = false;  // the handler runs
  asio::posix::stream_descriptor epoll_;
  asio::steady_timer sweeper_;
  std::vector<base::Descriptor> listeners_;
  TcpBuffers buffers_;
  Query query_;
  TimePoint now_;
  TimePoint last_complaint_{};
  bool sweeping_ = false;
  bool accepting_ = true;  // false for a moment when the system gives no more connections
  bool stopping_ = false;
  Counters counters_;
  TcpCounters tcp_counters_;
  SeenRing seen_;
  // For answers that come when this server is gone. Asked only on its thread.
  std::shared_ptr<TcpServer*> self_ = std::make_shared<TcpServer*>(this);
};

}  // namespace countersign::dnsd
