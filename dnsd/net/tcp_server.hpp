// DNS over TCP (RFC 7766): one coroutine a connection, on the control thread.
// Thread: the control thread; counters and seen() as they say.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <list>
#include <vector>

#include "base/descriptor.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/seen_ring.hpp"

namespace countersign::dnsd {

struct TcpLimits {
  unsigned max_connections = 1000;
  // From one complete query (or the start) to the next, and for a client to take an answer.
  std::chrono::milliseconds idle_timeout{10'000};
};

class TcpServer {
 public:
  // `reader` is this server's alone. Outlives the running of `context`.
  TcpServer(asio::io_context& context, const Responder& responder, zones::Epochs::Reader& reader, TcpLimits limits);
  ~TcpServer();
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  // `socket` listens; `family` is AF_INET or AF_INET6.
  void serve(base::Descriptor socket, int family);
  // No new connections; idle ones are closed, answers on their way are finished.
  void stop();

  [[nodiscard]] std::size_t connections() const { return sessions_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] SeenRing& seen() { return seen_; }

 private:
  using Stream = boost::beast::basic_stream<asio::ip::tcp>;
  struct Session {
    explicit Session(asio::ip::tcp::socket socket) : stream(std::move(socket)) {}
    Stream stream;
    base::SocketAddress client;
    boost::beast::flat_buffer input;
    std::vector<std::byte> output;
    bool writing = false;
    bool closing = false;
  };
  using Sessions = std::list<Session>;
  enum class Outcome { NeedsMore, Full, Close };

  [[nodiscard]] asio::awaitable<void> accept(std::list<asio::ip::tcp::acceptor>::iterator acceptor);
  void admit(asio::ip::tcp::socket socket);
  void make_room();
  [[nodiscard]] asio::awaitable<void> converse(Sessions::iterator session);
  [[nodiscard]] Outcome answer_all(Session& session);
  void answer(Session& session, base::Bytes query);
  void touch(Sessions::iterator session);

  asio::io_context& context_;
  const Responder& responder_;
  zones::Epochs::Reader& reader_;
  TcpLimits limits_;
  bool stopping_ = false;
  std::list<asio::ip::tcp::acceptor> acceptors_;
  Sessions sessions_;  // the one that has been idle longest first
  std::vector<std::byte> scratch_;
  Query query_;
  Counters counters_;
  SeenRing seen_;
};

}  // namespace countersign::dnsd
