// A closed-loop DNS client for the benchmark: a window of queries for n<i>.ZONE is always outstanding, and every answer
// is checked against what the name must own. Reads one line a slice, "ADDRESS:PORT MILLISECONDS CHECK", CHECK being
// "full" or "id" (for a reflector), and prints "ANSWERED LOST WRONG NANOSECONDS". With --tcp the window is spread over
// so many connections, which stay open from slice to slice.
#include <poll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "base/descriptor.hpp"
#include "base/socket_address.hpp"
#include "tests/bench/query_window.hpp"
#include "tests/bench/tcp_client.hpp"

namespace {

namespace base = countersign::base;
using countersign::bench::Check;
using countersign::bench::QuerySettings;
using countersign::bench::QueryWindow;
using countersign::bench::TcpClients;
using Clock = QueryWindow::Clock;

constexpr std::size_t kBatch = 32;
constexpr std::size_t kPacketSize = 1500;

void send_free(int fd, QueryWindow& window) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> buffers{};
  while (window.free() > 0) {
    std::size_t count = std::min(window.free(), kBatch);
    Clock::time_point now = Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      base::MutableBytes query = window.send(now);
      buffers[i] = {query.data(), query.size()};
      messages[i].msg_hdr.msg_iov = &buffers[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    int sent = sendmmsg(fd, messages.data(), static_cast<unsigned>(count), 0);
    // What was not taken stays busy and is given up later, as a lost one.
    static_cast<void>(sent);
  }
}

// False when nothing was there.
bool receive(int fd, QueryWindow& window, std::vector<std::byte>& packets) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> buffers{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    buffers[i] = {packets.data() + i * kPacketSize, kPacketSize};
    messages[i].msg_hdr.msg_iov = &buffers[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int got = recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  for (std::size_t i = 0; got > 0 && i < static_cast<std::size_t>(got); ++i)
    window.receive(base::Bytes(packets.data() + i * kPacketSize, messages[i].msg_len));
  return got > 0;
}

void run_udp(const base::SocketAddress& server, std::chrono::milliseconds duration, QueryWindow& window) {
  base::Descriptor socket(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int buffer = 4 << 20;
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (!socket || connect(socket.get(), server.data(), server.size()) != 0) {
    std::fprintf(stderr, "cannot connect to %s: %s\n", server.text().c_str(), std::strerror(errno));
    return;
  }
  std::vector<std::byte> packets(kBatch * kPacketSize);
  Clock::time_point start = Clock::now();
  pollfd waiting{socket.get(), POLLIN, 0};
  bool sending = true;
  while (sending || window.free() < window.size()) {
    if (sending) send_free(socket.get(), window);
    if (!receive(socket.get(), window, packets)) {
      if (poll(&waiting, 1, 10) == 0) window.give_up_late();
    }
    window.tally.elapsed = Clock::now() - start;
    sending = window.tally.elapsed < duration;
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  QuerySettings settings;
  std::size_t connections = 0;
  CLI::App app("closed-loop DNS query generator");
  app.add_option("--names", settings.names)->check(CLI::PositiveNumber);
  app.add_option("--zone", settings.zone);
  app.add_option("--window", settings.window)->check(CLI::Range(std::size_t{1}, QueryWindow::kMaxWindow));
  app.add_option("--absent-percent", settings.absent_percent)->check(CLI::Range(0, 100));
  app.add_flag("--random-case", settings.random_case);
  app.add_option("--tcp", connections)->check(CLI::Range(std::size_t{1}, QueryWindow::kMaxWindow));
  CLI11_PARSE(app, argc, argv);
  auto zone = base::Name::parse(settings.zone);
  if (!zone) {
    std::fprintf(stderr, "%s\n", zone.error().message.c_str());
    return 2;
  }
  QueryWindow window(settings, *zone);
  TcpClients clients(connections);
  std::string server, check;
  long long milliseconds = 0;
  while (std::cin >> server >> milliseconds >> check) {
    auto address = base::SocketAddress::parse(server);
    if (!address || (check != "full" && check != "id")) {
      std::fprintf(stderr, "bad line: %s %lld %s\n", server.c_str(), milliseconds, check.c_str());
      return 2;
    }
    window.start(check == "id" ? Check::Id : Check::Full);
    std::chrono::milliseconds duration(milliseconds);
    if (connections > 0)
      clients.run(*address, duration, window);
    else
      run_udp(*address, duration, window);
    std::printf("%llu %llu %llu %lld\n", static_cast<unsigned long long>(window.tally.answered),
                static_cast<unsigned long long>(window.tally.lost), static_cast<unsigned long long>(window.tally.wrong),
                static_cast<long long>(window.tally.elapsed.count()));
    std::fflush(stdout);
  }
  return 0;
}
