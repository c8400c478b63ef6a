// The daemon as the command sees it: its control socket (dnsd/api/API.md).
// Thread: Daemon, any; changes of several threads share the connections, so that the daemon commits them together.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acme/control/registrations.hpp"
#include "base/name.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme {

struct ServedZone {
  base::Name name;
  std::uint32_t serial = 0;
  std::uint64_t names = 0;
  std::uint64_t values = 0;
};

struct DaemonStatus {
  std::string version;
  std::vector<ServedZone> zones;
  std::vector<base::SocketAddress> listen;
  std::string document;  // the whole answer, for --json
};

struct ServedValue {
  base::Name name;
  std::string value;
  std::string owner;
  std::string expires;  // RFC 3339; "" = never
};

struct TxtValue {
  base::Name name;
  std::string value;
};

// One challenge query that the daemon answered.
struct SeenQuery {
  std::string time, client, transport, rcode;
  base::Name name;
  std::string type;
  unsigned values = 0;
};

// Errors of all calls: Unavailable ("cannot reach countersignd at SOCKET: ...; is it running?"), Denied (socket's
// mode), Protocol (an answer that is not the daemon's), and what the daemon said: Invalid, NotFound, Full, Unavailable.
class Daemon {
 public:
  explicit Daemon(std::filesystem::path socket);
  ~Daemon();
  Daemon(Daemon&&) noexcept;
  Daemon& operator=(Daemon&&) noexcept;

  [[nodiscard]] base::Result<DaemonStatus> status();
  [[nodiscard]] base::Result<std::vector<ServedValue>> list(const std::optional<base::Name>& name);
  // Adds all at once (the daemon commits them as a group); durable and visible when it returns. `lifetime` absent: the
  // daemon's own; 0: for ever. On an error some may have been added: remove() all of them.
  [[nodiscard]] base::Result<void> add(const std::vector<TxtValue>& values,
                                       std::optional<std::chrono::milliseconds> lifetime);
  // Removing what is not there is no error.
  [[nodiscard]] base::Result<void> remove(const std::vector<TxtValue>& values);
  [[nodiscard]] base::Result<void> remove_all(const base::Name& name);

  // Error also: Exists (the name is another registration's), Full (api.max_registrations).
  [[nodiscard]] base::Result<IssuedRegistration> make_registration(const RegistrationWishes& wishes);
  // All, in the order of usernames.
  [[nodiscard]] base::Result<std::vector<ListedRegistration>> registrations();
  [[nodiscard]] base::Result<ListedRegistration> registration(const std::string& username);
  // With a new password; the old one is worth nothing from then on.
  [[nodiscard]] base::Result<IssuedRegistration> rotate_registration(const std::string& username);
  // With its values.
  [[nodiscard]] base::Result<void> remove_registration(const std::string& username);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// `GET /v1/queries`: the challenge queries from now on. Connects in the constructor's stead in open().
// Thread: one; stop() by any.
class QueryStream {
 public:
  [[nodiscard]] static base::Result<QueryStream> open(const std::filesystem::path& socket);
  ~QueryStream();
  QueryStream(QueryStream&&) noexcept;
  QueryStream& operator=(QueryStream&&) noexcept;

  // What came since the last call; waits up to `timeout` for the first. Empty when nothing came or the daemon went
  // away.
  [[nodiscard]] std::vector<SeenQuery> wait(std::chrono::milliseconds timeout);
  // Waits until the daemon says that the stream has begun: no later query is missed then. Error: Timeout, Unavailable
  // (it went away), Protocol (it knows no such stream), Interrupted.
  [[nodiscard]] base::Result<void> await_begin(std::chrono::milliseconds timeout);
  // True when nothing more will come.
  [[nodiscard]] bool ended() const;
  // Ends a wait() that is under way, and every later one.
  void stop();

 private:
  QueryStream();
  void receive(std::vector<SeenQuery>& queries, std::chrono::milliseconds timeout);
  [[nodiscard]] bool is_stopped() const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::acme
