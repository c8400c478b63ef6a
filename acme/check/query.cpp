#include "acme/check/query.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "acme/transport/interrupt.hpp"
#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "base/random.hpp"

namespace countersign::acme::dns {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Each is a socket: far below the usual limit of 1024 descriptors, and a burst that any server's buffer holds.
constexpr std::size_t kMaxInFlight = 128;
// Larger than any answer to a query that offers 1232 octets; what is larger is not from a DNS server.
constexpr std::size_t kUdpBuffer = 4096;
// Datagrams taken from one socket before the others get their turn: a flood of forged ones delays nobody else.
constexpr int kDatagramsATurn = 16;
// How long a refused port is left alone before the next try: a daemon that restarts is there again.
constexpr milliseconds kAfterRefusal{50};

class Flight {
 public:
  Flight(const Query& query, const AskOptions& options, std::size_t index)
      : query_(&query), options_(&options), index_(index) {}

  void start();
  void on_ready(short events);
  void on_deadline();

  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] bool done() const { return result_.has_value(); }
  [[nodiscard]] Result<Reply> take() { return *std::move(result_); }
  [[nodiscard]] Clock::time_point deadline() const { return deadline_; }
  [[nodiscard]] pollfd poll_entry() const {
    return {socket_.get(), static_cast<short>(mode_ == Mode::TcpWrite ? POLLOUT : POLLIN), 0};
  }

 private:
  enum class Mode { Udp, TcpWrite, TcpRead };

  // False when the attempt is over: the flight is done, or waits for its next attempt.
  bool open_socket(int kind);
  void send_datagram();
  void read_datagrams();
  void judge(base::Bytes message);
  void start_tcp();
  void write_stream();
  void read_stream();
  void trouble(ErrorCode code, std::string text);
  void finish(Result<Reply> result);
  [[nodiscard]] std::string what() const;

  const Query* query_;
  const AskOptions* options_;
  std::size_t index_;
  base::Descriptor socket_;
  Mode mode_ = Mode::Udp;
  Edns edns_ = Edns::On;
  std::uint16_t id_ = 0;
  std::size_t attempt_ = 0;
  std::vector<std::byte> out_, in_;  // over TCP with the length in front
  std::size_t written_ = 0;
  std::optional<base::Error> trouble_;  // of the last attempt; none = silence
  Clock::time_point deadline_;
  std::optional<Result<Reply>> result_;
};

std::string Flight::what() const {
  return fmt::format("{} {}", query_->question.name.text(), type_text(query_->question.type));
}

void Flight::finish(Result<Reply> result) {
  result_ = std::move(result);
  socket_.close();
}

// A try that ended before its time: the next one follows soon, or the last one's reason is the answer.
void Flight::trouble(ErrorCode code, std::string text) {
  trouble_ = base::Error{code, std::move(text)};
  if (mode_ != Mode::Udp) return finish(fail(*trouble_));
  deadline_ = std::min(deadline_, Clock::now() + kAfterRefusal);
}

bool Flight::open_socket(int kind) {
  socket_ = base::Descriptor(::socket(query_->server.family(), kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket_ && ::connect(socket_.get(), query_->server.data(), query_->server.size()) == 0) return true;
  if (socket_ && errno == EINPROGRESS) return true;
  finish(fail(ErrorCode::Unavailable, "cannot reach {} over {}: {}", server_text(query_->server),
              kind == SOCK_DGRAM ? "UDP" : "TCP", base::system_reason(errno)));
  return false;
}

void Flight::start() {
  std::array<std::byte, 2> random{};
  base::fill_random(random);
  id_ = base::load_u16(random.data());
  out_ = encode_query(id_, query_->question, edns_);
  mode_ = Mode::Udp;
  if (!open_socket(SOCK_DGRAM)) return;
  send_datagram();
}

void Flight::send_datagram() {
  trouble_.reset();
  deadline_ = Clock::now() + options_->waits[attempt_];
  // A refusal that came for the try before is reported by this send: the datagram has to be sent again.
  for (int tries = 0; tries < 2; ++tries) {
    if (::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL) >= 0) return;
  }
  if (errno != EAGAIN)
    trouble(ErrorCode::Unavailable,
            fmt::format("cannot reach {} over UDP: {}", server_text(query_->server), base::system_reason(errno)));
}

void Flight::on_deadline() {
  if (mode_ != Mode::Udp)
    return finish(fail(ErrorCode::Timeout, "no answer from {} to {} over TCP within {} ms", server_text(query_->server),
                       what(), options_->tcp_wait.count()));
  if (++attempt_ < options_->waits.size()) return send_datagram();
  if (trouble_) return finish(fail(*trouble_));
  milliseconds total{0};
  for (milliseconds wait : options_->waits) total += wait;
  finish(fail(ErrorCode::Timeout, "no answer from {} to {} within {} ms", server_text(query_->server), what(),
              total.count()));
}

void Flight::on_ready(short events) {
  if (events == 0) return;
  switch (mode_) {
    case Mode::Udp:
      return read_datagrams();
    case Mode::TcpWrite:
      return write_stream();
    case Mode::TcpRead:
      return read_stream();
  }
}

