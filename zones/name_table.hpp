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

  [[nodiscard]] HashSeed seed() const { return seed_; }
  [[nodiscard]] Epochs& epochs() const { return epochs_; }
  // Labels of the longest name there ever was: longer names need no look.
  [[nodiscard]] std::size_t max_labels() const { return max_labels_.load(std::memory_order_relaxed); }

  void prefetch(std::uint64_t hash) const { slots().prefetch(hash); }
  // The first node whose tag fits, by the look of the slots alone; find() is the one to believe.
  [[nodiscard]] const Node* guess(std::uint64_t hash) const;
  [[nodiscard]] const Node* find(std::uint64_t hash, std::string_view lowered) const;
  [[nodiscard]] const Node* find(std::string_view lowered) const {
    return find(hash_name(seed_, lowered.data(), lowered.size()), lowered);
  }

 private:
  friend class NameTableWriter;
  // Pairs with the writer's release when a generation is replaced.
  [[nodiscard]] const Slots& slots() const { return *slots_.load(std::memory_order_acquire); }

  Epochs& epochs_;
  HashSeed seed_;
  std::atomic<Slots*> slots_;
  std::atomic<std::size_t> max_labels_{0};
};

inline const Node* NameTable::guess(std::uint64_t hash) const {
  const Slots& all = slots();
  for (std::size_t index = all.home(hash);; index = all.after(index)) {
    std::uint64_t word = all.load(index);
    if (word == Slots::kEmpty) return nullptr;
    if (Slots::tag(word) == Slots::tag(hash) && word != Slots::kRemoved) return Slots::node(word);
  }
}

inline const Node* NameTable::find(std::uint64_t hash, std::string_view lowered) const {
  const Slots& all = slots();
  for (std::size_t index = all.home(hash);; index = all.after(index)) {
    std::uint64_t word = all.load(index);
    if (word == Slots::kEmpty) return nullptr;
    if (Slots::tag(word) != Slots::tag(hash) || word == Slots::kRemoved) continue;
    const Node* node = Slots::node(word);
    if (node->name() == lowered) return node;
  }
}

}  // namespace countersign::zones
