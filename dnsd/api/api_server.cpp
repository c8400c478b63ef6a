#include "dnsd/api/api_server.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <limits>
#include <list>

#include "base/files.hpp"
#include "base/log.hpp"
#include "dnsd/api/api_session.hpp"
#include "dnsd/api/tls_context.hpp"

namespace countersign::dnsd {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLookEvery{5};
// Without descriptors or memory accepting fails at once, again and again.
constexpr std::chrono::milliseconds kAcceptPause{200};
constexpr std::chrono::minutes kComplainEvery{1};
// Closed when the process has no descriptor left: the newcomer needs one, and the store and the control socket too.
constexpr unsigned kSpareDescriptors = 8;
// Deadlines are kept to a sixteenth of the shortest.
constexpr int kSweepsPerDeadline = 16;
constexpr std::chrono::milliseconds kSweepAtLeastEvery{1000};
constexpr std::chrono::milliseconds kSweepAtMostEvery{5};

// DNS over TCP and the control socket need descriptors too.
std::size_t connection_limit(std::size_t wanted) {
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return wanted;
  return std::clamp<std::size_t>(descriptors.rlim_cur / 4, 1, wanted);
}

std::chrono::milliseconds sweep_pause(const ApiDeadlines& deadlines) {
  auto shortest = std::min(
      {deadlines.handshake, deadlines.idle, deadlines.request, deadlines.sending, deadlines.in_all, deadlines.leaving});
  return std::clamp(shortest / kSweepsPerDeadline, kSweepAtMostEvery, kSweepAtLeastEvery);
}

}  // namespace

class ApiServer::Impl {
 public:
  Impl(asio::io_context& context, HttpHandler handler, ApiDeadlines deadlines)
      : context_(context), handler_(std::move(handler)), sessions_(deadlines), sweeper_(context), looker_(context) {}
  // What the loop still holds of the conversations is never resumed.
  ~Impl() {
    for (std::size_t phase = 0; phase < kApiPhases; ++phase)
      sessions_.for_each(static_cast<ApiPhase>(phase), [this](ApiPlace& place) { forget(place); });
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  base::Result<void> use(const conf::Api& api);
  void use_without_certificate(const conf::Api& api);
  base::Result<void> serve(std::vector<base::Descriptor> sockets);
  void stop();
  void look() { tls_.look(); }

  [[nodiscard]] std::size_t connections() const { return sessions_.all(); }
  [[nodiscard]] const ApiCounters& counters() const { return counters_; }

 private:
  void use_limits(const conf::Api& api);
  asio::awaitable<void> accept(tcp::acceptor& acceptor);
  void admit(tcp::socket socket, const base::SocketAddress& peer);
  // Whether to pause before the next try.
  [[nodiscard]] bool accept_failed(boost::system::error_code error);
  asio::awaitable<void> run(ApiSession& session);
  void end(ApiPlace& place, std::uint64_t* counter);
  void make_room(const ApiPlace* newcomer);
  void forget(ApiPlace& place);
  void start_sweeping();
  void sweep();
  void end_if_drained();
  void overdue(ApiPlace& place, ApiPlace::TimePoint now);
  void keep_looking();
  [[nodiscard]] bool is_proxy(const base::SocketAddress& peer) const;

  asio::io_context& context_;
  HttpHandler handler_;
  ApiCounters counters_;
  ApiSessions sessions_;
  TlsContext tls_;
  std::vector<base::AddressRange> proxies_;
  std::list<tcp::acceptor> acceptors_;
  asio::steady_timer sweeper_;
  asio::steady_timer looker_;
  Clock::time_point complained_{};
  bool sweeping_ = false;
  bool stopping_ = false;
};

base::Result<void> ApiServer::Impl::use(const conf::Api& api) {
  if (auto used = tls_.use(api.tls_certificate, api.tls_key); !used) return used;
  use_limits(api);
  return {};
}

void ApiServer::Impl::use_without_certificate(const conf::Api& api) {
  tls_.wait_for(api.tls_certificate, api.tls_key);
  use_limits(api);
}

void ApiServer::Impl::use_limits(const conf::Api& api) {
  ApiLimits limits;
  limits.max_connections = connection_limit(std::max(api.max_connections, 1U));
  limits.max_per_address = std::max(api.max_per_address, 1U);
  sessions_.set_limits(limits);
  proxies_ = api.trusted_proxies;
  make_room(nullptr);
}

base::Result<void> ApiServer::Impl::serve(std::vector<base::Descriptor> sockets) {
  for (base::Descriptor& socket : sockets) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
    tcp::acceptor& acceptor = acceptors_.emplace_back(context_);
    boost::system::error_code error;
    // NOLINTNEXTLINE(bugprone-unused-return-value): `error` has the same
    acceptor.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), socket.get(), error);
    if (error) return base::fail(base::ErrorCode::Io, "cannot serve the API: {}", base::system_reason(error.value()));
    static_cast<void>(socket.release());  // the acceptor's now
    asio::co_spawn(context_, accept(acceptor), kEndOnException);
  }
  if (!sockets.empty()) keep_looking();
  return {};
}

