#include <cstring>
#include <vector>

#include "base/socket_address.hpp"
#include "dnsd/net/tcp_sessions.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using TimePoint = TcpSessions::TimePoint;

namespace {

struct Sessions : TcpSessions {
  using TcpSessions::TcpSessions;

  TcpSession& connect(std::string_view client, TimePoint now) {
    auto address = base::SocketAddress::parse(client, 1234);
    REQUIRE(address);
    sockaddr_storage storage{};
    std::memcpy(&storage, address->data(), address->size());
    return add(base::Descriptor(), storage, address->size(), now);
  }
};

constexpr TimePoint kStart{1h};

}  // namespace

TEST_CASE("the deadline comes first to the session without progress for longest", "[dnsd][net]") {
  Sessions sessions(TcpLimits{10, 10s});
  TcpSession& first = sessions.connect("192.0.2.1", kStart);
  TcpSession& second = sessions.connect("192.0.2.1", kStart + 1s);
  sessions.progressed(first, kStart + 2s);
  CHECK(sessions.expired(kStart + 10s) == nullptr);
  CHECK(sessions.expired(kStart + 11s) == &second);
  sessions.close(second);
  CHECK(sessions.expired(kStart + 11s) == nullptr);
  CHECK(sessions.expired(kStart + 12s) == &first);
  CHECK(sessions.size() == 1);
}

TEST_CASE("the idle time shrinks in the last quarter of the room", "[dnsd][net]") {
  Sessions sessions(TcpLimits{100, 10s, 100});
  auto fill = [&](std::size_t count) {
    while (sessions.size() < count) sessions.connect("192.0.2.1", kStart);
    return sessions.idle_timeout();
  };
  CHECK(fill(75) == 10s);
  CHECK(fill(80) == 8s);
  CHECK(fill(90) == 4s);
  CHECK(fill(100) == 1s);
  // With a limit lowered below what is there, it is no shorter than that.
  sessions.set_limits(TcpLimits{50, 10s, 100});
  CHECK(sessions.idle_timeout() == 1s);
}

TEST_CASE("who never asked goes before who did, if there was time to", "[dnsd][net]") {
  Sessions sessions(TcpLimits{4, 10s});
  TcpSession& asked = sessions.connect("192.0.2.1", kStart);
  sessions.progressed(asked, kStart);
  TcpSession& silent = sessions.connect("192.0.2.2", kStart + 1s);
  CHECK(sessions.least_worth(kStart + 1500ms) == &asked);
  CHECK(sessions.least_worth(kStart + 2s) == &silent);
  CHECK(sessions.surplus(kStart + 2s) == nullptr);
}

TEST_CASE("a quarter of the room is left to newcomers, so that a stream of them does not push each out at once",
          "[dnsd][net]") {
  constexpr unsigned kRoom = 100;
  Sessions sessions(TcpLimits{kRoom, 10s, kRoom});
  while (sessions.size() < kRoom) sessions.progressed(sessions.connect("192.0.2.1", kStart), kStart);
  TcpSession& newcomer = sessions.connect("192.0.2.2", kStart + 1ms);
  std::size_t later = 0;
  for (;;) {
    TcpSession* surplus = sessions.surplus(kStart + 1ms);
    REQUIRE(surplus != nullptr);
    if (surplus == &newcomer) break;
    sessions.close(*surplus);
    sessions.bury();
    sessions.connect("192.0.2.3", kStart + 1ms);
    ++later;
  }
  CHECK(later == kRoom / 4 + 1);
}

