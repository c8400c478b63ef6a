#include "dnsd/net/tcp_server.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "base/files.hpp"
#include "base/log.hpp"
#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/net/moment.hpp"

namespace countersign::dnsd {
namespace {

using Wants = TcpConversation::Wants;

// Events fetched at once, and how long they are served before the loop's other work (the control socket) gets its turn.
constexpr std::size_t kEvents = 32;
constexpr std::chrono::milliseconds kTurn{2};
constexpr unsigned kAcceptAtOnce = 64;
// Without descriptors or memory accepting fails at once, again and again.
constexpr std::chrono::milliseconds kAcceptPause{200};
constexpr std::chrono::seconds kComplainEvery{60};
// Closed when the process has no descriptor left: the newcomer needs one, and the store and the control socket too.
constexpr unsigned kSpareDescriptors = 8;
constexpr unsigned kThrowAwayReads = 16;
// Deadlines are kept to a sixteenth of the idle time.
constexpr int kSweepsPerTimeout = 16;
constexpr std::chrono::milliseconds kSweepAtLeastEvery{1000};
constexpr std::chrono::milliseconds kSweepAtMostEvery{5};
// Messages of one session whose answers come later. One that asks more is told that we are busy.
constexpr std::size_t kMaxExpected = 64;
// Longer than the longest wait for the store.
constexpr std::chrono::seconds kExpectAnswers{30};
// What the kernel keeps of answers that a client does not take. Its own bound is megabytes a connection.
constexpr int kUnsentInKernel = 131072;

// epoll's data is a session's address, or for a listening socket its number with the lowest bit set.
std::uint64_t listener_mark(std::size_t number) {
  return number << 1U | 1U;
}

bool watch(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(epoll, operation, fd, &event) == 0;
}

std::uint64_t session_mark(const TcpSession& session) {
  return reinterpret_cast<std::uintptr_t>(&session);
}

std::uint32_t events_for(Wants wants) {
  if (wants == Wants::Room) return EPOLLOUT;
  // The client's end of stream would be reported for ever; a broken connection is reported without being asked for.
  return wants == Wants::Octets ? EPOLLIN : 0U;
}

// SERVFAIL: nothing but the header, since what follows has not been looked at.
std::size_t write_busy(base::Bytes query, base::MutableBytes place) {
  std::fill_n(place.begin(), kHeaderLength, std::byte{0});
  std::copy_n(query.begin(), 2, place.begin());
  std::uint16_t opcode = base::load_u16(query.data() + 2) & header::kOpcode;
  base::store_u16(place.data() + 2, header::kQr | opcode | rcode::kServFail);
  return kHeaderLength;
}

base::Error cannot_wait(int reason) {
  return {base::ErrorCode::Io, "cannot wait for TCP connections: " + base::system_reason(reason)};
}

}  // namespace

// A session as its conversation sees it.
class TcpServer::Peer {
 public:
  Peer(TcpServer& server, TcpSession& session) : server_(server), session_(session), scope_(server.reader_) {}

  std::size_t answer(base::Bytes query, base::MutableBytes place) {
    std::size_t length = server_.answer(session_, query, place);
    answered_ = answered_ || length > 0;
    return length;
  }
  std::optional<std::size_t> write(base::Bytes octets) {
    ssize_t taken = send(session_.socket.get(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken >= 0) return static_cast<std::size_t>(taken);
    if (errno == EAGAIN || errno == EINTR) return 0;
    return std::nullopt;
  }
  [[nodiscard]] bool answered() const { return answered_; }

 private:
  TcpServer& server_;
  TcpSession& session_;
  zones::ReadScope scope_;  // once for all queries of a step
  bool answered_ = false;
};

TcpServer::TcpServer(asio::io_context& context, const Responder& responder, zones::Epochs::Reader& reader,
                     TcpLimits limits)
    : responder_(responder), reader_(reader), sessions_(limits), epoll_(context), sweeper_(context) {}

TcpServer::~TcpServer() = default;

base::Result<void> TcpServer::serve(base::Descriptor socket) {
  if (!epoll_.is_open()) {
    base::Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return base::fail(cannot_wait(errno));
    boost::system::error_code error;
    epoll_.assign(epoll.get(), error);  // NOLINT(bugprone-unused-return-value): `error` has the same
    if (error) return base::fail(cannot_wait(error.value()));
    static_cast<void>(epoll.release());  // epoll_'s now
    wait();
  }
  // Connections inherit these. Without TCP_NODELAY an answer waits until the client has confirmed the one before it.
  int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentInKernel, sizeof kUnsentInKernel);
  if (!watch(epoll_.native_handle(), EPOLL_CTL_ADD, socket.get(), EPOLLIN, listener_mark(listeners_.size())))
    return base::fail(cannot_wait(errno));
  listeners_.push_back(std::move(socket));
  return {};
}

void TcpServer::wait() {
  epoll_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    serve_ready();
    if (!stopping_ || sessions_.size() > 0) wait();
  });
}

