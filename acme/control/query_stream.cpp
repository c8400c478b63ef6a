#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

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

// At most as much is handed out at once; the rest waits in the socket.
constexpr std::size_t kMaxRead = 256U << 10U;
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
  ChunkedLines lines;
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

std::vector<SeenQuery> QueryStream::wait(milliseconds timeout) {
  std::vector<SeenQuery> queries;
  State& state = *state_;
  std::array<char, 16U << 10U> buffer;
  auto end = Clock::now() + timeout;
  for (std::size_t taken = 0; taken < kMaxRead && state.socket && !interrupted();) {
    // Once something is there, only what is waiting already is added.
    auto left = queries.empty() ? std::chrono::ceil<milliseconds>(end - Clock::now()).count() : 0;
    std::array<pollfd, 2> entries{{{state.socket.get(), POLLIN, 0}, {interrupt_descriptor(), POLLIN, 0}}};
    int ready = ::poll(entries.data(), entries.size(), static_cast<int>(std::max<decltype(left)>(left, 0)));
    if (ready == 0) break;
    if (ready < 0 || entries[0].revents == 0) continue;
    ssize_t length = ::recv(state.socket.get(), buffer.data(), buffer.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length > 0) {
      taken += static_cast<std::size_t>(length);
      for (const std::string& line : state.lines.feed({buffer.data(), static_cast<std::size_t>(length)}))
        if (auto query = parse_query(line)) queries.push_back(*std::move(query));
    }
    // The daemon went away: from now on there is nothing to wait for but time, which is the caller's.
    if (length <= 0 || state.lines.ended()) state.socket.close();
  }
  if (!state.socket && queries.empty()) {
    auto left = std::chrono::ceil<milliseconds>(end - Clock::now());
    if (left.count() > 0) sleep_unless_interrupted(left);
  }
  return queries;
}

}  // namespace countersign::acme
