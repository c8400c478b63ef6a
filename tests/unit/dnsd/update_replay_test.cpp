// What of an update is remembered while the store has it, afterwards, and over a restart.
#include "tests/unit/dnsd/update_serving.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::HangingStore;
using tests::id_of;
using tests::kUpdateTime;
using tests::make_policy;
using tests::Packet;
using tests::QueryBuilder;
using tests::rcode_of;
using tests::record;
using tests::Service;
using tests::TsigClient;
using tests::update_message;

TEST_CASE("a replayed datagram is answered, and does not bring back what was removed", "[dnsd][update]") {
  Service service;
  TsigClient::Signed add = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime);
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
  CHECK(rcode_of(service.serve(service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime + 1).wire)) == 0);
  CHECK(service.values("a.auth.test").size() == 1);
}

TEST_CASE("what a key signed before its newest applied update is not applied after a restart", "[dnsd][update]") {
  auto folder = std::make_shared<tests::TemporaryFolder>();
  // From a client whose clock is fast.
  TsigClient::Signed add = TsigClient().sign(update_message(7, "a.auth.test", "v"), kUpdateTime + 250);
  {
    Service service(folder);
    CHECK(rcode_of(service.serve(add.wire)) == 0);
    TsigClient::Signed removal = service.key.sign(update_message(8, "a.auth.test", "v", true), kUpdateTime + 251);
    CHECK(rcode_of(service.serve(removal.wire)) == 0);
    // A refused one raises no mark.
    TsigClient::Signed refused = service.key.sign(update_message(9, "a.other.test", "v"), kUpdateTime + 290);
    CHECK(rcode_of(service.serve(refused.wire)) == 10);
  }
  Service service(folder);
  std::string answer = service.serve(add.wire);
  CHECK(rcode_of(answer) == 9);
  CHECK(TsigClient::error_of(answer, 6) == 18);
  CHECK(service.key.verifies(answer, add.mac));
  CHECK(service.values("a.auth.test").empty());
  CHECK(service.service->counters().tsig_errors == 1);
  TsigClient::Signed newer = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime + 252);
  CHECK(rcode_of(service.serve(newer.wire)) == 0);
}

TEST_CASE("an update that was signed before a start is applied when it is nobody's second one", "[dnsd][update]") {
  auto folder = std::make_shared<tests::TemporaryFolder>();
  {
    Service service(folder);
    TsigClient::Signed request = service.key.sign(update_message(1, "a.auth.test", "v"), kUpdateTime - 100);
    CHECK(rcode_of(service.serve(request.wire)) == 0);
  }
  Service service(folder);
  // Its first datagram was lost in the restart; another client's clock lags.
  CHECK(rcode_of(service.serve(service.key.sign(update_message(2, "b.auth.test", "v"), kUpdateTime - 99).wire)) == 0);
  service.key.name = "narrow.test";
  CHECK(rcode_of(service.serve(service.key.sign(update_message(3, "only.auth.test", "v"), kUpdateTime - 300).wire)) ==
        0);
  CHECK(service.values("b.auth.test").size() == 1);
  CHECK(service.values("only.auth.test").size() == 1);
}

TEST_CASE("a clock that is set back, before or after a start, stops nobody", "[dnsd][update]") {
  auto folder = std::make_shared<tests::TemporaryFolder>();
  unsigned id = 0;
  for (bool restarted : {false, true}) {
    Service service(folder);
    auto serve = [&](std::uint64_t time) {
      return rcode_of(service.serve(service.key.sign(update_message(++id, "a.auth.test", "v"), time).wire));
    };
    if (!restarted) CHECK(serve(kUpdateTime) == 0);
    service.zone.clock().jump(-2h);
    CHECK(serve(kUpdateTime - 7200) == 0);
    // When the mark's time comes near it must not hold again.
    service.zone.clock().jump(2h - 100s);
    CHECK(serve(kUpdateTime - 100) == 0);
  }
}

TEST_CASE("an update that is sent again while it waits is applied and answered once", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime);
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
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime);
  TsigClient::Signed removal = service.key.sign(update_message(8, "a.auth.test", "v", true), kUpdateTime + 1);
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
    // It is still on its way to the disk. Behind the removal it must not be put there once more.
    auto removed = service.start(removal.wire);
    auto again = service.start(request.wire);
    REQUIRE(again->has_value());
    CHECK(rcode_of(**again) == 2);
    CHECK(service.key.verifies(**again, request.mac));
    CHECK(service.service->counters().replayed == 1);
    hanging.end();
    service.run();
    REQUIRE(removed->has_value());
    CHECK(rcode_of(**removed) == 0);
  }
  CHECK(service.values("a.auth.test").empty());
  // Now its end is known.
  CHECK(rcode_of(service.serve(request.wire)) == 0);
  CHECK(service.values("a.auth.test").empty());
  CHECK(service.service->counters().applied == 1);
}

TEST_CASE("what is applied after it was given up does not come back when it is replayed", "[dnsd][update]") {
  Service service;
  TsigClient::Signed request = service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime);
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
  CHECK(rcode_of(service.serve(service.key.sign(removal, kUpdateTime + 1).wire)) == 0);
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
      return service.key.sign(update_message(i, "n" + std::to_string(i) + ".auth.test", "v"), kUpdateTime).wire;
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