void TcpServer::serve_ready() {
  std::array<epoll_event, kEvents> events{};
  TimePoint start = std::chrono::steady_clock::now();
  now_ = start;
  int ready = 0;
  do {
    ready = epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    if (ready <= 0) break;
    query_.moment = read_moment();
    for (std::size_t i = 0; i < static_cast<std::size_t>(ready); ++i) serve_event(events[i].data.u64);
    // Only now: an event further on in the list could have been of one that was closed for room.
    sessions_.bury();
    now_ = std::chrono::steady_clock::now();
    // Behind a single one there is mostly nothing yet.
  } while (ready > 1 && now_ - start < kTurn);
  end_if_drained();
}

void TcpServer::serve_event(std::uint64_t data) {
  if ((data & 1U) != 0) {
    std::size_t number = data >> 1U;
    if (number < listeners_.size() && accepting_) accept_waiting(listeners_[number].get());
    return;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): session_mark() made it from one
  TcpSession& session = *reinterpret_cast<TcpSession*>(static_cast<std::uintptr_t>(data));
  if (!session.socket) return;
  // Broken connections show in all of them.
  switch (session.waits_for) {
    case Wants::Octets:
      return read_from(session);
    case Wants::Room:
      return write_to(session);
    case Wants::Answers:
    case Wants::End:
      return end(session, nullptr);  // nothing else is watched for
  }
}

