// What the public API and dynamic updates count, as /v1/status and /metrics name it.
#pragma once

#include <array>
#include <string_view>

#include "dnsd/api/api_server.hpp"
#include "dnsd/update/update_service.hpp"

namespace countersign::dnsd {

// `name` in the status document; a metric is countersign_api_NAME_total or countersign_NAME_total.
struct ApiCounterRow {
  std::string_view name;
  std::uint64_t ApiCounters::* counter;
  std::string_view help;
};

inline constexpr std::array<ApiCounterRow, 7> kApiCounterTable{{
    {"accepted", &ApiCounters::accepted, "connections to the public API"},
    {"requests", &ApiCounters::requests, "requests to the public API"},
    {"closed_idle", &ApiCounters::closed_idle, "connections closed at a deadline"},
    {"closed_for_room", &ApiCounters::closed_for_room, "connections closed for new ones (api.max_connections)"},
    {"closed_for_address", &ApiCounters::closed_for_address,
     "connections closed for new ones of their address (api.max_per_address)"},
    {"tls_failures", &ApiCounters::tls_failures, "connections that ended before their TLS handshake did"},
    {"accept_errors", &ApiCounters::accept_errors, "connections that could not be accepted"},
}};

struct UpdateCounterRow {
  std::string_view name;
  std::uint64_t UpdateCounters::* counter;
  std::string_view help;
};

inline constexpr std::array<UpdateCounterRow, 6> kUpdateCounterTable{{
    {"updates", &UpdateCounters::updates, "dynamic updates received (RFC 2136)"},
    {"updates_applied", &UpdateCounters::applied, "dynamic updates answered NOERROR"},
    {"updates_refused", &UpdateCounters::refused, "dynamic updates answered otherwise"},
    {"updates_replayed", &UpdateCounters::replayed, "dynamic updates that had been applied before, answered only"},
    {"signed_queries", &UpdateCounters::signed_queries, "queries signed with a known key"},
    {"tsig_errors", &UpdateCounters::tsig_errors, "messages whose TSIG was refused"},
}};

}  // namespace countersign::dnsd
