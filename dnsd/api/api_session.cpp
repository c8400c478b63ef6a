#include "dnsd/api/api_session.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/error.hpp>
#include <chrono>

namespace countersign::dnsd {
namespace {

using Socket = ApiSession::Socket;
using Tls = asio::ssl::stream<Socket&>;
using Clock = std::chrono::steady_clock;

// Most requests come whole in one read of so much.
constexpr std::size_t kReadSize = 2048;
// A header up to its limit, and whatever part of the body came with its end.
constexpr std::size_t kInputLimit = 16384;
// An idle connection keeps no more.
constexpr std::size_t kKeptIdle = 4096;
// Of a request that was refused; a client that sends more does not read what it is told.
constexpr std::size_t kThrownAway = std::size_t{1} << 20U;

constexpr HttpFailure kTooSlow{408, "request_timeout"};
constexpr HttpFailure kUnreadable{400, "malformed_request"};
constexpr HttpFailure kPlainHttp{400, "https_required"};

bool is_closed(const ApiSession& session) {
  return session.phase == ApiPhase::Closed;
}

std::string_view text_of(const ApiSession& session) {
  auto data = session.input.cdata();
  return {static_cast<const char*>(data.data()), data.size()};
}

void begin_answer(const ApiTalk& talk, ApiSession& session) {
  auto now = Clock::now();
  // A request that came whole in its first read has never been in Reading.
  if (session.phase != ApiPhase::Reading) session.begun = now;
  talk.sessions.enter(session, ApiPhase::Answering, now);
  session.deadline = session.begun + talk.sessions.deadlines().in_all;
}

void begin_sending(const ApiTalk& talk, ApiSession& session) {
  auto now = Clock::now();
  session.deadline = std::min(session.deadline, now + talk.sessions.deadlines().sending);
}

// All of session.output. False when the connection is broken.
asio::awaitable<bool> send_output(ApiSession& session, Socket& socket) {
  std::size_t sent = 0;
  while (sent < session.output.size()) {
    asio::const_buffer rest(session.output.data() + sent, session.output.size() - sent);
    // Nearly always there is room, and then no round through the loop is needed.
    boost::system::error_code error;
    std::size_t count = socket.write_some(rest, error);
    if (error == asio::error::would_block) {
      auto written = co_await socket.async_write_some(rest, kAsTuple);
      error = std::get<0>(written);
      count = std::get<1>(written);
    }
    if (error) co_return false;
    sent += count;
  }
  co_return true;
}

asio::awaitable<bool> send_output(ApiSession& session, Tls& tls) {
  std::size_t sent = 0;
  while (sent < session.output.size()) {
    asio::const_buffer rest(session.output.data() + sent, session.output.size() - sent);
    auto written = co_await tls.async_write_some(rest, kAsTuple);
    if (std::get<0>(written)) co_return false;
    sent += std::get<1>(written);
  }
  co_return true;
}

// False: the connection has ended, or the session's time is up.
template <class Stream>
asio::awaitable<bool> receive(ApiSession& session, Stream& stream) {
  std::size_t room = std::min(kReadSize, kInputLimit - session.input.size());
  asio::mutable_buffer place = session.input.prepare(room);
  auto read = co_await stream.async_read_some(place, kAsTuple);
  if (std::get<0>(read) || is_closed(session)) co_return false;
  session.input.commit(std::get<1>(read));
  co_return true;
}

// A thousand idle connections with the memory of their largest request and answer would be much.
void forget_large(ApiSession& session) {
  if (session.input.size() == 0 && session.input.capacity() > kKeptIdle) session.input.shrink_to_fit();
  if (session.output.capacity() > kKeptIdle) session.output = std::string();
}

enum class Heard { Request, Failure, End };

// `reader` has the request, or what is wrong with it is in `failure`.
template <class Stream>
asio::awaitable<Heard> hear(const ApiTalk& talk, ApiSession& session, Stream& stream, HttpReader& reader,
                            std::optional<HttpFailure>& failure) {
  while (true) {
    session.input.consume(reader.read(text_of(session)));
    failure = reader.failure();
    if (failure) co_return Heard::Failure;
    if (reader.is_done()) co_return Heard::Request;
    // A part that has to come whole, longer than anything sensible.
    if (session.input.size() >= kInputLimit) {
      failure = kUnreadable;
      co_return Heard::Failure;
    }
    if (reader.is_begun() && session.phase == ApiPhase::Idle) {
      session.begun = Clock::now();
      talk.sessions.enter(session, ApiPhase::Reading, session.begun);
    }
    if (reader.take_wish_to_continue()) {
      session.output = kContinue;
      bool sent = co_await send_output(session, stream);
      if (!sent && !session.too_slow) co_return Heard::End;
    }
    bool received = false;
    if (!session.too_slow) {
      bool came = co_await receive(session, stream);
      received = came;
    }
    if (session.too_slow && !is_closed(session)) {
      // It may have come whole in the last moment.
      if (received) session.input.consume(reader.read(text_of(session)));
      session.too_slow = false;
      failure = reader.failure();
      if (!failure && reader.is_done()) co_return Heard::Request;
      if (!failure) failure = kTooSlow;
      co_return Heard::Failure;
    }
    if (!received) co_return Heard::End;
  }
}

enum class Parting { Now, Gently };

// How the connection is to be left.
template <class Stream>
asio::awaitable<Parting> exchange(const ApiTalk& talk, ApiSession& session, Stream& stream) {
  bool keep = true;
  while (keep) {
    HttpReader reader;
    std::optional<HttpFailure> failure;
    Heard heard = co_await hear(talk, session, stream, reader, failure);
    if (heard == Heard::End || is_closed(session)) co_return Parting::Now;
    begin_answer(talk, session);
    HttpResponse response;
    if (heard == Heard::Failure) {
      response = to_response(*failure);
    } else {
      HttpRequest request = reader.take_request();
      request.peer = session.peer;
      HttpResponse answer = co_await talk.handler(std::move(request));
      if (is_closed(session)) co_return Parting::Now;
      response = std::move(answer);
    }
    ++talk.counters.requests;
    keep = heard == Heard::Request && reader.keep_alive() && !response.close && !talk.stopping;
    session.output.clear();
    to_octets(response, reader.version(), keep ? AfterResponse::Keep : AfterResponse::Close,
              reader.is_head() ? ResponseBody::LeftOut : ResponseBody::Sent, session.output);
    begin_sending(talk, session);
    bool sent = co_await send_output(session, stream);
    if (!sent || is_closed(session)) co_return Parting::Now;
    talk.sessions.enter(session, ApiPhase::Idle, Clock::now());
    forget_large(session);
    keep = keep && !talk.stopping;
  }
  co_return Parting::Gently;
}

// Closing with octets unread resets the connection, and that may take the last answer with it: so we say that we have
// ended, and wait for the client to do the same.
asio::awaitable<void> leave(const ApiTalk& talk, ApiSession& session) {
  talk.sessions.enter(session, ApiPhase::Leaving, Clock::now());
  boost::system::error_code error;
  session.socket.shutdown(Socket::shutdown_send, error);  // NOLINT(bugprone-unused-return-value): `error` has the same
  session.input.clear();
  std::size_t thrown_away = 0;
  while (!error && !is_closed(session) && thrown_away < kThrownAway) {
    asio::mutable_buffer place = session.input.prepare(kReadSize);
    auto read = co_await session.socket.async_read_some(place, kAsTuple);
    error = std::get<0>(read);
    thrown_away += std::get<1>(read);
  }
}

// Somebody who speaks HTTP to an HTTPS port is told so. In one try: the answer is short, and the socket has sent
// nothing.
void answer_plain_http(ApiSession& session) {
  to_octets(to_response(kPlainHttp), 11, AfterResponse::Close, ResponseBody::Sent, session.output);
  boost::system::error_code ignored;
  session.socket.write_some(asio::buffer(session.output), ignored);
}

asio::awaitable<void> converse_plain(const ApiTalk& talk, ApiSession& session) {
  Parting parting = co_await exchange(talk, session, session.socket);
  if (parting == Parting::Gently) co_await leave(talk, session);
}

asio::awaitable<void> converse_tls(const ApiTalk& talk, ApiSession& session) {
  auto shaken = co_await session.tls->async_handshake(Tls::server, kAsTuple);
  boost::system::error_code error = std::get<0>(shaken);
  if (is_closed(session)) co_return;
  if (error) {
    ++talk.counters.tls_failures;
    bool is_http = error.category() == asio::error::get_ssl_category() &&
                   ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST;
    if (is_http) answer_plain_http(session);
    // An alert is on its way as well.
    co_await leave(talk, session);
    co_return;
  }
  talk.sessions.enter(session, ApiPhase::Idle, Clock::now());
  Parting parting = co_await exchange(talk, session, *session.tls);
  if (parting == Parting::Now) co_return;
  talk.sessions.enter(session, ApiPhase::Leaving, Clock::now());
  // close_notify alone: async_shutdown() would wait for the client's, and takes unread octets for an error.
  SSL_set_shutdown(session.tls->native_handle(), SSL_RECEIVED_SHUTDOWN);
  auto closed = co_await session.tls->async_shutdown(kAsTuple);
  static_cast<void>(closed);
  if (!is_closed(session)) co_await leave(talk, session);
}

}  // namespace

ApiSession::ApiSession(Socket with_socket) : socket(std::move(with_socket)), input(kInputLimit + kReadSize) {}

asio::awaitable<void> converse(const ApiTalk& talk, ApiSession& session) {
  if (session.tls)
    co_await converse_tls(talk, session);
  else
    co_await converse_plain(talk, session);
}

}  // namespace countersign::dnsd
