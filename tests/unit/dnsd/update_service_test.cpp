#include "dnsd/update/update_service.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <set>
#include <thread>

#include "tests/unit/dnsd/live_zone.hpp"
#include "tests/unit/dnsd/tsig_client.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::id_of;
using tests::Packet;
using tests::query_with_id;
using tests::QueryBuilder;
using tests::RawRecord;
using tests::rcode_of;
using tests::TsigClient;
using tests::update_message;

namespace {

constexpr std::uint64_t kTime = 1'795'000'000;  // where the fake clock stands

std::shared_ptr<UpdatePolicy> make_policy() {
  auto policy = std::make_shared<UpdatePolicy>();
  TsigKey key;
  key.name = *base::Name::parse("key.test");
  key.secret = TsigClient().secret;
  key.allow = {{*base::Name::parse("auth.test"), true}};
  TsigKey narrow = key;
  narrow.name = *base::Name::parse("narrow.test");
  narrow.allow = {{*base::Name::parse("only.auth.test"), false}};
  policy->keys = {key, narrow};
  policy->zones = {*base::Name::parse("auth.test")};
  return policy;
}

// The service over a live zone, without sockets; the loop runs while somebody waits for an answer.
struct Service {
  // Before the zone, as in the daemon: the store thread's last completions still hold work of this loop.
  asio::io_context context{1};
  tests::LiveZone zone;
  base::SocketAddress client = *base::SocketAddress::parse("192.0.2.7:4711");
  TsigClient key;
  std::unique_ptr<UpdateService> service = std::make_unique<UpdateService>(
      context.get_executor(), zone.publisher(), zone.responder(), zone.second_reader(), zone.clock());

  Service() {
    service->use(make_policy());
    zone.use({.defers_signed = true});
  }