void Flight::read_datagrams() {
  std::array<std::byte, kUdpBuffer> buffer;
  for (int turn = 0; turn < kDatagramsATurn && !done() && mode_ == Mode::Udp; ++turn) {
    // MSG_TRUNC makes recv() say the datagram's true length.
    ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
    if (length < 0) {
      if (errno != EAGAIN && errno != EINTR)
        trouble(ErrorCode::Unavailable,
                fmt::format("cannot reach {} over UDP: {}", server_text(query_->server), base::system_reason(errno)));
      return;
    }
    if (static_cast<std::size_t>(length) <= buffer.size())
      judge(base::Bytes(buffer).first(static_cast<std::size_t>(length)));
  }
}

void Flight::judge(base::Bytes message) {
  Relation who = relation(message, id_, query_->question);
  if (who == Relation::Stranger) {
    if (mode_ != Mode::Udp)
      finish(fail(ErrorCode::Protocol, "{} answers over TCP with something other than a reply to {}",
                  server_text(query_->server), what()));
    return;
  }
  if (who == Relation::NoEdns && edns_ == Edns::On) {
    edns_ = Edns::Off;
    return start();
  }
  auto reply = parse_reply(message);
  if (!reply) {
    trouble(ErrorCode::Protocol,
            fmt::format("{} answers {} with {}", server_text(query_->server), what(), reply.error().message));
    return;
  }
  if (!reply->truncated) return finish(std::move(reply));
  if (mode_ == Mode::Udp) return start_tcp();
  finish(fail(ErrorCode::Protocol, "{} truncates its answer to {} even over TCP", server_text(query_->server), what()));
}

void Flight::start_tcp() {
  mode_ = Mode::TcpWrite;
  deadline_ = Clock::now() + options_->tcp_wait;
  std::array<std::byte, 2> length{};
  base::store_u16(length.data(), static_cast<std::uint16_t>(out_.size()));
  out_.insert(out_.begin(), length.begin(), length.end());
  written_ = 0;
  in_.clear();
  open_socket(SOCK_STREAM);
}

void Flight::write_stream() {
  ssize_t count = ::send(socket_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return trouble(ErrorCode::Unavailable,
                   fmt::format("the answer of {} to {} does not fit into UDP, and TCP failed: {}",
                               server_text(query_->server), what(), base::system_reason(errno)));
  }
  written_ += static_cast<std::size_t>(count);
  if (written_ == out_.size()) mode_ = Mode::TcpRead;
}

void Flight::read_stream() {
  std::size_t want = in_.size() < 2 ? 2 : 2U + base::load_u16(in_.data());
  std::size_t have = in_.size();
  in_.resize(want);
  ssize_t count = ::recv(socket_.get(), in_.data() + have, want - have, 0);
  in_.resize(have + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0)
    return trouble(
        ErrorCode::Unavailable,
        fmt::format("the answer of {} to {} does not fit into UDP, and TCP failed: {}", server_text(query_->server),
                    what(), count < 0 ? base::system_reason(errno) : "closed early"));
  if (in_.size() < 2 || in_.size() < 2U + base::load_u16(in_.data())) return;
  judge(base::Bytes(in_).subspan(2));
}

class Batch {
 public:
  Batch(const std::vector<Query>& queries, const AskOptions& options) : queries_(&queries), options_(&options) {}

  std::vector<Result<Reply>> run() {
    results_.assign(queries_->size(), fail(ErrorCode::Interrupted, "interrupted while asking name servers"));
    while ((next_ < queries_->size() || !flights_.empty()) && !interrupted()) {
      launch();
      wait();
    }
    return std::move(results_);
  }

 private:
  void launch() {
    while (flights_.size() < kMaxInFlight && next_ < queries_->size()) {
      Flight flight((*queries_)[next_], *options_, next_);
      ++next_;
      flight.start();
      if (flight.done())
        results_[flight.index()] = flight.take();
      else
        flights_.push_back(std::move(flight));
    }
  }

  void wait() {
    if (flights_.empty()) return;
    auto first = std::min_element(flights_.begin(), flights_.end(),
                                  [](const Flight& a, const Flight& b) { return a.deadline() < b.deadline(); });
    auto left = std::chrono::ceil<milliseconds>(first->deadline() - Clock::now()).count();
    entries_.clear();
    for (const Flight& flight : flights_) entries_.push_back(flight.poll_entry());
    entries_.push_back({interrupt_descriptor(), POLLIN, 0});
    int ready = ::poll(entries_.data(), entries_.size(), static_cast<int>(std::max<decltype(left)>(left, 0)));
    auto now = Clock::now();
    for (std::size_t i = 0; i < flights_.size(); ++i) {
      if (ready > 0) flights_[i].on_ready(entries_[i].revents);
      if (!flights_[i].done() && flights_[i].deadline() <= now) flights_[i].on_deadline();
      if (flights_[i].done()) results_[flights_[i].index()] = flights_[i].take();
    }
    std::erase_if(flights_, [](const Flight& flight) { return flight.done(); });
  }

  const std::vector<Query>* queries_;
  const AskOptions* options_;
  std::size_t next_ = 0;
  std::vector<Flight> flights_;
  std::vector<pollfd> entries_;
  std::vector<Result<Reply>> results_;
};

}  // namespace

std::vector<Result<Reply>> ask(const std::vector<Query>& queries, const AskOptions& options) {
  return Batch(queries, options).run();
}

std::string server_text(const base::SocketAddress& server) {
  return server.port() == 53 ? server.address_text() : server.text();
}

}  // namespace countersign::acme::dns
