// All names that exist, of all zones, by hash. Open addressing; each slot is a node's address with 16 bits of its hash
// above it, so that a probe touches a node only when it is almost surely the right one.
// Thread: any reader that is online in the Epochs; writes by the store thread (NameTableWriter).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "zones/answer.hpp"
#include "zones/epoch.hpp"
#include "zones/name_hash.hpp"

namespace countersign::zones {

// One generation of slots; a larger one replaces it as a whole.
class Slots {
 public:
  static constexpr std::uint64_t kEmpty = 0;
  static constexpr std::uint64_t kRemoved = 1;  // no node's address: those are aligned
  static constexpr std::uint64_t kAddressBits = 48;
  static constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << kAddressBits) - 1;

  explicit Slots(std::size_t capacity);  // a power of two
  // At most half full with `names`.
  [[nodiscard]] static std::size_t capacity_for(std::size_t names);

  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }
  [[nodiscard]] std::size_t home(std::uint64_t hash) const { return hash & mask_; }
  [[nodiscard]] std::size_t after(std::size_t index) const { return (index + 1) & mask_; }
  [[nodiscard]] static std::uint64_t tag(std::uint64_t hash) { return hash & ~kAddressMask; }

  // Pairs with store(): whoever sees the address sees the node's contents.
  [[nodiscard]] std::uint64_t load(std::size_t index) const { return slots_[index].load(std::memory_order_acquire); }
  void store(std::size_t index, std::uint64_t word) { slots_[index].store(word, std::memory_order_release); }
  [[nodiscard]] static const Node* node(std::uint64_t word) {
    return reinterpret_cast<const Node*>(word & kAddressMask);
  }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[home(hash)]); }
  [[nodiscard]] const Node* guess(std::uint64_t hash) const;
  [[nodiscard]] const Node* find(std::uint64_t hash, std::string_view lowered) const;

  // At the end of a whole generation, when no reader can see it; growth moves the nodes on to larger slots.
  void free_nodes();

 private:
  std::size_t mask_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;
};

class NameTable {
 public:
  explicit NameTable(Epochs& epochs);
  ~NameTable();
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  // The names as one query sees them: of one generation, whatever is reloaded meanwhile. Two looks at the table itself
  // may meet two: an NXDOMAIN of the old zones with the SOA of the new. Lasts as long as its reader stays online.
  class View {
   public:
    View() = default;  // for the moment before view(): not to be asked

    [[nodiscard]] HashSeed seed() const { return table_->seed_; }
    // Labels of the longest name there ever was: longer names need no look.
    [[nodiscard]] std::size_t max_labels() const { return table_->max_labels(); }
    // The first node whose tag fits, by the look of the slots alone; find() is the one to believe.
    [[nodiscard]] const Node* guess(std::uint64_t hash) const { return slots_->guess(hash); }
    [[nodiscard]] const Node* find(std::uint64_t hash, std::string_view lowered) const {
      return slots_->find(hash, lowered);
    }
    [[nodiscard]] const Node* find(std::string_view lowered) const { return find(table_->hash(lowered), lowered); }

   private:
    friend class NameTable;
    View(const NameTable& table, const Slots& slots) : table_(&table), slots_(&slots) {}
    const NameTable* table_ = nullptr;
    const Slots* slots_ = nullptr;
  };
  [[nodiscard]] View view() const { return {*this, slots()}; }

  [[nodiscard]] HashSeed seed() const { return seed_; }
  [[nodiscard]] Epochs& epochs() const { return epochs_; }
  // Grows only. Raised before a longer name is visible, so whoever reads it behind view() knows of all that it shows.
  [[nodiscard]] std::size_t max_labels() const { return max_labels_.load(std::memory_order_relaxed); }

  void prefetch(std::uint64_t hash) const { slots().prefetch(hash); }
  [[nodiscard]] const Node* guess(std::uint64_t hash) const { return slots().guess(hash); }
  [[nodiscard]] const Node* find(std::uint64_t hash, std::string_view lowered) const {
    return slots().find(hash, lowered);
  }
  [[nodiscard]] const Node* find(std::string_view lowered) const { return find(hash(lowered), lowered); }

 private:
  friend class NameTableWriter;
  // Pairs with the writer's release when a generation is replaced.
  [[nodiscard]] const Slots& slots() const { return *slots_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t hash(std::string_view lowered) const {
    return hash_name(seed_, lowered.data(), lowered.size());
  }

  Epochs& epochs_;
  HashSeed seed_;
  std::atomic<Slots*> slots_;
  std::atomic<std::size_t> max_labels_{0};
};

inline const Node* Slots::guess(std::uint64_t hash) const {
  for (std::size_t index = home(hash);; index = after(index)) {
    std::uint64_t word = load(index);
    if (word == kEmpty) return nullptr;
    if (tag(word) == tag(hash) && word != kRemoved) return node(word);
  }
}

inline const Node* Slots::find(std::uint64_t hash, std::string_view lowered) const {
  for (std::size_t index = home(hash);; index = after(index)) {
    std::uint64_t word = load(index);
    if (word == kEmpty) return nullptr;
    if (tag(word) != tag(hash) || word == kRemoved) continue;
    const Node* found = node(word);
    if (found->name() == lowered) return found;
  }
}

}  // namespace countersign::zones
