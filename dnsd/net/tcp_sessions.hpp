// The open TCP connections in the order of their progress, and who has to go: at the deadline, or for room. Nothing
// here looks at all of them; tens of thousands cost no more than ten. Thread: the control thread.
#pragma once

#include <netinet/in.h>

#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <unordered_map>

#include "base/descriptor.hpp"
#include "dnsd/net/tcp_framing.hpp"
#include "zones/name_hash.hpp"

namespace countersign::dnsd {

struct TcpLimits {
  unsigned max_connections = 1000;
  // From one answered query (or the start) to the next, and for a client to take its answers.
  std::chrono::milliseconds idle_timeout{10'000};
  unsigned max_per_address = 200;  // of one IPv4 address or IPv6 /64
};

struct TcpClient;

struct TcpSession {
  using Hook = boost::intrusive::list_member_hook<>;

  base::Descriptor socket;
  socklen_t client_length = 0;
  sockaddr_in6 client{};  // large enough for both families
  std::chrono::steady_clock::time_point since;
  TcpConversation conversation;
  std::size_t kept = 0;                                               // octets of conversation that count
  bool asked = false;                                                 // at least one whole query
  TcpConversation::Wants waits_for = TcpConversation::Wants::Octets;  // what epoll watches for
  std::uint64_t number = 0;                                           // while answers are expected
  std::chrono::steady_clock::time_point expects_since;                // the last of them
  TcpClient* from = nullptr;
  Hook in_order, in_client, in_keeping;
};

template <TcpSession::Hook TcpSession::* Member>
using TcpSessionList =
    boost::intrusive::list<TcpSession, boost::intrusive::member_hook<TcpSession, TcpSession::Hook, Member>>;

// All connections of one client, the one without progress for longest first.
struct TcpClient {
  TcpSessionList<&TcpSession::in_client> sessions;
};

class TcpSessions {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // More than any round trip: who connects and asks does it within that.
  static constexpr std::chrono::milliseconds kFirstQuery{1000};
  // What all connections together keep of half-sent messages and answers not taken: some hundred of the largest.
  static constexpr std::size_t kKeptEnough = std::size_t{64} << 20U;
  // Connections that keep no more do not count: one of them is no attack, and all of them fit.
  static constexpr std::size_t kKeptLittle = 4096;

  explicit TcpSessions(TcpLimits limits);
  ~TcpSessions();
  TcpSessions(const TcpSessions&) = delete;
  TcpSessions& operator=(const TcpSessions&) = delete;

  TcpSession& add(base::Descriptor socket, const sockaddr_storage& client, socklen_t length, TimePoint now);
  // Queries were answered, or the answers taken.
  void progressed(TcpSession& session, TimePoint now);
  // After each step of its conversation.
  void count_kept(TcpSession& session);
  // Closes it now; the object lasts until bury(), because events for it may have been fetched already.
  void close(TcpSession& session);
  void bury();

  // Who has to go, or null: past the deadline, because there are too many in all, too many of `session`'s client, or
  // too much is kept. Ask until null.
  [[nodiscard]] TcpSession* expired(TimePoint now);
  [[nodiscard]] TcpSession* surplus(TimePoint now);
  [[nodiscard]] TcpSession* surplus_of_client(const TcpSession& session);
  [[nodiscard]] TcpSession* keeping_too_much();
  // The first to be given up, whether it has to go or not.
  [[nodiscard]] TcpSession* least_worth(TimePoint now);

  // Whom lower limits leave too many of stays until asked for.
  void set_limits(TcpLimits limits);
  // Clients with too many, each of their oldest that has to go.
  template <class Function>
  void for_each_surplus_of_clients(Function function) {
    // A client that has one left at least keeps its place in the map.
    for (auto& [address, client] : clients_) {
      while (client.sessions.size() > limits_.max_per_address) function(client.sessions.front());
    }
  }
  [[nodiscard]] const TcpLimits& limits() const { return limits_; }
  // Shorter where there is little room left (RFC 7766 §6.2.3).
  [[nodiscard]] std::chrono::milliseconds idle_timeout() const;
  [[nodiscard]] std::size_t size() const { return silent_.size() + asked_.size(); }
  [[nodiscard]] std::size_t kept() const { return kept_; }

  template <class Function>
  void for_each(Function function) {
    // A session may be closed while it is looked at, or change lists: that puts it behind all others.
    for (std::size_t left = silent_.size(); left > 0; --left) visit(silent_, function);
    for (std::size_t left = asked_.size(); left > 0; --left) visit(asked_, function);
  }

 private:
  using Order = TcpSessionList<&TcpSession::in_order>;

  struct Address {
    std::uint64_t prefix = 0;
    int family = AF_UNSPEC;
    friend bool operator==(const Address&, const Address&) = default;
  };
  // Seeded: clients choose their addresses.
  struct AddressHash {
    zones::HashSeed seed;
    std::size_t operator()(const Address& address) const;
  };
  using Clients = std::unordered_map<Address, TcpClient, AddressHash>;

  [[nodiscard]] static Address address_of(const TcpSession& session);
  template <class Function>
  static void visit(Order& list, Function& function) {
    if (list.empty()) return;
    TcpSession& session = list.front();
    list.splice(list.end(), list, list.begin());
    function(session);
  }

  TcpLimits limits_;
  // Both: the one without progress for longest first.
  Order silent_;  // has not sent a whole query yet
  Order asked_;
  Order closed_;
  TcpSessionList<&TcpSession::in_keeping> keeping_;  // more than kKeptLittle; the one that has for longest first
  std::size_t kept_ = 0;
  Clients clients_;
};

}  // namespace countersign::dnsd