TEST_CASE("an IPv4 address is a client, and so is an IPv6 /64", "[dnsd][net]") {
  Sessions sessions(TcpLimits{100, 10s, 2});
  TcpSession& first = sessions.connect("[2001:db8:0:1::1]:53", kStart);
  sessions.connect("[2001:db8:0:1:ffff::2]:53", kStart);
  CHECK(sessions.surplus_of_client(first) == nullptr);
  TcpSession& other = sessions.connect("[2001:db8:0:2::1]:53", kStart);
  CHECK(sessions.surplus_of_client(other) == nullptr);
  TcpSession& third = sessions.connect("[2001:db8:0:1::3]:53", kStart);
  CHECK(sessions.surplus_of_client(third) == &first);
  sessions.progressed(first, kStart + 1s);
  CHECK(sessions.surplus_of_client(third) != &first);
  sessions.connect("192.0.2.1", kStart);
  TcpSession& v4 = sessions.connect("192.0.2.2", kStart);
  sessions.connect("192.0.2.2", kStart);
  CHECK(sessions.surplus_of_client(v4) == nullptr);
  sessions.connect("192.0.2.2", kStart);
  CHECK(sessions.surplus_of_client(v4) == &v4);
}

TEST_CASE("IPv4 clients of an IPv6 socket are clients of their own", "[dnsd][net]") {
  Sessions sessions(TcpLimits{100, 10s, 2});
  TcpSession& first = sessions.connect("[::ffff:192.0.2.1]:53", kStart);
  sessions.connect("[::ffff:192.0.2.2]:53", kStart);
  sessions.connect("[::ffff:192.0.2.3]:53", kStart);
  CHECK(sessions.surplus_of_client(first) == nullptr);
  sessions.connect("192.0.2.1", kStart);
  TcpSession& third = sessions.connect("192.0.2.1", kStart);
  CHECK(sessions.surplus_of_client(third) == &first);
}

TEST_CASE("lower limits find those who are too many", "[dnsd][net]") {
  Sessions sessions(TcpLimits{1000, 10s, 100});
  for (int i = 0; i < 60; ++i) {
    for (int client = 0; client < 4; ++client) sessions.connect("192.0.2." + std::to_string(client), kStart);
  }
  sessions.set_limits(TcpLimits{150, 10s, 50});
  std::size_t closed = 0;
  sessions.for_each_surplus_of_clients([&](TcpSession& session) {
    sessions.close(session);
    ++closed;
  });
  CHECK(closed == 40);
  for (; TcpSession* session = sessions.surplus(kStart); ++closed) sessions.close(*session);
  CHECK(closed == 90);
  CHECK(sessions.size() == 150);
}

TEST_CASE("limits of nothing leave one", "[dnsd][net]") {
  Sessions sessions(TcpLimits{0, 10s, 0});
  TcpSession& session = sessions.connect("192.0.2.1", kStart);
  CHECK(sessions.surplus(kStart) == nullptr);
  CHECK(sessions.surplus_of_client(session) == nullptr);
}

TEST_CASE("a hundred thousand sessions come and go", "[dnsd][net]") {
  // Anything that looks at all of them for each of them would take hours.
  constexpr unsigned kMany = 100'000;
  Sessions sessions(TcpLimits{kMany, 10s, 1000});
  std::vector<TcpSession*> all;
  TimePoint now = kStart;
  for (unsigned i = 0; i < 3 * kMany; ++i) {
    now += 10us;
    TcpSession& session = sessions.connect("10." + std::to_string(i % 7) + "." + std::to_string(i % 251) + ".1", now);
    if (i % 2 == 0) sessions.progressed(session, now);
    while (TcpSession* surplus = sessions.surplus_of_client(session)) sessions.close(*surplus);
    while (TcpSession* surplus = sessions.surplus(now)) sessions.close(*surplus);
    while (TcpSession* expired = sessions.expired(now)) sessions.close(*expired);
    sessions.bury();
  }
  CHECK(sessions.size() <= kMany);
  CHECK(sessions.size() > kMany / 2);
  std::size_t seen = 0;
  sessions.for_each([&](TcpSession& session) {
    ++seen;
    sessions.close(session);
  });
  CHECK(seen > kMany / 2);
  CHECK(sessions.size() == 0);
  CHECK(sizeof(TcpSession) <= 320);
}
