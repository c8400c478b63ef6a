// What TCP clients and the network did to the server, besides the queries themselves.
// Thread: written by the control thread, read by any.
#pragma once

#include "base/counters.hpp"

namespace countersign::dnsd {

struct TcpCounters {
  base::Counter accepted;
  base::Counter closed_idle;         // at their deadline: silent, too slow to ask, or not taking their answers
  base::Counter closed_for_room;     // too many connections, or no more descriptors
  base::Counter closed_for_address;  // too many of one client
  base::Counter closed_for_memory;   // too much kept of half-sent messages and answers not taken
  base::Counter refused_short;       // ended because of a message shorter than a header
  base::Counter accept_errors;       // accept failed
};

}  // namespace countersign::dnsd
