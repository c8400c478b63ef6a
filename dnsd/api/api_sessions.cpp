#include "dnsd/api/api_sessions.hpp"

#include <algorithm>
#include <cstring>

#include "base/random.hpp"

namespace countersign::dnsd {
namespace {

constexpr std::size_t kPrefixOctets = 8;  // an IPv6 /64

}  // namespace

// All connections of one client, the one without progress for longest first.
struct ApiClient {
  ApiSessions::Address address;
  ApiPlaces<&ApiPlace::in_client> places;
};

std::size_t ApiSessions::AddressHash::operator()(const Address& address) const {
  zones::NameHasher hasher(seed, address.octets);
  hasher.add(address.prefix);
  return static_cast<std::size_t>(hasher.finish());
}

ApiSessions::ApiSessions(ApiDeadlines deadlines)
    : deadlines_(deadlines), clients_(0, AddressHash{{base::random_u64(), base::random_u64()}}) {}

// The places are their owner's, and may be gone already.
ApiSessions::~ApiSessions() = default;

ApiSessions::Address ApiSessions::address_of(const base::SocketAddress& peer) {
  Address address;
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return address;
  base::Bytes octets = base::ip_octets(*peer.data());
  address.octets = octets.size();
  std::memcpy(&address.prefix, octets.data(), std::min(octets.size(), kPrefixOctets));
  return address;
}

void ApiSessions::add(ApiPlace& place, const base::SocketAddress& peer, Client client, ApiPhase phase, TimePoint now) {
  if (client == Client::Counted) {
    Address address = address_of(peer);
    auto& entry = clients_[address];
    if (!entry) {
      entry = std::make_unique<ApiClient>();
      entry->address = address;
    }
    place.client = entry.get();
    entry->places.push_back(place);
  }
  place.phase = phase;
  place.since = now;
  list(phase).push_back(place);
  ++all_;
}

void ApiSessions::enter(ApiPlace& place, ApiPhase phase, TimePoint now) {
  Order& to = list(phase);
  to.splice(to.end(), list(place.phase), Order::s_iterator_to(place));
  place.phase = phase;
  place.since = now;
  if (place.client == nullptr) return;
  auto& siblings = place.client->places;
  siblings.splice(siblings.end(), siblings, siblings.iterator_to(place));
}

void ApiSessions::close(ApiPlace& place) {
  enter(place, ApiPhase::Closed, place.since);
  leave_client(place);
}

void ApiSessions::remove(ApiPlace& place) {
  leave_client(place);
  Order& order = list(place.phase);
  order.erase(order.iterator_to(place));
  --all_;
}

void ApiSessions::leave_client(ApiPlace& place) {
  if (place.client == nullptr) return;
  auto& siblings = place.client->places;
  siblings.erase(siblings.iterator_to(place));
  if (siblings.empty()) clients_.erase(Address(place.client->address));
  place.client = nullptr;
}

std::chrono::milliseconds ApiSessions::length_of(ApiPhase phase) const {
  switch (phase) {
    case ApiPhase::Handshake:
      return deadlines_.handshake;
    case ApiPhase::Idle:
      return deadlines_.idle;
    case ApiPhase::Reading:
      return deadlines_.request;
    case ApiPhase::Leaving:
      return deadlines_.leaving;
    case ApiPhase::Answering:
    case ApiPhase::Closed:
      break;
  }
  return std::chrono::milliseconds::max();
}

ApiPlace* ApiSessions::expired(TimePoint now) {
  for (ApiPhase phase : {ApiPhase::Handshake, ApiPhase::Idle, ApiPhase::Reading, ApiPhase::Leaving}) {
    Order& order = list(phase);
    if (!order.empty() && now - order.front().since >= length_of(phase)) return &order.front();
  }
  // Those begun earlier may end later. They are few: what is answered is answered soon.
  for (ApiPlace& place : list(ApiPhase::Answering))
    if (place.deadline <= now) return &place;
  return nullptr;
}

ApiPlace* ApiSessions::surplus(const ApiPlace* newcomer) {
  return open() > limits_.max_connections ? least_worth(newcomer) : nullptr;
}

ApiPlace* ApiSessions::surplus_of_client(const ApiPlace& newcomer) {
  if (newcomer.client == nullptr) return nullptr;
  auto& places = newcomer.client->places;
  if (places.size() <= limits_.max_per_address) return nullptr;
  for (ApiPlace& place : places)
    if (place.phase != ApiPhase::Answering && &place != &newcomer) return &place;
  return &places.front() != &newcomer ? &places.front() : nullptr;
}

ApiPlace* ApiSessions::least_worth(const ApiPlace* newcomer) {
  ApiPlace* least = nullptr;
  for (ApiPhase phase : {ApiPhase::Handshake, ApiPhase::Idle, ApiPhase::Reading, ApiPhase::Leaving}) {
    Order& order = list(phase);
    // A newcomer is the last of its list.
    if (order.empty() || &order.front() == newcomer) continue;
    if (least == nullptr || order.front().since < least->since) least = &order.front();
  }
  Order& answering = list(ApiPhase::Answering);
  return least == nullptr && !answering.empty() ? &answering.front() : least;
}

}  // namespace countersign::dnsd