void ApiServer::Impl::stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  for (tcp::acceptor& acceptor : acceptors_)
    acceptor.close(ignored);  // NOLINT(bugprone-unused-return-value): `ignored` has the same
  for (ApiPhase phase : {ApiPhase::Handshake, ApiPhase::Idle, ApiPhase::Reading})
    sessions_.for_each(phase, [this](ApiPlace& place) { end(place, nullptr); });
  looker_.cancel();
  end_if_drained();
}

void ApiServer::Impl::end_if_drained() {
  if (stopping_ && sessions_.all() == 0) sweeper_.cancel();
}

asio::awaitable<void> ApiServer::Impl::accept(tcp::acceptor& acceptor) {
  asio::steady_timer pause(context_);
  while (!stopping_) {
    tcp::endpoint endpoint;
    auto accepted = co_await acceptor.async_accept(endpoint, kAsTuple);
    boost::system::error_code error = std::get<0>(accepted);
    if (stopping_ || error == asio::error::operation_aborted) co_return;
    if (!error) {
      admit(std::move(std::get<1>(accepted)),
            base::SocketAddress::from(endpoint.data(), static_cast<socklen_t>(endpoint.size())));
    } else if (accept_failed(error)) {
      pause.expires_after(kAcceptPause);
      auto waited = co_await pause.async_wait(kAsTuple);
      static_cast<void>(waited);
    }
  }
}

bool ApiServer::Impl::accept_failed(boost::system::error_code error) {
  ++counters_.accept_errors;
  auto now = Clock::now();
  if (complained_ == Clock::time_point{} || now - complained_ >= kComplainEvery) {
    complained_ = now;
    base::log::warn("cannot accept a connection of the API",
                    {{"reason", base::system_reason(error.value())},
                     {"connections", std::to_string(sessions_.open())},
                     {"remedy", "allow the daemon more open files, or lower api.max_connections"}});
  }
  // Closing connections helps against a lack of the process' own descriptors, not against one of the whole system.
  if (error.value() != EMFILE || sessions_.open() == 0) return true;
  for (unsigned i = 0; i < kSpareDescriptors; ++i)
    if (ApiPlace* least = sessions_.least_worth(nullptr)) end(*least, &counters_.closed_for_room);
  return false;
}

// Closing the one that is idle for longest, instead of refusing the new one, keeps others served while somebody holds
// all that there may be.
void ApiServer::Impl::admit(tcp::socket socket, const base::SocketAddress& peer) {
  boost::system::error_code error;
  socket.non_blocking(true, error);  // NOLINT(bugprone-unused-return-value): `error` has the same
  if (error) {
    ++counters_.accept_errors;
    return;
  }
  ++counters_.accepted;
  if (tls_.is_waiting()) {
    ++counters_.tls_failures;
    return;
  }
  auto session = std::make_unique<ApiSession>(std::move(socket));
  session->peer = peer;
  if (tls_.get() != nullptr) session->tls.emplace(session->socket, *tls_.get());
  ApiSession& place = *session.release();  // forget() deletes it
  sessions_.add(place, peer, is_proxy(peer) ? ApiSessions::Client::Uncounted : ApiSessions::Client::Counted,
                place.tls ? ApiPhase::Handshake : ApiPhase::Idle, Clock::now());
  while (ApiPlace* surplus = sessions_.surplus_of_client(place)) end(*surplus, &counters_.closed_for_address);
  make_room(&place);
  start_sweeping();
  asio::co_spawn(context_, run(place), kEndOnException);
}

