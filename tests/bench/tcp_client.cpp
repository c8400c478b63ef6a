#include "tests/bench/tcp_client.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace countersign::bench {
namespace {

constexpr std::size_t kPrefix = 2;
constexpr std::size_t kEvents = 64;

}  // namespace

// Those that were closed in the meantime are opened again.
bool TcpClients::open(const base::SocketAddress& server, Connections& connections) const {
  connections.resize(count_);
  for (Connection& connection : connections) {
    char octet = 0;
    if (connection.socket && recv(connection.socket.get(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
      continue;
    connection = {base::Descriptor(::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)), {}, {}};
    int on = 1;
    setsockopt(connection.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!connection.socket || connect(connection.socket.get(), server.data(), server.size()) != 0) {
      std::fprintf(stderr, "cannot connect to %s: %s\n", server.text().c_str(), std::strerror(errno));
      return false;
    }
  }
  return true;
}

void TcpClients::flush(Connection& connection) {
  if (connection.output.empty()) return;
  ssize_t sent =
      send(connection.socket.get(), connection.output.data(), connection.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  // When the connection is broken, what was to be sent is given up later, as lost.
  if (sent > 0) connection.output.erase(connection.output.begin(), connection.output.begin() + sent);
}

void TcpClients::ask(Connection& connection, std::size_t count, QueryWindow& window) {
  QueryWindow::Clock::time_point now = QueryWindow::Clock::now();
  for (; count > 0 && window.free() > 0; --count) {
    base::Bytes query = window.send(now);
    std::array<std::byte, kPrefix> prefix{};
    base::store_u16(prefix.data(), static_cast<std::uint16_t>(query.size()));
    connection.output.insert(connection.output.end(), prefix.begin(), prefix.end());
    connection.output.insert(connection.output.end(), query.begin(), query.end());
  }
  flush(connection);
}

// How many queries were answered.
std::size_t TcpClients::read(Connection& connection, QueryWindow& window) {
  std::size_t held = connection.input.size();
  std::copy(connection.input.begin(), connection.input.end(), input_.begin());
  ssize_t got = recv(connection.socket.get(), input_.data() + held, input_.size() - held, MSG_DONTWAIT);
  if (got == 0) connection.socket.close();
  if (got <= 0) return 0;
  base::Bytes waiting = base::Bytes(input_).first(held + static_cast<std::size_t>(got));
  std::size_t answered = 0;
  while (waiting.size() >= kPrefix && waiting.size() - kPrefix >= base::load_u16(waiting.data())) {
    std::size_t length = base::load_u16(waiting.data());
    if (window.receive(waiting.subspan(kPrefix, length))) ++answered;
    waiting = waiting.subspan(kPrefix + length);
  }
  connection.input.assign(waiting.begin(), waiting.end());
  return answered;
}

void TcpClients::run(const base::SocketAddress& server, std::chrono::milliseconds duration, QueryWindow& window) {
  Connections& connections = servers_[server.text()];
  if (!open(server, connections)) return;
  base::Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  for (std::size_t i = 0; i < connections.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connections[i].socket.get(), &event);
  }
  QueryWindow::Clock::time_point start = QueryWindow::Clock::now();
  std::size_t share = (window.size() + connections.size() - 1) / connections.size();
  for (Connection& connection : connections) ask(connection, share, window);
  std::size_t next = 0;
  while (window.tally.elapsed < duration || window.free() < window.size()) {
    std::array<epoll_event, kEvents> events{};
    int ready = epoll_wait(epoll.get(), events.data(), kEvents, 10);
    bool sending = window.tally.elapsed < duration;
    for (std::size_t i = 0; ready > 0 && i < static_cast<std::size_t>(ready); ++i) {
      Connection& connection = connections[events[i].data.u64];
      std::size_t answered = read(connection, window);
      if (sending) ask(connection, answered, window);
    }
    if (ready == 0) {
      for (Connection& connection : connections) flush(connection);
      for (std::size_t late = window.give_up_late(); sending && late > 0; --late)
        ask(connections[next++ % connections.size()], 1, window);
    }
    window.tally.elapsed = QueryWindow::Clock::now() - start;
  }
}

}  // namespace countersign::bench