  // Absent: not answered yet. Empty: nothing to send.
  using Pending = std::shared_ptr<std::optional<std::string>>;
  Pending start(const Packet& packet, Transport transport = Transport::Udp) {
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
  std::string serve(const Packet& packet, Transport transport = Transport::Udp) {
    Pending pending = start(packet, transport);
    run();
    REQUIRE(pending->has_value());
    return **pending;
  }
  // Signs it, and checks the answer's signature.
  unsigned ask(const Packet& message, Transport transport = Transport::Udp) {
    TsigClient::Signed request = key.sign(message, kTime);
    std::string answer = serve(request.wire, transport);
    REQUIRE(answer.size() > 12);
    CHECK(answer.substr(0, 2) == message.substr(0, 2));
    CHECK(key.verifies(answer, request.mac));
    return rcode_of(answer);
  }
  std::set<std::string> values(std::string_view name) {
    std::promise<tests::LiveZone::Values> promise;
    zone.publisher().list(*base::Name::parse(name), [&](tests::LiveZone::Values values) { promise.set_value(values); });
    std::set<std::string> all;
    tests::LiveZone::Values values = promise.get_future().get();
    REQUIRE(values);
    for (const zones::PublishedValue& value : *values) all.insert(value.owner + " " + value.value);
    return all;
  }
};

// The store's thread does nothing while this lives.
class HangingStore {
 public:
  explicit HangingStore(tests::LiveZone& zone) {
    zones::TxtChange change;
    change.name = *base::Name::parse("hang.auth.test");
    change.value = *zones::TxtValue::parse("v");
    change.owner = "control";
    std::promise<void> hangs;
    auto released = std::make_shared<std::shared_future<void>>(release_.get_future().share());
    zone.publisher().submit(std::move(change), [&hangs, released](const tests::LiveZone::Values&) {
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

Packet record(std::string_view name, std::uint16_t type, std::uint16_t klass, const Packet& rdata = {}) {
  RawRecord raw;
  raw.owner = tests::wire_name(name);
  raw.type = type;
  raw.klass = klass;
  raw.rdata = rdata;
  return raw.wire();
}

}  // namespace

TEST_CASE("a signed update is durable and visible before its signed NOERROR", "[dnsd][update]") {
  Service service;
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    std::string value = transport == Transport::Udp ? "one" : "two";
    TsigClient::Signed request = service.key.sign(update_message(7, "A.Auth.Test", value), kTime);
    auto pending = service.start(request.wire, transport);
    CHECK_FALSE(pending->has_value());
    CHECK(service.service->pending() == 1);
    service.run();
    REQUIRE(pending->has_value());
    CHECK(service.values("a.auth.test").contains("key:key.test " + value));
    auto answer = tests::decode(**pending);
    if (!answer) FAIL(answer.error().message);
    CHECK(answer->id == 7);
    CHECK(answer->opcode == 5);
    CHECK(answer->flags() == "qr");
    CHECK(answer->rcode == 0);
    CHECK(answer->question == tests::wire_name("auth.test") + tests::wire_u16(6) + tests::wire_u16(1));
    CHECK_FALSE(answer->tsig.empty());
    CHECK(service.key.verifies(**pending, request.mac));
  }
  CHECK(service.ask(update_message(9, "a.auth.test", "one", true)) == 0);
  CHECK(service.values("a.auth.test") == std::set<std::string>{"key:key.test two"});
  CHECK(service.service->pending() == 0);
  CHECK(service.service->counters().updates == 3);
  CHECK(service.service->counters().applied == 3);
  CHECK(service.service->query_counters().noerror.read() == 3);
  CHECK(service.service->query_counters().queries_udp.read() == 0);
}

TEST_CASE("who does not sign, or wrongly, changes nothing and hears why", "[dnsd][update]") {
  Service service;
  Packet update = update_message(7, "a.auth.test", "v");
  CHECK(rcode_of(service.serve(update)) == 5);
  // BADKEY and BADSIG are told without a signature (RFC 8945 §5.2.1, §5.2.2).
  TsigClient stranger{.name = "stranger.test"};
  std::string answer = service.serve(stranger.sign(update, kTime).wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(TsigClient::error_of(answer) == 17);
  TsigClient guesser{.secret = "a guess"};
  answer = service.serve(guesser.sign(update, kTime).wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(TsigClient::error_of(answer) == 16);
  // BADTIME is signed, and has the server's time.
  for (std::uint64_t time : {kTime - 301, kTime + 301}) {
    TsigClient::Signed late = service.key.sign(update, time);
    answer = service.serve(late.wire);
    CHECK(rcode_of(answer) == 9);
    CHECK(TsigClient::error_of(answer, 6) == 18);
    CHECK(answer.substr(answer.size() - 6) == tests::wire_u48(kTime));
    CHECK(service.key.verifies(answer, late.mac));
  }
  // A record behind the TSIG.
  Packet bad = service.key.sign(update, kTime).wire + tests::RawOpt().wire();
  bad.replace(10, 2, tests::wire_u16(2));
  CHECK(rcode_of(service.serve(bad)) == 1);
  CHECK(service.values("a.auth.test").empty());
  const UpdateCounters& counters = service.service->counters();
  CHECK(counters.updates == 6);
  CHECK(counters.refused == 6);
  CHECK(counters.applied == 0);
  CHECK(counters.tsig_errors == 4);
  CHECK(service.service->query_counters().notauth.read() == 4);
}

TEST_CASE("without a policy, or after a reload without it, no key is known", "[dnsd][update]") {
  Service service;
  Packet update = update_message(7, "a.auth.test", "v");
  CHECK(service.ask(update) == 0);
  service.service->use(std::make_shared<UpdatePolicy>());
  CHECK(rcode_of(service.serve(service.key.sign(update_message(8, "a.auth.test", "w"), kTime).wire)) == 9);
  service.service->use(make_policy());
  CHECK(service.ask(update_message(9, "a.auth.test", "w")) == 0);
}

TEST_CASE("an answer is signed with the key of its request, though a reload took it away meanwhile", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kTime);
  auto pending = service.start(request.wire);
  service.service->use(std::make_shared<UpdatePolicy>());
  service.run();
  REQUIRE(pending->has_value());
  CHECK(rcode_of(**pending) == 0);
  CHECK(service.key.verifies(**pending, request.mac));
}

TEST_CASE("each prerequisite has its own error", "[dnsd][update]") {
  Service service;
  CHECK(service.ask(update_message(1, "used.auth.test", "v")) == 0);
  struct Row {
    const char* name;
    std::uint16_t type;
    std::uint16_t klass;
    unsigned rcode;
  };
  unsigned id = 10;
  for (const Row& row :
       {Row{"free.auth.test", 255, 255, 3}, Row{"used.auth.test", 255, 254, 6}, Row{"used.auth.test", 16, 254, 7},
        Row{"free.auth.test", 16, 255, 8}, Row{"used.auth.test", 255, 255, 0}, Row{"free.auth.test", 16, 254, 0}}) {
    Packet packet = QueryBuilder("auth.test SOA opcode=5 id=" + std::to_string(++id))
                        .answer(record(row.name, row.type, row.klass))
                        .authority(record("new.auth.test", 16, 1, tests::txt_rdata("v")))
                        .build();
    CHECK(service.ask(packet) == row.rcode);
    CHECK(service.values("new.auth.test").empty() == (row.rcode != 0));
  }
}

TEST_CASE("what may not be, and what cannot be, is refused whole", "[dnsd][update]") {
  Service service;
  auto with = [](std::string_view zone, const std::vector<Packet>& records) {
    static unsigned id = 100;
    QueryBuilder builder(std::string(zone) + " opcode=5 id=" + std::to_string(++id));
    for (const Packet& one : records) builder.authority(one);
    return builder.build();
  };
  Packet fine = record("fine.auth.test", 16, 1, tests::txt_rdata("v"));
  CHECK(service.ask(with("other.test SOA", {fine})) == 9);
  CHECK(service.ask(with("auth.test TXT", {fine})) == 1);
  CHECK(service.ask(with("auth.test SOA", {fine, record("a.other.test", 16, 1, tests::txt_rdata("v"))})) == 10);
  CHECK(service.ask(with("auth.test SOA", {fine, record("auth.test", 16, 1, tests::txt_rdata("v"))})) == 5);
  CHECK(service.ask(with("auth.test SOA", {fine, record("a.auth.test", 1, 1, "\x7f\1\1\1")})) == 5);
  std::vector<Packet> many{fine};
  for (const char* value : {"1", "2", "3", "4"})
    many.push_back(record("many.auth.test", 16, 1, tests::txt_rdata(value)));
  CHECK(service.ask(with("auth.test SOA", many)) == 5);  // challenge.max_values is 3
  service.key.name = "narrow.test";
  CHECK(service.ask(with("auth.test SOA", {fine})) == 5);
  CHECK(service.values("fine.auth.test").empty());
  CHECK(service.values("many.auth.test").empty());
  CHECK(service.ask(with("auth.test SOA", {record("only.auth.test", 16, 1, tests::txt_rdata("v"))})) == 0);
  CHECK(service.values("only.auth.test") == std::set<std::string>{"key:narrow.test v"});
}

TEST_CASE("a replayed datagram is answered, and does not bring back what was removed", "[dnsd][update]") {
  Service service;
  TsigClient::Signed add = service.key.sign(update_message(7, "a.auth.test", "v"), kTime);
  CHECK(rcode_of(service.serve(add.wire)) == 0);
  CHECK(service.ask(update_message(8, "a.auth.test", "v", true)) == 0);
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    std::string again = service.serve(add.wire, transport);
    CHECK(rcode_of(again) == 0);
    CHECK(service.key.verifies(again, add.mac));
    CHECK(service.values("a.auth.test").empty());
  }
  // Its ID is not signed: another one makes no other message of it.
  Packet renamed = add.wire;
  renamed.replace(0, 2, tests::wire_u16(999));
  std::string again = service.serve(renamed);
  CHECK(id_of(again) == 999);
  CHECK(service.values("a.auth.test").empty());
  CHECK(service.service->counters().replayed == 3);
  CHECK(service.service->counters().applied == 2);
  // At another time the client means it.
  CHECK(rcode_of(service.serve(service.key.sign(update_message(7, "a.auth.test", "v"), kTime + 1).wire)) == 0);
  CHECK(service.values("a.auth.test").size() == 1);
}

TEST_CASE("an update that was signed before the start may be a replayed one, and is not applied", "[dnsd][update]") {
  Service service;
  std::string answer = service.serve(service.key.sign(update_message(7, "a.auth.test", "v"), kTime - 1).wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(service.values("a.auth.test").empty());
  CHECK(rcode_of(service.serve(service.key.sign(update_message(8, "a.auth.test", "v"), kTime).wire)) == 0);
}

TEST_CASE("an update that is sent again while it waits is applied and answered once", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kTime);
  HangingStore hanging(service.zone);
  auto first = service.start(request.wire);
  auto second = service.start(request.wire);
  REQUIRE(second->has_value());
  CHECK((*second)->empty());
  CHECK_FALSE(first->has_value());
  hanging.end();
  service.run();
  REQUIRE(first->has_value());
  CHECK(rcode_of(**first) == 0);
  CHECK(service.service->counters().applied == 1);
}

TEST_CASE("a store that hangs is given up after ten seconds, and what it does later is remembered", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kTime);
  {
    HangingStore hanging(service.zone);
    auto pending = service.start(request.wire);
    service.zone.clock().advance(9'999ms);
    service.context.restart();
    service.context.run_for(600ms);
    CHECK_FALSE(pending->has_value());
    service.zone.clock().advance(1ms);
    service.context.run_for(600ms);
    REQUIRE(pending->has_value());
    CHECK(rcode_of(**pending) == 2);
    CHECK(service.key.verifies(**pending, request.mac));
    CHECK(service.service->pending() == 0);
    CHECK(service.service->counters().refused == 1);
    // Who asks again is not told to wait for an answer that does not come.
    auto again = service.start(request.wire);
    CHECK_FALSE(again->has_value());
    hanging.end();
    service.run();
    REQUIRE(again->has_value());
    CHECK(rcode_of(**again) == 0);
  }
  CHECK(service.values("a.auth.test").size() == 1);
  // The first one was applied, late; it must not be applied once more.
  Packet removal = update_message(8, "a.auth.test", "v", true);
  CHECK(rcode_of(service.serve(service.key.sign(removal, kTime + 1).wire)) == 0);
  CHECK(rcode_of(service.serve(request.wire)) == 0);
  CHECK(service.values("a.auth.test").empty());
}

TEST_CASE("what is applied after it was given up does not come back when it is replayed", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kTime);
  {
    HangingStore hanging(service.zone);
    auto pending = service.start(request.wire);
    service.zone.clock().advance(10s);
    service.context.restart();
    service.context.run_for(600ms);
    REQUIRE(pending->has_value());
  }
  service.run();
  CHECK(service.values("a.auth.test").size() == 1);
  Packet removal = update_message(8, "a.auth.test", "v", true);
  CHECK(rcode_of(service.serve(service.key.sign(removal, kTime + 1).wire)) == 0);
  CHECK(rcode_of(service.serve(request.wire)) == 0);
  CHECK(service.values("a.auth.test").empty());
  CHECK(service.service->counters().replayed == 1);
}

TEST_CASE("no more than 4,096 updates wait for the store", "[dnsd][update]") {
  Service service;
  std::vector<Service::Pending> waiting;
  {
    HangingStore hanging(service.zone);
    auto request = [&](unsigned i) {
      return service.key.sign(update_message(i, "n" + std::to_string(i) + ".auth.test", "v"), kTime).wire;
    };
    for (unsigned i = 0; i < 4096; ++i) waiting.push_back(service.start(request(i)));
    CHECK(service.service->pending() == 4096);
    auto refused = service.start(request(4096));
    REQUIRE(refused->has_value());
    CHECK(rcode_of(**refused) == 2);
  }
  service.run();
  unsigned applied = 0;
  for (const auto& pending : waiting) applied += pending->has_value() && rcode_of(**pending) == 0 ? 1U : 0U;
  CHECK(applied == 4096);
}

TEST_CASE("a service that ends before the store answers is not touched any more", "[dnsd][update]") {
  Service service;
  Service::Pending pending;
  {
    HangingStore hanging(service.zone);
    pending = service.start(service.key.sign(update_message(7, "a.auth.test", "v"), kTime).wire);
    service.service.reset();
  }
  service.run();
  CHECK_FALSE(pending->has_value());
  CHECK(service.values("a.auth.test").size() == 1);
}

TEST_CASE("a signed query gets a signed answer", "[dnsd][update]") {
  Service service;
  service.zone.publish("n1.auth.test", "the value");
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    for (const char* text : {"n1.auth.test TXT", "n1.auth.test TXT edns rd", "auth.test SOA", "_x.y.auth.test SOA edns",
                             "elsewhere.test TXT", "auth.test AXFR", "n1.auth.test TXT edns version=1", "- "}) {
      TsigClient::Signed request = service.key.sign(tests::query(text), kTime);
      std::string packet = service.serve(request.wire, transport);
      CHECK(service.key.verifies(packet, request.mac));
      auto answer = tests::decode(packet);
      if (!answer) FAIL(text << ": " << answer.error().message);
      CHECK(answer->id == 0x1234);
      if (std::string_view(text).starts_with("n1.auth.test TXT") && answer->rcode == 0)
        CHECK(answer->answer.size() == 1);
    }
  }
  CHECK(service.service->counters().signed_queries == 16);
  CHECK(service.service->query_counters().type_soa.read() == 4);
  CHECK(service.service->query_counters().queries_udp.read() == 0);
  CHECK(service.service->query_counters().edns.read() == 0);
  CHECK(service.service->query_counters().badvers.read() == 2);
}

TEST_CASE("a signed answer keeps within what the client takes, with its signature", "[dnsd][update]") {
  Service service;
  for (char c : {'a', 'b', 'c'}) service.zone.publish("big.auth.test", std::string(150, c));
  for (auto [text, cut] : {std::pair{"big.auth.test TXT", true}, std::pair{"big.auth.test TXT edns size=512", true},
                           std::pair{"big.auth.test TXT edns size=1232", false}}) {
    TsigClient::Signed request = service.key.sign(tests::query(text), kTime);
    std::string packet = service.serve(request.wire);
    auto answer = tests::decode(packet);
    REQUIRE(answer);
    CHECK(answer->tc == cut);
    CHECK(packet.size() <= (cut ? 512U : 1232U));
    CHECK(service.key.verifies(packet, request.mac));
    std::string whole = service.serve(request.wire, Transport::Tcp);
    CHECK(tests::decode(whole)->answer.size() == 3);
    CHECK(service.key.verifies(whole, request.mac));
  }
}

TEST_CASE("a question and a key of the longest names still get a signed answer of 512 octets", "[dnsd][update]") {
  Service service;
  std::string label(63, 'k');
  service.key.name = label + "." + label + "." + label + "." + std::string(61, 'k');
  auto policy = make_policy();
  policy->keys[0].name = *base::Name::parse(service.key.name);
  service.service->use(policy);
  std::string longest = label + "." + label + "." + label + "." + std::string(50, 'x') + ".auth.test";
  for (const Packet& message : {tests::query(longest + " TXT"), tests::query(longest + " TXT edns size=512"),
                                update_message(1, longest, "v")}) {
    TsigClient::Signed request = service.key.sign(message, kTime);
    std::string packet = service.serve(request.wire);
    CHECK(packet.size() <= 512);
    CHECK(service.key.verifies(packet, request.mac));
  }
}

TEST_CASE("a stranger's long names get no answer longer than 512 octets", "[dnsd][update]") {
  Service service;
  std::string label(63, 'k');
  std::string longest = label + "." + label + "." + label + "." + std::string(61, 'k');
  RawRecord tsig;
  tsig.owner = tests::wire_name(longest);
  tsig.type = 250;
  tsig.klass = 255;
  tsig.rdata = tests::wire_name(longest) + tests::wire_u48(kTime) + tests::wire_u16(300) + tests::wire_u16(32) +
               std::string(32, 'm') + tests::wire_u16(1) + tests::wire_u16(0) + tests::wire_u16(0);
  Packet packet = QueryBuilder("auth.test SOA opcode=5").additional(tsig.wire()).build();
  std::string answer = service.serve(packet);
  CHECK(answer.size() <= 512);
  CHECK(rcode_of(answer) == 9);
}

TEST_CASE("an update with EDNS is answered with EDNS, and an unknown version of it is said", "[dnsd][update]") {
  Service service;
  auto with_opt = [](std::string_view words, unsigned id) {
    return QueryBuilder("auth.test SOA opcode=5 " + std::string(words) + " id=" + std::to_string(id))
        .authority(record("a.auth.test", 16, 1, tests::txt_rdata("v")))
        .build();
  };
  TsigClient::Signed request = service.key.sign(with_opt("edns size=4096", 1), kTime);
  std::string packet = service.serve(request.wire);
  auto answer = tests::decode(packet);
  if (!answer) FAIL(answer.error().message);
  REQUIRE(answer->opt);
  CHECK(answer->opt->size == 1232);
  CHECK(answer->rcode == 0);
  CHECK(service.key.verifies(packet, request.mac));
  request = service.key.sign(with_opt("edns version=1", 2), kTime);
  packet = service.serve(request.wire);
  answer = tests::decode(packet);
  REQUIRE(answer);
  CHECK(answer->rcode == 16);
  CHECK(service.key.verifies(packet, request.mac));
  CHECK_FALSE(tests::decode(service.serve(service.key.sign(update_message(3, "b.auth.test", "v"), kTime).wire))->opt);
}

TEST_CASE("what is no message, a response, or a header alone changes nothing", "[dnsd][update]") {
  Service service;
  Packet update = service.key.sign(update_message(7, "a.auth.test", "v"), kTime).wire;
  Packet response = update;
  response[2] = static_cast<char>(static_cast<unsigned char>(response[2]) | 0x80U);
  CHECK(service.serve(response).empty());
  CHECK(service.serve(update.substr(0, 11)).empty());
  CHECK(service.serve("").empty());
  for (std::size_t length = 12; length < update.size(); ++length) {
    std::string answer = service.serve(update.substr(0, length));
    REQUIRE(answer.size() >= 12);
    unsigned rcode = rcode_of(answer);
    CHECK((rcode == 1 || rcode == 5));
  }
  CHECK(service.values("a.auth.test").empty());
}
