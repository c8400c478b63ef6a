#include "dnsd/api/control_server.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::local::stream_protocol;

constexpr std::uint64_t kBodyLimit = 65'536;  // a registration with hundreds of domains
constexpr std::uint32_t kHeaderLimit = 8192;
// From the end of one request to the end of the next, and for a client to take its answer.
constexpr std::chrono::seconds kDeadline{30};
// Beyond it, connections wait in the socket's backlog.
constexpr rlim_t kMaxConnections = 1000;
constexpr std::chrono::milliseconds kAcceptPause{50};
// Tried again every kAcceptPause; once is enough to be seen.
constexpr std::chrono::minutes kComplaintPause{1};

using Response = http::response<http::string_body>;

std::size_t connection_limit() {
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return kMaxConnections;
  return std::clamp<rlim_t>(descriptors.rlim_cur / 4, 1, kMaxConnections);
}

Response to_http(const ApiResponse& response, unsigned version) {
  Response out(static_cast<http::status>(response.status), version);
  out.set(http::field::server, "countersignd");
  out.set(http::field::cache_control, "no-store");
  if (!response.allow.empty()) out.set(http::field::allow, response.allow);
  if (!response.link.empty()) out.set(http::field::link, response.link);
  // RFC 9110 §8.6: a 204 has no Content-Length, which prepare_payload would write.
  if (response.body.empty()) return out;
  out.set(http::field::content_type, response.content_type);
  out.body() = response.body;
  if (!response.body.ends_with('\n')) out.body() += '\n';
  out.prepare_payload();
  return out;
}

// What a request that cannot be read is told before the connection is closed; empty when nobody is there to hear it.
std::optional<ApiResponse> read_failure(boost::system::error_code error) {
  if (error == http::error::body_limit)
    return error_response(413, "too_large", fmt::format("the body is larger than {} octets", kBodyLimit));
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return error_response(431, "too_large", fmt::format("the header is larger than {} octets", kHeaderLimit));
  if (error.category() == make_error_code(http::error::bad_method).category() && error != http::error::end_of_stream &&
      error != http::error::partial_message)
    return error_response(400, "invalid", fmt::format("the request is not HTTP: {}", error.message()));
  return std::nullopt;
}

}  // namespace

ControlServer::ControlServer(asio::io_context& context, ControlApi& api, SeenStream& seen)
    : context_(context), api_(api), seen_(seen), acceptor_(context), max_connections_(connection_limit()) {}

ControlServer::~ControlServer() = default;

void ControlServer::serve(base::Descriptor socket) {
  acceptor_.assign(stream_protocol(), socket.release());
  asio::co_spawn(context_, accept(), kEndOnException);
}

void ControlServer::stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);  // NOLINT(bugprone-unused-return-value): `ignored` has the same
  for (Session& session : sessions_) {
    if (session.queries != nullptr)
      session.queries->stop();
    else if (!session.answering)
      session.stream.close();
  }
}

asio::awaitable<void> ControlServer::accept() {
  asio::steady_timer pause(context_);
  while (!stopping_) {
    boost::system::error_code error;
    if (sessions_.size() < max_connections_) {
      auto accepted = co_await acceptor_.async_accept(kAsTuple);
      error = std::get<0>(accepted);
      if (stopping_ || error == asio::error::operation_aborted) co_return;
      if (!error) {
        auto session = sessions_.emplace(sessions_.end(), std::move(std::get<1>(accepted)));
        asio::co_spawn(context_, converse(session), kEndOnException);
        continue;
      }
      complain(error);
    }
    pause.expires_after(kAcceptPause);
    auto waited = co_await pause.async_wait(kAsTuple);
    static_cast<void>(waited);
  }
}

void ControlServer::complain(boost::system::error_code error) {
  auto now = std::chrono::steady_clock::now();
  if (complained_ && now - *complained_ < kComplaintPause) return;
  complained_ = now;
  base::log::warn("cannot accept a connection on the control socket", {{"reason", error.message()}});
}

asio::awaitable<void> ControlServer::converse(Sessions::iterator session) {
  beast::flat_buffer buffer(kHeaderLimit + kBodyLimit);
  bool keep = true;
  while (keep && !stopping_) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kHeaderLimit);
    parser.body_limit(kBodyLimit);
    session->stream.expires_after(kDeadline);
    auto read = co_await http::async_read(session->stream, buffer, parser, kAsTuple);
    boost::system::error_code error = std::get<0>(read);
    std::optional<ApiResponse> reply;
    unsigned version = 11;
    bool head = false;
    session->answering = true;
    if (error) {
      reply = read_failure(error);
      if (!reply) break;
      keep = false;
    } else {
      http::request<http::string_body> message = parser.release();
      keep = message.keep_alive();
      version = message.version();
      head = message.method() == http::verb::head;
      ApiRequest request(std::string(message.method_string()), std::string(message.target()),
                         std::move(message.body()));
      std::optional<QueryFilter> filter = ControlApi::query_stream(request);
      if (filter) {
        co_await stream_queries(session, std::move(*filter),
                                version >= 11 ? HttpFraming::Chunked : HttpFraming::UntilClose);
        break;
      }
      ApiResponse answer = co_await api_.handle_request(std::move(request));
      reply = std::move(answer);
    }
    Response response = to_http(*reply, version);
    if (head) response.body().clear();  // RFC 9110 §9.3.2: the header alone, Content-Length as if there were more
    response.keep_alive(keep && !stopping_);
    session->stream.expires_after(kDeadline);
    auto written = co_await http::async_write(session->stream, response, kAsTuple);
    session->answering = false;
    if (std::get<0>(written)) break;
  }
  sessions_.erase(session);
}

asio::awaitable<void> ControlServer::stream_queries(Sessions::iterator session, QueryFilter filter,
                                                    HttpFraming framing) {
  QuerySession queries(session->stream, seen_, std::move(filter), framing);
  session->queries = &queries;
  co_await queries.run();
  session->queries = nullptr;
}

}  // namespace countersign::dnsd
