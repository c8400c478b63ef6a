// What workers defer to the control thread: dynamic updates (RFC 2136) and queries signed with TSIG (RFC 8945). From
// message to answer, over UDP and TCP.
// Thread: the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/socket_address.hpp"
#include "dnsd/answer/query.hpp"
#include "dnsd/answer/responder.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/deferred_inbox.hpp"
#include "dnsd/net/tcp_server.hpp"
#include "dnsd/update/replay_window.hpp"
#include "dnsd/update/tsig.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

struct UpdateCounters {
  std::uint64_t updates = 0;  // messages with opcode UPDATE
  std::uint64_t applied = 0;  // NOERROR
  std::uint64_t refused = 0;  // any other RCODE
  std::uint64_t signed_queries = 0;
  std::uint64_t tsig_errors = 0;  // BADKEY, BADSIG, BADTIME, BADTRUNC
  std::uint64_t replayed = 0;     // answered from memory, not applied again
};

// What the configuration says; replaced by a reload.
struct UpdatePolicy {
  std::vector<TsigKey> keys;
  std::vector<base::Name> zones;
};

class UpdateService {
 public:
  // All are kept by reference; `reader` is for this service alone (it answers signed queries with it).
  UpdateService(asio::any_io_executor executor, zones::Publisher& publisher, const Responder& responder,
                zones::Epochs::Reader& reader, const base::Clock& clock);
  ~UpdateService();
  UpdateService(const UpdateService&) = delete;
  UpdateService& operator=(const UpdateService&) = delete;

  void use(std::shared_ptr<const UpdatePolicy> policy);

  // Called once, now or later; empty: nothing is to be sent.
  using Send = std::function<void(std::string answer)>;
  void serve(base::Bytes message, const base::SocketAddress& client, Transport transport, Send send);

  // Messages that wait for the store.
  [[nodiscard]] std::size_t pending() const;
  [[nodiscard]] const UpdateCounters& counters() const;
  // Answers to what was deferred, and what signed queries asked for. Their arrival was counted by whoever deferred
  // them.
  [[nodiscard]] const Counters& query_counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Serves what the server defers, and returns what serves the datagrams of an inbox. `service` outlives both.
[[nodiscard]] DeferredInbox::Handler connect_service(UpdateService& service, TcpServer& server);

}  // namespace countersign::dnsd
