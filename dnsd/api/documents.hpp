// The JSON documents of the control socket (API.md), as text.
#pragma once

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "dnsd/net/query_counters.hpp"
#include "dnsd/net/seen_ring.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

class ApiServer;
class DeferredInbox;
class SeenStream;
class TcpServer;
class UpdateService;

struct ReloadFacts {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  bool last_failed = false;
  base::WallTime configured_at{};  // when the configuration in use was read
};

// What `GET /v1/status` and `GET /metrics` tell besides the store.
struct DaemonFacts {
  std::vector<base::SocketAddress> listen;
  base::ElapsedTime started{0};
  base::WallTime started_at{};
  CounterSources counters;
  const TcpServer* tcp = nullptr;
  const SeenStream* seen = nullptr;
  std::vector<base::SocketAddress> api_listen;
  const ApiServer* api = nullptr;
  const UpdateService* updates = nullptr;
  const DeferredInbox* deferred = nullptr;
  ReloadFacts reloads;
};

// `problem`: why there is no newer snapshot than `store`; "" = it is of now.
[[nodiscard]] std::string status_document(const DaemonFacts& facts, base::ElapsedTime now,
                                          const zones::StoreSnapshot& store, const std::string& problem);
[[nodiscard]] std::string values_document(const std::vector<zones::PublishedValue>& values);
// {"error":{"code":"not_found","message":"..."}}
[[nodiscard]] std::string error_document(std::string_view code, std::string_view message);
// One line of the stream of queries, with its newline.
[[nodiscard]] std::string query_line(const SeenEvent& event, base::WallTime time);

// {"value","lifetime"} of a PUT.
struct TxtRequest {
  zones::TxtValue value;
  std::optional<std::chrono::milliseconds> lifetime;  // absent: the configured one; 0: for ever
};
// Error: Invalid.
[[nodiscard]] base::Result<TxtRequest> parse_txt_request(std::string_view body);

}  // namespace countersign::dnsd
