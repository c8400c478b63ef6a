// The update service over a live zone, without sockets, for tests.
#pragma once

#include <boost/asio/io_context.hpp>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "dnsd/update/update_service.hpp"
#include "tests/unit/dnsd/live_zone.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"

namespace countersign::tests {

inline constexpr std::uint64_t kUpdateTime = 1'795'000'000;  // where the fake clock stands

[[nodiscard]] inline std::shared_ptr<dnsd::UpdatePolicy> make_policy() {
  auto policy = std::make_shared<dnsd::UpdatePolicy>();
  dnsd::TsigKey key;
  key.name = *base::Name::parse("key.test");
  key.secret = TsigClient().secret;
  key.allow = {{*base::Name::parse("auth.test"), true}};
  dnsd::TsigKey narrow = key;
  narrow.name = *base::Name::parse("narrow.test");
  narrow.allow = {{*base::Name::parse("only.auth.test"), false}};
  policy->keys = {key, narrow};
  policy->zones = {*base::Name::parse("auth.test")};
  return policy;
}

// The service over a live zone, without sockets; the loop runs while somebody waits for an answer.
struct Service {
  // Before the zone, as in the daemon: the store thread's last completions still hold work of this loop.
  dnsd::asio::io_context context{1};
  LiveZone zone;
  base::SocketAddress client = *base::SocketAddress::parse("192.0.2.7:4711");
  TsigClient key;
  std::unique_ptr<dnsd::UpdateService> service = std::make_unique<dnsd::UpdateService>(
      context.get_executor(), zone.publisher(), zone.responder(), zone.second_reader(), zone.clock());

  // `folder`: of a service that is gone.
  explicit Service(std::shared_ptr<const TemporaryFolder> folder = std::make_shared<TemporaryFolder>())
      : zone(std::move(folder)) {
    service->use(make_policy());
    zone.use({.defers_signed = true});
  }

  // Absent: not answered yet. Empty: nothing to send.
  using Pending = std::shared_ptr<std::optional<std::string>>;
  Pending start(const Packet& packet, dnsd::Transport transport = dnsd::Transport::Udp) {
    auto pending = std::make_shared<std::optional<std::string>>();
    service->serve(base::as_bytes(packet), client, transport, [pending](std::string answer) {
      if (pending->has_value()) throw std::logic_error("answered twice");
      *pending = std::move(answer);
    });
    return pending;
  }
  void run() {
    context.restart();
    context.run();
  }
  std::string serve(const Packet& packet, dnsd::Transport transport = dnsd::Transport::Udp) {
    Pending pending = start(packet, transport);
    run();
    REQUIRE(pending->has_value());
    return **pending;
  }
  // Signs it, and checks the answer's signature.
  unsigned ask(const Packet& message, dnsd::Transport transport = dnsd::Transport::Udp) {
    TsigClient::Signed request = key.sign(message, kUpdateTime);
    std::string answer = serve(request.wire, transport);
    REQUIRE(answer.size() > 12);
    CHECK(answer.substr(0, 2) == message.substr(0, 2));
    CHECK(key.verifies(answer, request.mac));
    return rcode_of(answer);
  }
  std::set<std::string> values(std::string_view name) {
    std::promise<LiveZone::Values> promise;
    zone.publisher().list(*base::Name::parse(name), [&](LiveZone::Values values) { promise.set_value(values); });
    std::set<std::string> all;
    LiveZone::Values values = promise.get_future().get();
    REQUIRE(values);
    for (const zones::PublishedValue& value : *values) all.insert(value.owner + " " + value.value);
    return all;
  }
};

// The store's thread does nothing while this lives.
class HangingStore {
 public:
  explicit HangingStore(LiveZone& zone) {
    zones::TxtChange change;
    change.name = *base::Name::parse("hang.auth.test");
    change.value = *zones::TxtValue::parse("v");
    change.owner = "control";
    std::promise<void> hangs;
    auto released = std::make_shared<std::shared_future<void>>(release_.get_future().share());
    zone.publisher().submit(std::move(change), [&hangs, released](const LiveZone::Values&) {
      auto waiting = *released;
      hangs.set_value();
      waiting.wait();
    });
    hangs.get_future().wait();
  }
  ~HangingStore() { end(); }
  void end() {
    if (!ended_) release_.set_value();
    ended_ = true;
  }

 private:
  std::promise<void> release_;
  bool ended_ = false;
};

[[nodiscard]] inline Packet record(std::string_view name, std::uint16_t type, std::uint16_t klass,
                                   const Packet& rdata = {}) {
  RawRecord raw;
  raw.owner = wire_name(name);
  raw.type = type;
  raw.klass = klass;
  raw.rdata = rdata;
  return raw.wire();
}

}  // namespace countersign::tests
