#include "dnsd/api/query_session.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>

namespace countersign::dnsd {
namespace {

// A client that does not read loses lines beyond this: some thousand of them.
constexpr std::size_t kMaxWaiting = 1U << 20U;
// A blank line, so that both sides notice when the other one is gone.
constexpr std::chrono::seconds kKeepAlive{15};
constexpr std::chrono::seconds kWriteDeadline{10};

}  // namespace

QuerySession::QuerySession(ControlStream& stream, SeenStream& seen, QueryFilter filter, HttpFraming framing)
    : stream_(stream),
      seen_(seen),
      filter_(std::move(filter)),
      framing_(framing),
      end_(std::make_shared<End>(stream.get_executor())) {}

void QuerySession::take(const SeenEvent& event, base::WallTime time) {
  if (filter_.name && filter_.name->wire() != event.wire()) return;
  if (waiting_.size() >= kMaxWaiting) {
    seen_.note_lost();
    return;
  }
  if (waiting_.empty()) end_->wake.cancel();
  waiting_ += query_line(event, time);
}

// The client has nothing more to say: whatever becomes readable is its end.
void QuerySession::watch_client() {
  stream_.socket().async_wait(asio::socket_base::wait_read, [end = end_](boost::system::error_code error) {
    if (error != asio::error::operation_aborted) end->set();
  });
}

std::string QuerySession::frame(std::string text) const {
  if (framing_ == HttpFraming::UntilClose) return text;
  return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

asio::awaitable<void> QuerySession::run() {
  SeenStream::Subscription subscription =
      seen_.subscribe([this](const SeenEvent& event, base::WallTime time) { take(event, time); });
  watch_client();
  std::string out =
      fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n{}\r\n",
                  framing_ == HttpFraming::Chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n");
  for (;;) {
    stream_.expires_after(kWriteDeadline);
    asio::const_buffer buffer = asio::buffer(out);
    auto written = co_await asio::async_write(stream_, buffer, kAsTuple);
    if (std::get<0>(written)) end_->reached = true;
    if (end_->reached) break;
    if (waiting_.empty()) {
      end_->wake.expires_after(kKeepAlive);
      auto waited = co_await end_->wake.async_wait(kAsTuple);
      static_cast<void>(waited);
      if (end_->reached) break;
    }
    std::string lines = std::exchange(waiting_, {});
    out = frame(lines.empty() ? "\n" : std::move(lines));
  }
  if (framing_ == HttpFraming::Chunked) {
    stream_.expires_after(kWriteDeadline);
    asio::const_buffer last = asio::buffer(std::string_view("0\r\n\r\n"));
    auto written = co_await asio::async_write(stream_, last, kAsTuple);
    static_cast<void>(written);
  }
  stream_.close();
}

}  // namespace countersign::dnsd