TEST_CASE("no more than 32,768 prerequisites and changes wait for the store", "[dnsd][update]") {
  Service service;
  std::vector<Service::Pending> waiting;
  // 999 of them in a message, all alike.
  Packet change = record("many.auth.test", 16, 254, tests::txt_rdata("v"));
  Packet prerequisite = record("free.auth.test", 16, 254);
  auto request = [&](unsigned id, unsigned prerequisites, unsigned changes) {
    QueryBuilder builder("auth.test SOA opcode=5 id=" + std::to_string(id));
    for (unsigned i = 0; i < prerequisites; ++i) builder.answer(prerequisite);
    for (unsigned i = 0; i < changes; ++i) builder.authority(change);
    return service.key.sign(builder.build(), kUpdateTime).wire;
  };
  {
    HangingStore hanging(service.zone);
    for (unsigned id = 0; id < 32; ++id) waiting.push_back(service.start(request(id, 500, 500), Transport::Tcp));
    waiting.push_back(service.start(request(32, 300, 467), Transport::Tcp));
    CHECK(service.service->pending() == 33);
    auto refused = service.start(request(33, 1, 1), Transport::Tcp);
    REQUIRE(refused->has_value());
    CHECK(rcode_of(**refused) == 2);
    waiting.push_back(service.start(request(34, 0, 1)));
    CHECK(service.service->pending() == 34);
    refused = service.start(request(35, 0, 1));
    REQUIRE(refused->has_value());
    CHECK(rcode_of(**refused) == 2);
  }
  service.run();
  for (const auto& pending : waiting) {
    REQUIRE(pending->has_value());
    CHECK(rcode_of(**pending) == 0);
  }
  CHECK(rcode_of(service.serve(request(36, 500, 500), Transport::Tcp)) == 0);
}

TEST_CASE("what was refused is refused again, though it would be applied by now", "[dnsd][update]") {
  Service service;
  CHECK(service.ask(update_message(1, "used.auth.test", "v")) == 0);
  Packet add = record("new.auth.test", 16, 1, tests::txt_rdata("v"));
  Packet when_free =
      QueryBuilder("auth.test SOA opcode=5 id=2").answer(record("used.auth.test", 16, 254)).authority(add).build();
  TsigClient::Signed unmet = service.key.sign(when_free, kUpdateTime);
  CHECK(rcode_of(service.serve(unmet.wire)) == 7);
  TsigClient::Signed forbidden = service.key.sign(update_message(3, "new.auth.test", "v"), kUpdateTime + 1);
  auto policy = make_policy();
  policy->keys[0].allow = {{*base::Name::parse("elsewhere.auth.test"), false}};
  service.service->use(policy);
  CHECK(rcode_of(service.serve(forbidden.wire)) == 5);
  service.service->use(make_policy());
  CHECK(service.ask(update_message(4, "used.auth.test", "v", true)) == 0);
  for (Transport transport : {Transport::Udp, Transport::Tcp}) {
    std::string again = service.serve(unmet.wire, transport);
    CHECK(rcode_of(again) == 7);
    CHECK(service.key.verifies(again, unmet.mac));
    again = service.serve(forbidden.wire, transport);
    CHECK(rcode_of(again) == 5);
    CHECK(service.key.verifies(again, forbidden.mac));
  }
  CHECK(service.values("new.auth.test").empty());
  CHECK(service.service->counters().replayed == 4);
  // Signed anew it is meant.
  CHECK(rcode_of(service.serve(service.key.sign(when_free, kUpdateTime + 2).wire)) == 0);
  CHECK(service.values("new.auth.test").size() == 1);
}

TEST_CASE("what found the store busy may come again for ten seconds, and not later", "[dnsd][update]") {
  for (auto [later, rcode] : {std::pair{9s, 0U}, std::pair{11s, 2U}}) {
    Service service;
    TsigClient::Signed request = service.key.sign(update_message(9999, "a.auth.test", "v"), kUpdateTime);
    {
      HangingStore hanging(service.zone);
      for (unsigned i = 0; i < 4096; ++i)
        service.start(service.key.sign(update_message(i, "fill.auth.test", "v", true), kUpdateTime).wire);
      auto refused = service.start(request.wire);
      REQUIRE(refused->has_value());
      CHECK(rcode_of(**refused) == 2);
    }
    service.run();
    service.zone.clock().advance(later);
    std::string answer = service.serve(request.wire);
    CHECK(rcode_of(answer) == rcode);
    CHECK(service.key.verifies(answer, request.mac));
    CHECK(service.values("a.auth.test").size() == (rcode == 0 ? 1U : 0U));
  }
}

TEST_CASE("a service that ends before the store answers is not touched any more", "[dnsd][update]") {
  Service service;
  Service::Pending pending;
  {
    HangingStore hanging(service.zone);
    pending = service.start(service.key.sign(update_message(7, "a.auth.test", "v"), kUpdateTime).wire);
    service.service.reset();
  }
  service.run();
  CHECK_FALSE(pending->has_value());
  CHECK(service.values("a.auth.test").size() == 1);
}
