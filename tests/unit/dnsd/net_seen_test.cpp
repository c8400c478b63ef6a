#include <boost/asio/io_context.hpp>
#include <thread>

#include "dnsd/net/seen_ring.hpp"
#include "dnsd/net/seen_stream.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/dns_message.hpp"
#include "tests/support/fake_clock.hpp"

using namespace countersign;
using namespace countersign::dnsd;

namespace {

const base::SocketAddress kClient = *base::SocketAddress::parse("192.0.2.5:1234");

void push(SeenRing& ring, const std::string& name, std::uint16_t values) {
  std::string wire = tests::wire_name(name);
  Seen seen{wire, 16, 0, values};
  ring.push(kClient.data(), kClient.size(), Transport::Udp, seen);
}

}  // namespace

TEST_CASE("a ring gives back what was pushed, in order", "[dnsd][net]") {
  SeenRing ring;
  CHECK_FALSE(ring.wanted());
  ring.listen();
  CHECK(ring.wanted());
  push(ring, "a.example", 1);
  push(ring, "b.example", 2);
  SeenEvent event;
  REQUIRE(ring.pop(event));
  CHECK(event.wire() == tests::wire_name("a.example"));
  CHECK(event.client == kClient);
  CHECK(event.values == 1);
  REQUIRE(ring.pop(event));
  CHECK(event.wire() == tests::wire_name("b.example"));
  CHECK_FALSE(ring.pop(event));
}

TEST_CASE("a full ring loses the newest and counts them", "[dnsd][net]") {
  SeenRing ring;
  ring.listen();
  for (std::size_t i = 0; i < SeenRing::kCapacity + 10; ++i) push(ring, "a.example", static_cast<std::uint16_t>(i));
  CHECK(ring.lost() == 10);
  SeenEvent event;
  std::size_t count = 0;
  while (ring.pop(event)) {
    CHECK(event.values == count);
    ++count;
  }
  CHECK(count == SeenRing::kCapacity);
  push(ring, "a.example", 5);
  CHECK(ring.pop(event));
}

TEST_CASE("a new listener does not get what an earlier one left behind", "[dnsd][net]") {
  SeenRing ring;
  ring.listen();
  push(ring, "old.example", 1);
  ring.mute();
  ring.listen();
  SeenEvent event;
  CHECK_FALSE(ring.pop(event));
}

TEST_CASE("what a ring delivers while two threads use it is whole and in order", "[dnsd][net]") {
  SeenRing ring;
  ring.listen();
  constexpr unsigned kCount = 60'000;
  std::thread producer([&ring] {
    for (unsigned i = 0; i < kCount; ++i)
      push(ring, "n" + std::to_string(i) + ".example", static_cast<std::uint16_t>(i));
  });
  std::uint64_t taken = 0, broken = 0;
  unsigned last = 0;
  SeenEvent event;
  while (taken + ring.lost() < kCount) {
    if (!ring.pop(event)) continue;
    ++taken;
    std::string text = base::Name::from_wire(base::as_bytes(event.wire())).value().text();
    auto number = static_cast<unsigned>(std::stoul(text.substr(1)));
    if (static_cast<std::uint16_t>(number) != event.values || (taken > 1 && number <= last)) ++broken;
    last = number;
  }
  producer.join();
  CHECK(broken == 0);
  CHECK(taken > 0);
}

TEST_CASE("the stream feeds every listener and switches the rings off after the last", "[dnsd][net]") {
  asio::io_context context;
  tests::FakeClock clock;
  SeenRing first, second;
  SeenStream stream(context.get_executor(), clock);
  stream.add(first);
  stream.add(second);
  CHECK_FALSE(first.wanted());
  std::vector<std::string> one, two;
  auto name_of = [](const SeenEvent& event) {
    return base::Name::from_wire(base::as_bytes(event.wire())).value().text();
  };
  {
    auto a = stream.subscribe([&](const SeenEvent& event, base::WallTime time) {
      CHECK(time == clock.wall());
      one.push_back(name_of(event));
    });
    auto b = stream.subscribe([&](const SeenEvent& event, base::WallTime) { two.push_back(name_of(event)); });
    CHECK(first.wanted());
    CHECK(second.wanted());
    push(first, "a.example", 1);
    push(second, "b.example", 1);
    while (two.size() < 2) context.run_one();
    CHECK(stream.listeners() == 2);
  }
  CHECK(one == std::vector<std::string>{"a.example", "b.example"});
  CHECK(two == one);
  context.run();  // ends: nothing is armed any more
  CHECK_FALSE(first.wanted());
  CHECK_FALSE(second.wanted());
}
