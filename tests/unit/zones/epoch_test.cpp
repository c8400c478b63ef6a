#include "zones/epoch.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"

using countersign::zones::Epochs;
using countersign::zones::ReadScope;

namespace {

struct Tracked {
  std::atomic<int>* alive;
  std::atomic<int> value{42};
  explicit Tracked(std::atomic<int>* counter) : alive(counter) { ++*alive; }
  ~Tracked() {
    value = -1;
    --*alive;
  }
  static void free(void* object) { std::unique_ptr<Tracked>(static_cast<Tracked*>(object)).reset(); }
};

}  // namespace

TEST_CASE("nothing is freed while a reader that could see it is online", "[zones]") {
  std::atomic<int> alive{0};
  Epochs epochs;
  Epochs::Reader& reader = epochs.add_reader();
  Epochs::Reader& sleeper = epochs.add_reader();  // never online: nobody waits for it
  static_cast<void>(sleeper);

  reader.online();
  epochs.retire(std::make_unique<Tracked>(&alive).release(), Tracked::free);
  epochs.reclaim();
  REQUIRE(alive == 1);
  epochs.reclaim();
  REQUIRE(alive == 1);

  reader.online();  // the next batch
  epochs.reclaim();
  REQUIRE(alive == 0);
  REQUIRE(epochs.waiting() == 0);
}

TEST_CASE("an offline reader holds nothing back, and what is left goes with the epochs", "[zones]") {
  std::atomic<int> alive{0};
  {
    Epochs epochs;
    Epochs::Reader& reader = epochs.add_reader();
    {
      ReadScope scope(reader);
    }
    epochs.retire(std::make_unique<Tracked>(&alive).release(), Tracked::free);
    epochs.reclaim();
    REQUIRE(alive == 0);
    reader.online();
    epochs.retire(std::make_unique<Tracked>(&alive).release(), Tracked::free);
    epochs.reclaim();
    REQUIRE(alive == 1);
  }
  REQUIRE(alive == 0);
}

TEST_CASE("readers that never stop never see freed memory, and the writer's backlog stays small", "[zones]") {
  std::atomic<int> alive{0};
  Epochs epochs;
  std::atomic<Tracked*> shared{std::make_unique<Tracked>(&alive).release()};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    Epochs::Reader& reader = epochs.add_reader();
    threads.emplace_back([&, &slot = reader] {
      for (unsigned round = 0; !stop.load(std::memory_order_relaxed); ++round) {
        slot.online();
        for (int look = 0; look < 8; ++look) {
          if (shared.load(std::memory_order_acquire)->value.load(std::memory_order_relaxed) != 42) ++wrong;
        }
        if (round % 64 == 0) slot.offline();
      }
      slot.offline();
    });
  }
  std::size_t worst = 0;
  for (int i = 0; i < 20'000; ++i) {
    Tracked* old = shared.exchange(std::make_unique<Tracked>(&alive).release(), std::memory_order_acq_rel);
    epochs.retire(old, Tracked::free);
    epochs.reclaim();
    worst = std::max(worst, epochs.waiting());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  epochs.reclaim();
  REQUIRE(wrong == 0);
  REQUIRE(alive == 1);
  Tracked::free(shared.load());
}
