// The counters of all answering threads under their names, summed: for status and metrics.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dnsd/answer/counters.hpp"
#include "dnsd/net/tcp_counters.hpp"
#include "dnsd/net/udp_batch.hpp"

namespace countersign::dnsd {

struct UdpCounterRow {
  std::string_view name;
  std::string_view help;
  base::Counter UdpCounters::* counter;
};

inline constexpr auto kUdpCounterTable = std::to_array<UdpCounterRow>({
    {"udp_cut", "UDP queries longer than any that is accepted", &UdpCounters::cut},
    {"udp_receive_errors", "errors while receiving", &UdpCounters::receive_errors},
    {"udp_send_errors", "UDP responses that could not be sent", &UdpCounters::send_errors},
});

struct TcpCounterRow {
  std::string_view name;
  std::string_view help;
  base::Counter TcpCounters::* counter;
};

inline constexpr auto kTcpCounterTable = std::to_array<TcpCounterRow>({
    {"tcp_accepted", "TCP connections accepted", &TcpCounters::accepted},
    {"tcp_closed_idle", "TCP connections closed at their deadline", &TcpCounters::closed_idle},
    {"tcp_closed_for_room", "TCP connections closed because there were too many", &TcpCounters::closed_for_room},
    {"tcp_closed_for_address", "TCP connections closed because their client had too many",
     &TcpCounters::closed_for_address},
    {"tcp_closed_for_memory", "TCP connections closed because half-sent messages took too much memory",
     &TcpCounters::closed_for_memory},
    {"tcp_refused_short", "TCP connections ended by a message shorter than a header", &TcpCounters::refused_short},
    {"tcp_accept_errors", "errors while accepting TCP connections", &TcpCounters::accept_errors},
});

// Where the counters are. Thread: filled before the threads start; read by the control thread.
struct CounterSources {
  std::vector<const Counters*> queries;
  std::vector<const UdpCounters*> udp;
  std::vector<const TcpCounters*> tcp;

  [[nodiscard]] std::uint64_t sum(base::Counter Counters::* counter) const {
    std::uint64_t total = 0;
    for (const Counters* source : queries) total += (source->*counter).read();
    return total;
  }
  [[nodiscard]] std::uint64_t sum(base::Counter UdpCounters::* counter) const {
    std::uint64_t total = 0;
    for (const UdpCounters* source : udp) total += (source->*counter).read();
    return total;
  }
  [[nodiscard]] std::uint64_t sum(base::Counter TcpCounters::* counter) const {
    std::uint64_t total = 0;
    for (const TcpCounters* source : tcp) total += (source->*counter).read();
    return total;
  }
};

}  // namespace countersign::dnsd
