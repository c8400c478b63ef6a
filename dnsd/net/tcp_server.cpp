#include "dnsd/net/tcp_server.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

using asio::ip::tcp;

constexpr std::size_t kPrefix = 2;            // octets of the length (RFC 1035 §4.2.2)
constexpr std::size_t kMaxMessage = 65535;    // what it can say
constexpr std::size_t kHeaderLength = 12;     // RFC 1035 §4.1.1
constexpr std::size_t kReadSize = 4096;       // a buffer grows with what has come, not with what was announced
constexpr std::size_t kOutputEnough = 65536;  // answers are written before more queries are answered
constexpr std::size_t kBufferToKeep = 16384;  // a quiet connection holds no more
constexpr std::chrono::milliseconds kAcceptPause{200};

}  // namespace

TcpServer::TcpServer(asio::io_context& context, const Responder& responder, zones::Epochs::Reader& reader,
                     TcpLimits limits)
    : context_(context), responder_(responder), reader_(reader), limits_(limits), scratch_(kMaxMessage) {}

TcpServer::~TcpServer() = default;

void TcpServer::serve(base::Descriptor socket, int family) {
  tcp protocol = family == AF_INET6 ? tcp::v6() : tcp::v4();
  auto acceptor = acceptors_.emplace(acceptors_.end(), context_, protocol, socket.release());
  asio::co_spawn(context_, accept(acceptor), kEndOnException);
}

void TcpServer::stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  for (tcp::acceptor& acceptor : acceptors_)
    acceptor.close(ignored);  // NOLINT(bugprone-unused-return-value): `ignored` has the same
  for (Session& session : sessions_)
    if (!session.writing) session.stream.close();
}

asio::awaitable<void> TcpServer::accept(std::list<tcp::acceptor>::iterator acceptor) {
  asio::steady_timer pause(context_);
  while (!stopping_) {
    auto accepted = co_await acceptor->async_accept(kAsTuple);
    boost::system::error_code error = std::get<0>(accepted);
    if (stopping_ || error == asio::error::operation_aborted) co_return;
    if (!error) {
      admit(std::move(std::get<1>(accepted)));
    } else if (error != asio::error::connection_aborted) {
      // Out of descriptors, mostly: trying again at once would only burn the core.
      base::log::warn("cannot accept a TCP connection", {{"reason", error.message()}});
      pause.expires_after(kAcceptPause);
      auto waited = co_await pause.async_wait(kAsTuple);
      static_cast<void>(waited);
    }
  }
}

// RFC 7766 §6.2.3 lets a server close connections under load. Closing the one that has got on with nothing for longest
// (a client that is silent, or one that does not read), instead of refusing the new one, keeps the CA's resolver served
// while somebody holds a thousand of them.
void TcpServer::make_room() {
  std::size_t leaving = 0;
  for (const Session& session : sessions_) leaving += session.closing ? 1 : 0;
  if (sessions_.size() - leaving < limits_.max_connections) return;
  for (Session& session : sessions_) {
    if (session.closing) continue;
    session.closing = true;
    session.stream.close();
    return;
  }
}

void TcpServer::admit(tcp::socket socket) {
  boost::system::error_code error;
  tcp::endpoint client = socket.remote_endpoint(error);
  if (error) return;  // it is gone already; the socket closes itself
  make_room();
  auto session = sessions_.emplace(sessions_.end(), std::move(socket));
  session->client = base::SocketAddress::from(client.data(), static_cast<socklen_t>(client.size()));
  asio::co_spawn(context_, converse(session), kEndOnException);
}

void TcpServer::touch(Sessions::iterator session) {
  session->stream.expires_after(limits_.idle_timeout);
  sessions_.splice(sessions_.end(), sessions_, session);
  if (session->input.size() == 0 && session->input.capacity() > kBufferToKeep) session->input.shrink_to_fit();
  if (session->output.capacity() > kBufferToKeep) session->output.shrink_to_fit();
}

asio::awaitable<void> TcpServer::converse(Sessions::iterator session) {
  // The deadline is set at the start and after each answer only: octets that trickle in do not extend it.
  touch(session);
  for (;;) {
    Outcome outcome = answer_all(*session);
    if (!session->output.empty()) {
      session->writing = true;
      session->stream.expires_after(limits_.idle_timeout);
      asio::const_buffer answers = asio::buffer(session->output);
      auto written = co_await asio::async_write(session->stream, answers, kAsTuple);
      session->writing = false;
      if (std::get<0>(written)) break;
      session->output.clear();
      touch(session);
    }
    if (outcome == Outcome::Full) continue;
    if (outcome == Outcome::Close || stopping_ || session->closing) break;
    asio::mutable_buffer room = session->input.prepare(kReadSize);
    auto read = co_await session->stream.async_read_some(room, kAsTuple);
    // The end of the client's side comes here too, when all complete queries before it have been answered.
    if (std::get<0>(read)) break;
    session->input.commit(std::get<1>(read));
  }
  sessions_.erase(session);
}

TcpServer::Outcome TcpServer::answer_all(Session& session) {
  for (;;) {
    if (session.output.size() >= kOutputEnough) return Outcome::Full;
    base::Bytes waiting(static_cast<const std::byte*>(session.input.data().data()), session.input.size());
    if (waiting.size() < kPrefix) return Outcome::NeedsMore;
    std::size_t length = base::load_u16(waiting.data());
    // Nothing this short is a message: what follows is no DNS either.
    if (length < kHeaderLength) return Outcome::Close;
    if (waiting.size() - kPrefix < length) return Outcome::NeedsMore;
    answer(session, waiting.subspan(kPrefix, length));
    session.input.consume(kPrefix + length);
  }
}

void TcpServer::answer(Session& session, base::Bytes query) {
  std::memcpy(scratch_.data(), query.data(), query.size());
  query_.packet = scratch_.data();
  query_.capacity = scratch_.size();
  query_.length = query.size();
  query_.transport = Transport::Tcp;
  Seen seen;
  zones::ReadScope scope(reader_);
  std::size_t length = responder_.respond(query_, counters_, seen);
  if (!seen.name.empty() && seen_.wanted())
    seen_.push(session.client.data(), session.client.size(), Transport::Tcp, seen);
  if (length == 0) return;
  // Copied here, before anything is awaited: the scratch is the next query's. Prefix and message go out in one write
  // (RFC 7766 §8).
  std::size_t at = session.output.size();
  session.output.resize(at + kPrefix + length);
  base::store_u16(session.output.data() + at, static_cast<std::uint16_t>(length));
  std::memcpy(session.output.data() + at + kPrefix, scratch_.data(), length);
}

}  // namespace countersign::dnsd
