#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "acme/control/chunked_lines.hpp"
#include "acme/control/daemon.hpp"
#include "acme/control/json_members.hpp"
#include "acme/transport/interrupt.hpp"
#include "base/descriptor.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxAtOnce = 2000;  // queries; the rest waits in the socket
constexpr std::string_view kRequest =
    "GET /v1/queries HTTP/1.1\r\nHost: countersignd\r\nAccept: application/x-ndjson\r\n\r\n";

// A line that is not what it should be is left out: the stream is a hint, never the only source of anything.
std::optional<SeenQuery> parse_query(const std::string& line) {
  boost::system::error_code error;
  json::value document = json::parse(line, error);
  const json::object* object = error ? nullptr : document.if_object();
  if (object == nullptr) return std::nullopt;
  auto name_text = string_member(*object, "name");
  auto name = base::Name::parse(name_text.value_or(""));
  if (!name) return std::nullopt;
  SeenQuery query;
  query.name = *std::move(name);
  query.time = string_member(*object, "time").value_or("");
  query.client = string_member(*object, "client").value_or("");
  query.transport = string_member(*object, "transport").value_or("");
  query.type = string_member(*object, "type").value_or("");
  query.rcode = string_member(*object, "rcode").value_or("");
  query.values = static_cast<unsigned>(
      std::min<std::uint64_t>(number_member(*object, "values").value_or(0), std::numeric_limits<unsigned>::max()));
  return query;
}

}  // namespace

struct QueryStream::State {
  base::Descriptor socket;
  base::Descriptor stop;  // an eventfd
  std::string path;
  ChunkedLines lines;
  std::vector<SeenQuery> waiting;  // came before anybody asked for them
};

QueryStream::QueryStream() : state_(std::make_unique<State>()) {}
QueryStream::~QueryStream() = default;
QueryStream::QueryStream(QueryStream&&) noexcept = default;
QueryStream& QueryStream::operator=(QueryStream&&) noexcept = default;

Result<QueryStream> QueryStream::open(const std::filesystem::path& socket) {
  auto trouble = [&](int error_number) {
    return fail(error_number == EACCES ? ErrorCode::Denied : ErrorCode::Unavailable,
                "cannot reach countersignd at {}: {}; start it or set control_socket", socket.string(),
                base::system_reason(error_number));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.native().size() >= sizeof(address.sun_path)) return trouble(ENAMETOOLONG);
  std::memcpy(address.sun_path, socket.c_str(), socket.native().size());
  QueryStream stream;
  State& state = *stream.state_;
  state.path = socket.string();
  state.stop = base::Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state.stop) return trouble(errno);
  state.socket = base::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!state.socket) return trouble(errno);
  // A Unix socket connects at once, unless the daemon's backlog is full: then this waits for its next accept().
  if (::connect(state.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return trouble(errno);
  // So small that the socket's buffer takes it whole.
  if (::send(state.socket.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(kRequest.size()))
    return trouble(errno);
  return stream;
}

// At most one read's worth.
void QueryStream::receive(std::vector<SeenQuery>& queries, milliseconds timeout) {
  State& state = *state_;
  std::array<char, 16U << 10U> buffer;
  // poll() leaves out a negative descriptor: without a socket this only waits.
  std::array<pollfd, 3> entries{
      {{state.socket.get(), POLLIN, 0}, {interrupt_descriptor(), POLLIN, 0}, {state.stop.get(), POLLIN, 0}}};
  int ready = ::poll(entries.data(), entries.size(), static_cast<int>(std::max<milliseconds::rep>(timeout.count(), 0)));
  if (ready <= 0 || entries[0].revents == 0) return;
  ssize_t length = ::recv(state.socket.get(), buffer.data(), buffer.size(), 0);
  if (length < 0 && errno == EINTR) return;
  if (length > 0) {
    for (const std::string& line : state.lines.feed({buffer.data(), static_cast<std::size_t>(length)}))
      if (auto query = parse_query(line)) queries.push_back(*std::move(query));
  }
  if (length <= 0 || state.lines.ended()) state.socket.close();
}

std::vector<SeenQuery> QueryStream::wait(milliseconds timeout) {
  std::vector<SeenQuery> queries = std::exchange(state_->waiting, {});
  auto end = Clock::now() + timeout;
  // The daemon that went away leaves nothing to wait for but time, which is the caller's.
  while (!interrupted() && !is_stopped()) {
    auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0) left = milliseconds(0);
    std::size_t before = queries.size();
    // Once something is there, only what is waiting already is added.
    receive(queries, queries.empty() ? left : milliseconds(0));
    bool more = queries.size() > before && queries.size() < kMaxAtOnce;
    if (!more && (!queries.empty() || left.count() == 0)) break;
  }
  return queries;
}

Result<void> QueryStream::await_begin(milliseconds timeout) {
  auto end = Clock::now() + timeout;
  while (state_->lines.status() == 0 && !ended()) {
    if (interrupted()) return fail(ErrorCode::Interrupted, "interrupted while connecting to {}", state_->path);
    auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() <= 0)
      return fail(ErrorCode::Timeout, "countersignd at {} does not begin to tell its queries", state_->path);
    receive(state_->waiting, left);
  }
  if (state_->lines.status() == 200) return {};
  if (state_->lines.status() == 0)
    return fail(ErrorCode::Unavailable, "countersignd at {} ended the connection", state_->path);
  return fail(ErrorCode::Protocol, "countersignd at {} does not tell its queries (HTTP status {})", state_->path,
              state_->lines.status());
}

bool QueryStream::ended() const {
  return !state_->socket;
}

bool QueryStream::is_stopped() const {
  pollfd entry{state_->stop.get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

void QueryStream::stop() {
  std::uint64_t one = 1;
  // A full eventfd is readable already, so a failed write loses nothing.
  static_cast<void>(!::write(state_->stop.get(), &one, sizeof one));
}

}  // namespace countersign::acme
