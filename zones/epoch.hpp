// Quiescent-state epochs: readers of the name table never lock or wait; the writer frees a replaced object only when no
// reader can still see it, and never waits for a sleeping reader.
// Thread: a Reader belongs to one thread; retire() and reclaim() to the writer (the store thread).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace countersign::zones {

class Epochs {
 public:
  class Reader {
   public:
    // Once per batch, before the first look at the table: all pointers of the batch before are given up.
    void online();
    // Before sleeping: no pointer into the table is kept.
    void offline() { announced_.store(kOffline, std::memory_order_release); }  // pairs with reclaim()'s load
    // For anyone, as a sign of life: nothing is read through it.
    [[nodiscard]] bool is_online() const { return announced_.load(std::memory_order_relaxed) != kOffline; }

   private:
    friend class Epochs;
    explicit Reader(const std::atomic<std::uint64_t>& current) : current_(current) {}
    const std::atomic<std::uint64_t>& current_;
    // A cache line of its own: every reader writes its own once per batch.
    alignas(64) std::atomic<std::uint64_t> announced_{kOffline};
  };

  Epochs() = default;
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;
  ~Epochs();

  // Before the reading threads start; the reader lives as long as the Epochs.
  [[nodiscard]] Reader& add_reader();

  // `object` is out of the table already; `free` is called on it once no reader can see it.
  void retire(void* object, void (*free)(void*));
  // Frees what can be freed now. Cheap; called after each group of changes.
  void reclaim();
  [[nodiscard]] std::size_t waiting() const { return retired_.size(); }

 private:
  static constexpr std::uint64_t kOffline = 0;

  struct Retired {
    std::uint64_t epoch;
    void* object;
    void (*free)(void*);
  };

  std::atomic<std::uint64_t> current_{1};
  std::vector<std::unique_ptr<Reader>> readers_;
  std::deque<Retired> retired_;
};

// A reader's stay in the table as a scope, for readers that serve one query at a time (TCP, tests).
class ReadScope {
 public:
  explicit ReadScope(Epochs::Reader& reader) : reader_(reader) { reader_.online(); }
  ~ReadScope() { reader_.offline(); }
  ReadScope(const ReadScope&) = delete;
  ReadScope& operator=(const ReadScope&) = delete;

 private:
  Epochs::Reader& reader_;
};

}  // namespace countersign::zones
