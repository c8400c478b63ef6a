// The public API's open connections in the order of their progress, and who has to go: at a deadline, or for room.
// Thread: the control thread.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/socket_address.hpp"
#include "zones/name_hash.hpp"

namespace countersign::dnsd {

// How long a connection may stay where it is.
struct ApiDeadlines {
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds idle{60'000};     // from one answer (or the start) to the next request's first octet
  std::chrono::milliseconds request{10'000};  // from there to its last octet
  std::chrono::milliseconds sending{10'000};  // for a client to take its answer
  std::chrono::milliseconds in_all{30'000};   // from a request's first octet to its answer's last
  std::chrono::milliseconds leaving{2'000};   // for a client to see why it is closed
};

struct ApiLimits {
  std::size_t max_connections = 1000;
  std::size_t max_per_address = 200;  // of one IPv4 address or IPv6 /64
};

enum class ApiPhase { Handshake, Idle, Reading, Answering, Leaving, Closed };
inline constexpr std::size_t kApiPhases = 6;

struct ApiClient;

// A connection as the order sees it.
struct ApiPlace {
  using TimePoint = std::chrono::steady_clock::time_point;
  using Hook = boost::intrusive::list_member_hook<>;

  ApiPhase phase = ApiPhase::Idle;
  TimePoint since;     // of the phase
  TimePoint begun;     // the request's first octet
  TimePoint deadline;  // of Answering; the other phases have one length each
  ApiClient* client = nullptr;
  Hook in_phase, in_client;
};

template <ApiPlace::Hook ApiPlace::* Member>
using ApiPlaces = boost::intrusive::list<ApiPlace, boost::intrusive::member_hook<ApiPlace, ApiPlace::Hook, Member>>;

class ApiSessions {
 public:
  using TimePoint = ApiPlace::TimePoint;

  explicit ApiSessions(ApiDeadlines deadlines);
  ~ApiSessions();
  ApiSessions(const ApiSessions&) = delete;
  ApiSessions& operator=(const ApiSessions&) = delete;

  // `place` stays where it is until remove(). Clients that are not `counted` have no limit of their own.
  enum class Client { Counted, Uncounted };
  void add(ApiPlace& place, const base::SocketAddress& peer, Client client, ApiPhase phase, TimePoint now);
  void enter(ApiPlace& place, ApiPhase phase, TimePoint now);
  // From here on it holds no room; remove() still has to follow.
  void close(ApiPlace& place);
  void remove(ApiPlace& place);

  // Who has to go, or null. Ask until null: close() it, or give it a new phase or deadline.
  [[nodiscard]] ApiPlace* expired(TimePoint now);
  [[nodiscard]] ApiPlace* surplus(const ApiPlace* newcomer);
  [[nodiscard]] ApiPlace* surplus_of_client(const ApiPlace& newcomer);
  // The longest without progress; one that is being answered only when there is no other, the newcomer never.
  [[nodiscard]] ApiPlace* least_worth(const ApiPlace* newcomer);

  // Addresses that lower limits leave with too many connections have them until their next one.
  void set_limits(ApiLimits limits) { limits_ = limits; }
  [[nodiscard]] const ApiDeadlines& deadlines() const { return deadlines_; }
  [[nodiscard]] std::size_t open() const { return all_ - list(ApiPhase::Closed).size(); }
  [[nodiscard]] std::size_t all() const { return all_; }

  // All of a phase; `function` may close them.
  template <class Function>
  void for_each(ApiPhase phase, Function function) {
    Order& order = list(phase);
    for (auto next = order.begin(); next != order.end();) function(*next++);
  }

 private:
  using Order = ApiPlaces<&ApiPlace::in_phase>;

  struct Address {
    std::uint64_t prefix = 0;
    std::size_t octets = 0;
    friend bool operator==(const Address&, const Address&) = default;
  };
  // Seeded: clients choose their addresses.
  struct AddressHash {
    zones::HashSeed seed;
    std::size_t operator()(const Address& address) const;
  };
  friend struct ApiClient;

  [[nodiscard]] static Address address_of(const base::SocketAddress& peer);
  [[nodiscard]] std::chrono::milliseconds length_of(ApiPhase phase) const;
  [[nodiscard]] Order& list(ApiPhase phase) { return phases_[static_cast<std::size_t>(phase)]; }
  [[nodiscard]] const Order& list(ApiPhase phase) const { return phases_[static_cast<std::size_t>(phase)]; }
  void leave_client(ApiPlace& place);

  ApiDeadlines deadlines_;
  ApiLimits limits_;
  std::array<Order, kApiPhases> phases_;  // each: the one that is in it for longest first
  std::size_t all_ = 0;
  std::unordered_map<Address, std::unique_ptr<ApiClient>, AddressHash> clients_;
};

}  // namespace countersign::dnsd