bool ApiServer::Impl::is_proxy(const base::SocketAddress& peer) const {
  if (proxies_.empty()) return false;
  base::Bytes octets = base::ip_octets(*peer.data());
  return std::ranges::any_of(proxies_, [octets](const base::AddressRange& range) { return range.contains(octets); });
}

asio::awaitable<void> ApiServer::Impl::run(ApiSession& session) {
  ApiTalk talk{sessions_, handler_, counters_, stopping_};
  co_await converse(talk, session);
  forget(session);
  end_if_drained();
}

void ApiServer::Impl::end(ApiPlace& place, std::uint64_t* counter) {
  if (counter != nullptr) ++*counter;
  // What its conversation waits for ends with an error, and then it ends itself.
  boost::system::error_code ignored;
  // NOLINTNEXTLINE(bugprone-unused-return-value): `ignored` has the same
  static_cast<ApiSession&>(place).socket.close(ignored);
  sessions_.close(place);
}

void ApiServer::Impl::make_room(const ApiPlace* newcomer) {
  while (ApiPlace* surplus = sessions_.surplus(newcomer)) end(*surplus, &counters_.closed_for_room);
}

void ApiServer::Impl::forget(ApiPlace& place) {
  sessions_.remove(place);
  std::unique_ptr<ApiSession> owner(&static_cast<ApiSession&>(place));
}

// All deadlines with one timer, which runs while there is a connection.
void ApiServer::Impl::start_sweeping() {
  if (sweeping_) return;
  sweeping_ = true;
  sweeper_.expires_after(sweep_pause(sessions_.deadlines()));
  sweeper_.async_wait([this](boost::system::error_code error) {
    if (!error) sweep();
  });
}

void ApiServer::Impl::sweep() {
  sweeping_ = false;
  auto now = Clock::now();
  while (ApiPlace* place = sessions_.expired(now)) overdue(*place, now);
  if (sessions_.open() > 0) start_sweeping();
}

void ApiServer::Impl::overdue(ApiPlace& place, ApiPlace::TimePoint now) {
  if (place.phase == ApiPhase::Leaving) return end(place, nullptr);
  if (place.phase != ApiPhase::Reading) return end(place, &counters_.closed_idle);
  // Its conversation tells the client.
  ++counters_.closed_idle;
  auto& session = static_cast<ApiSession&>(place);
  sessions_.enter(session, ApiPhase::Answering, now);
  session.deadline = now + sessions_.deadlines().sending;
  session.too_slow = true;
  boost::system::error_code ignored;
  session.socket.cancel(ignored);  // NOLINT(bugprone-unused-return-value): `ignored` has the same
}

void ApiServer::Impl::keep_looking() {
  looker_.expires_after(kLookEvery);
  looker_.async_wait([this](boost::system::error_code error) {
    if (error || stopping_) return;
    tls_.look();
    keep_looking();
  });
}

ApiServer::ApiServer(asio::io_context& context, HttpHandler handler, ApiDeadlines deadlines)
    : impl_(std::make_unique<Impl>(context, std::move(handler), deadlines)) {}

ApiServer::~ApiServer() = default;

void ApiServer::use_without_certificate(const conf::Api& api) {
  impl_->use_without_certificate(api);
}

base::Result<void> ApiServer::use(const conf::Api& api) {
  return impl_->use(api);
}

base::Result<void> ApiServer::serve(std::vector<base::Descriptor> sockets) {
  return impl_->serve(std::move(sockets));
}

void ApiServer::stop() {
  impl_->stop();
}

void ApiServer::look_at_certificate() {
  impl_->look();
}

std::size_t ApiServer::connections() const {
  return impl_->connections();
}

const ApiCounters& ApiServer::counters() const {
  return impl_->counters();
}

}  // namespace countersign::dnsd