void TcpServer::accept_waiting(int listener) {
  for (unsigned i = 0; i < kAcceptAtOnce; ++i) {
    sockaddr_storage client{};
    socklen_t length = sizeof client;
    base::Descriptor socket(
        accept4(listener, reinterpret_cast<sockaddr*>(&client), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    int reason = errno;
    if (socket) {
      admit(std::move(socket), client, length);
    } else if (reason == EAGAIN) {
      return;
    } else if (reason == EMFILE || reason == ENFILE || reason == ENOBUFS || reason == ENOMEM) {
      return accept_failed(reason);
    } else {
      // The connection was broken before it was ours, and accept() says how (accept(2), "Error handling").
      tcp_counters_.accept_errors.add();
    }
  }
}

void TcpServer::accept_failed(int reason) {
  tcp_counters_.accept_errors.add();
  if (last_complaint_ == TimePoint{} || now_ - last_complaint_ >= kComplainEvery) {
    last_complaint_ = now_;
    base::log::warn("cannot accept a TCP connection",
                    {{"reason", base::system_reason(reason)},
                     {"connections", std::to_string(sessions_.size())},
                     {"remedy", "allow the daemon more open files, or lower dns.tcp_max_connections"}});
  }
  TcpSession* first = reason == EMFILE ? sessions_.least_worth(now_) : nullptr;
  // Closing those of others would not help against a lack of the whole system.
  if (first == nullptr) {
    accepting_ = false;
    listen_for(0);
    start_sweeping();
    return;
  }
  for (unsigned i = 0; i < kSpareDescriptors && first != nullptr; ++i, first = sessions_.least_worth(now_))
    end(*first, &tcp_counters_.closed_for_room);
}

// RFC 7766 §6.2.3 lets a server close connections under load. Closing the one that has got on with nothing for longest
// (a client that is silent, or one that does not read), instead of refusing the new one, keeps the CA's resolver served
// while somebody holds all that there may be.
void TcpServer::admit(base::Descriptor socket, const sockaddr_storage& client, socklen_t length) {
  int fd = socket.get();
  TcpSession& session = sessions_.add(std::move(socket), client, length, now_);
  tcp_counters_.accepted.add();
  if (!watch(epoll_.native_handle(), EPOLL_CTL_ADD, fd, EPOLLIN, session_mark(session))) {
    // No memory, or the user's epoll watches are used up.
    tcp_counters_.accept_errors.add();
    return end(session, nullptr);
  }
  while (TcpSession* surplus = sessions_.surplus_of_client(session)) end(*surplus, &tcp_counters_.closed_for_address);
  while (TcpSession* surplus = sessions_.surplus(now_)) end(*surplus, &tcp_counters_.closed_for_room);
  start_sweeping();
}

void TcpServer::read_from(TcpSession& session) {
  base::MutableBytes room = session.conversation.room(buffers_);
  ssize_t got = recv(session.socket.get(), room.data(), room.size(), MSG_DONTWAIT);
  bool nothing = got < 0 && (errno == EAGAIN || errno == EINTR);
  Peer peer(*this, session);
  if (got > 0 || nothing) {
    std::size_t count = got > 0 ? static_cast<std::size_t>(got) : 0;
    Wants wants = session.conversation.octets_came(buffers_, count, peer);
    // At the end all that has arrived is answered; a read that was not full was the last.
    if (stopping_ && wants == Wants::Octets && count < room.size()) wants = session.conversation.client_finished();
    take_step(session, peer, wants);
  } else {
    take_step(session, peer, got == 0 ? session.conversation.client_finished() : Wants::End);
  }
}

void TcpServer::write_to(TcpSession& session) {
  {
    Peer peer(*this, session);  // ends before read_from() makes its own: there is one reader
    bool was_sending = session.conversation.is_sending();
    Wants wants = session.conversation.room_came(buffers_, peer);
    if (was_sending && !session.conversation.is_sending() && wants != Wants::End) sessions_.progressed(session, now_);
    take_step(session, peer, wants);
  }
  if (stopping_ && session.socket && session.waits_for == Wants::Octets) read_from(session);
}

void TcpServer::take_step(TcpSession& session, const Peer& peer, Wants wants) {
  if (peer.answered()) sessions_.progressed(session, now_);
  if (wants == Wants::End) {
    bool malformed = session.conversation.is_malformed();
    if (malformed) throw_away_input(session);
    return end(session, malformed ? &tcp_counters_.refused_short : nullptr);
  }
  if (wants != session.waits_for) {
    session.waits_for = wants;
    watch(epoll_.native_handle(), EPOLL_CTL_MOD, session.socket.get(), events_for(wants), session_mark(session));
  }
  sessions_.count_kept(session);
  while (TcpSession* keeping = sessions_.keeping_too_much()) end(*keeping, &tcp_counters_.closed_for_memory);
}

// Closing with octets unread resets the connection, and that may take the last answers with it.
void TcpServer::throw_away_input(const TcpSession& session) {
  for (unsigned i = 0; i < kThrowAwayReads; ++i) {
    if (recv(session.socket.get(), buffers_.input.data(), buffers_.input.size(), MSG_DONTWAIT) <= 0) return;
  }
}

void TcpServer::end(TcpSession& session, base::Counter* reason) {
  if (reason != nullptr) reason->add();
  if (session.conversation.expected() > 0) expecting_.erase(session.number);
  sessions_.close(session);
}

void TcpServer::listen_for(std::uint32_t events) {
  for (std::size_t i = 0; i < listeners_.size(); ++i)
    watch(epoll_.native_handle(), EPOLL_CTL_MOD, listeners_[i].get(), events, listener_mark(i));
}

void TcpServer::set_limits(TcpLimits limits) {
  now_ = std::chrono::steady_clock::now();
  sessions_.set_limits(limits);
  sessions_.for_each_surplus_of_clients(
      [this](TcpSession& session) { end(session, &tcp_counters_.closed_for_address); });
  while (TcpSession* surplus = sessions_.surplus(now_)) end(*surplus, &tcp_counters_.closed_for_room);
  sessions_.bury();
  // A shorter idle time may have passed already.
  if (sweeping_) sweep();
}

void TcpServer::stop() {
  now_ = std::chrono::steady_clock::now();
  query_.moment = read_moment();
  stopping_ = true;
  listeners_.clear();
  sessions_.for_each([this](TcpSession& session) {
    if (session.waits_for == Wants::Octets) read_from(session);
  });
  sessions_.bury();
  end_if_drained();
}

// All deadlines with one timer, which runs while there is a connection.
void TcpServer::start_sweeping() {
  if (sweeping_) return;
  sweeping_ = true;
  auto pause = std::clamp(sessions_.limits().idle_timeout / kSweepsPerTimeout, kSweepAtMostEvery, kSweepAtLeastEvery);
  sweeper_.expires_after(accepting_ ? pause : std::min(pause, kAcceptPause));
  sweeper_.async_wait([this](boost::system::error_code error) {
    if (!error) sweep();
  });
}

void TcpServer::sweep() {
  now_ = std::chrono::steady_clock::now();
  sweeping_ = false;
  while (TcpSession* session = sessions_.expired(now_)) {
    if (session->conversation.expected() > 0 && now_ - session->expects_since < kExpectAnswers)
      sessions_.progressed(*session, now_);  // it is not the client who is slow
    else
      end(*session, &tcp_counters_.closed_idle);
  }
  sessions_.bury();
  if (!accepting_ && !stopping_) {
    accepting_ = true;
    listen_for(EPOLLIN);
  }
  if (sessions_.size() > 0) start_sweeping();
  end_if_drained();
}

void TcpServer::end_if_drained() {
  if (!stopping_ || sessions_.size() > 0) return;
  epoll_.cancel();
  sweeper_.cancel();
}

std::size_t TcpServer::answer(TcpSession& session, base::Bytes query, base::MutableBytes place) {
  std::memcpy(place.data(), query.data(), query.size());
  query_.packet = place.data();
  query_.capacity = place.size();
  query_.length = query.size();
  query_.transport = Transport::Tcp;
  query_.client = reinterpret_cast<const sockaddr*>(&session.client);
  Seen seen;
  std::size_t length = responder_.respond(query_, counters_, seen);
  if (length == 0 && query_.fate == Query::Fate::Deferred) return defer(session, query, place);
  if (!seen.name.empty() && seen_.wanted()) seen_.push(query_.client, session.client_length, Transport::Tcp, seen);
  return length;
}

// One message on its way through the handler.
struct TcpServer::Deferral {
  bool handed_over = false;  // the handler has returned
  bool answered = false;
  std::string answer;
};

// An answer that the handler has at once goes the way of all others.
std::size_t TcpServer::defer(TcpSession& session, base::Bytes query, base::MutableBytes place) {
  if (!deferred_handler_ || deferring_) return 0;
  if (session.conversation.expected() >= kMaxExpected) return write_busy(query, place);
  std::uint64_t number = session.conversation.expected() > 0 ? session.number : ++last_number_;
  auto deferral = std::make_shared<Deferral>();
  auto send = [weak = std::weak_ptr(self_), number, deferral](std::string answer) {
    auto self = weak.lock();
    if (!self || deferral->answered) return;
    deferral->answered = true;
    if (answer.size() > kTcpMaxMessage) answer.clear();
    if (deferral->handed_over)
      (*self)->deliver(number, std::move(answer));
    else
      deferral->answer = std::move(answer);
  };
  deferring_ = true;
  deferred_handler_(query, base::SocketAddress::from(query_.client, session.client_length), std::move(send));
  deferring_ = false;
  deferral->handed_over = true;
  if (deferral->answered) {
    std::memcpy(place.data(), deferral->answer.data(), deferral->answer.size());
    return deferral->answer.size();
  }
  session.number = number;
  session.expects_since = now_;
  session.conversation.expect_answer();
  expecting_[number] = &session;
  sessions_.progressed(session, now_);
  return 0;
}

void TcpServer::deliver(std::uint64_t number, std::string answer) {
  if (deferring_) {
    // In the middle of another session's step: the handler answers an older message.
    asio::post(epoll_.get_executor(), [weak = std::weak_ptr(self_), number, answer = std::move(answer)]() mutable {
      if (auto self = weak.lock()) (*self)->deliver(number, std::move(answer));
    });
    return;
  }
  auto found = expecting_.find(number);
  if (found == expecting_.end()) return;
  TcpSession& session = *found->second;
  now_ = std::chrono::steady_clock::now();
  {
    Peer peer(*this, session);
    Wants wants = session.conversation.answer_came(base::as_bytes(answer), peer);
    if (session.conversation.expected() == 0) expecting_.erase(found);
    if (!answer.empty()) sessions_.progressed(session, now_);
    take_step(session, peer, wants);
  }
  sessions_.bury();
  end_if_drained();
}

}  // namespace countersign::dnsd
