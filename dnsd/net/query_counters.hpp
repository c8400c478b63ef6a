// The counters of all answering threads under their names, summed: for status and metrics.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dnsd/answer/responder.hpp"
#include "dnsd/net/udp_batch.hpp"

namespace countersign::dnsd {

struct CounterRow {
  std::string_view name;
  std::string_view help;
  base::Counter Counters::* counter;
};

inline constexpr auto kCounterTable = std::to_array<CounterRow>({
    {"udp", "messages received over UDP", &Counters::queries_udp},
    {"tcp", "messages received over TCP", &Counters::queries_tcp},
    {"responses", "responses made", &Counters::responses},
    {"noerror", "responses with RCODE NOERROR", &Counters::noerror},
    {"nodata", "of these, without the data asked for", &Counters::nodata},
    {"referral", "of these, to a delegated zone's servers", &Counters::referral},
    {"nxdomain", "responses with RCODE NXDOMAIN", &Counters::nxdomain},
    {"refused", "responses with RCODE REFUSED", &Counters::refused},
    {"formerr", "responses with RCODE FORMERR", &Counters::formerr},
    {"notimp", "responses with RCODE NOTIMP", &Counters::notimp},
    {"badvers", "responses with RCODE BADVERS", &Counters::badvers},
    {"truncated", "responses with TC set", &Counters::truncated},
    {"edns", "queries with EDNS", &Counters::edns},
    {"dropped_short", "messages shorter than a header", &Counters::dropped_short},
    {"dropped_response", "messages that were responses themselves", &Counters::dropped_response},
});

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

// Where the counters are. Thread: filled before the threads start; read by the control thread.
struct CounterSources {
  std::vector<const Counters*> queries;
  std::vector<const UdpCounters*> udp;

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
};

}  // namespace countersign::dnsd
