#include "dnsd/net/tcp_sessions.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/random.hpp"
#include "base/socket_address.hpp"

namespace countersign::dnsd {
namespace {

// The idle time shrinks from three quarters of the room to a tenth of itself where all is taken.
constexpr std::int64_t kLeastTenths = 1;
// Of all connections, so many may be waiting for their first query before these are the first to go.
constexpr std::size_t kSilentShare = 4;

TcpLimits at_least_one(TcpLimits limits) {
  limits.max_connections = std::max(1U, limits.max_connections);
  limits.max_per_address = std::max(1U, limits.max_per_address);
  return limits;
}

}  // namespace

TcpSessions::TcpSessions(TcpLimits limits)
    : limits_(at_least_one(limits)), clients_(0, AddressHash{{base::random_u64(), base::random_u64()}}) {}

TcpSessions::~TcpSessions() {
  for (Order* list : {&silent_, &asked_}) {
    while (!list->empty()) close(list->front());
  }
  bury();
}

std::size_t TcpSessions::AddressHash::operator()(const Address& address) const {
  zones::NameHasher hasher(seed, static_cast<std::size_t>(address.family));
  hasher.add(address.prefix);
  return hasher.finish();
}

// A /64 is one client: whoever has one has all of its addresses (RFC 4291 §2.5.4).
TcpSessions::Address TcpSessions::address_of(const TcpSession& session) {
  base::Bytes octets = base::ip_octets(reinterpret_cast<const sockaddr&>(session.client));
  Address address{0, octets.size() == 4 ? AF_INET : AF_INET6};
  std::memcpy(&address.prefix, octets.data(), std::min(octets.size(), sizeof address.prefix));
  return address;
}

TcpSession& TcpSessions::add(base::Descriptor socket, const sockaddr_storage& client, socklen_t length, TimePoint now) {
  auto session = std::make_unique<TcpSession>();
  session->socket = std::move(socket);
  session->client_length = std::min<socklen_t>(length, sizeof session->client);
  std::memcpy(&session->client, &client, session->client_length);
  session->since = now;
  session->from = &clients_[address_of(*session)];
  session->from->sessions.push_back(*session);
  silent_.push_back(*session);
  return *session.release();  // the lists' until bury()
}

void TcpSessions::progressed(TcpSession& session, TimePoint now) {
  session.since = now;
  Order& before = session.asked ? asked_ : silent_;
  asked_.splice(asked_.end(), before, before.iterator_to(session));
  session.asked = true;
  auto& siblings = session.from->sessions;
  siblings.splice(siblings.end(), siblings, siblings.iterator_to(session));
}

void TcpSessions::count_kept(TcpSession& session) {
  std::size_t now = session.conversation.kept();
  if (now <= kKeptLittle) now = 0;
  if (now > 0 && session.kept == 0) keeping_.push_back(session);
  if (now == 0 && session.kept > 0) keeping_.erase(keeping_.iterator_to(session));
  kept_ = kept_ - session.kept + now;
  session.kept = now;
}

void TcpSessions::close(TcpSession& session) {
  session.socket.close();
  session.conversation = {};
  count_kept(session);
  auto& siblings = session.from->sessions;
  siblings.erase(siblings.iterator_to(session));
  if (siblings.empty()) clients_.erase(address_of(session));
  Order& list = session.asked ? asked_ : silent_;
  closed_.splice(closed_.end(), list, list.iterator_to(session));
}

void TcpSessions::bury() {
  closed_.clear_and_dispose([](TcpSession* session) { std::unique_ptr<TcpSession> owner(session); });
}

std::chrono::milliseconds TcpSessions::idle_timeout() const {
  // In tenths of the last quarter that are free.
  auto quarter = static_cast<std::int64_t>(limits_.max_connections / 4);
  auto left = static_cast<std::int64_t>(limits_.max_connections) - static_cast<std::int64_t>(size());
  if (left >= quarter || quarter == 0) return limits_.idle_timeout;
  return limits_.idle_timeout * std::max(left * 10 / quarter, kLeastTenths) / 10;
}

TcpSession* TcpSessions::expired(TimePoint now) {
  TimePoint latest = now - idle_timeout();
  for (Order* list : {&silent_, &asked_}) {
    if (!list->empty() && list->front().since <= latest) return &list->front();
  }
  return nullptr;
}

TcpSession* TcpSessions::surplus(TimePoint now) {
  return size() > limits_.max_connections ? least_worth(now) : nullptr;
}

// Those that have never asked go first, if they had the time to: were it all of them at once, then a stream of new
// connections would close each before its query is here.
TcpSession* TcpSessions::least_worth(TimePoint now) {
  if (!silent_.empty()) {
    bool had_time = now - silent_.front().since >= kFirstQuery;
    bool many = silent_.size() > 1 + limits_.max_connections / kSilentShare;
    if (had_time || many || asked_.empty()) return &silent_.front();
  }
  return asked_.empty() ? nullptr : &asked_.front();
}

TcpSession* TcpSessions::surplus_of_client(const TcpSession& session) {
  auto& siblings = session.from->sessions;
  return siblings.size() > limits_.max_per_address ? &siblings.front() : nullptr;
}

TcpSession* TcpSessions::keeping_too_much() {
  return kept_ > kKeptEnough ? &keeping_.front() : nullptr;
}

void TcpSessions::set_limits(TcpLimits limits) {
  limits_ = at_least_one(limits);
}

}  // namespace countersign::dnsd
