#include "zones/name_table.hpp"

#include <algorithm>
#include <bit>

#include "base/random.hpp"
#include "zones/node_builder.hpp"

namespace countersign::zones {
namespace {

// Small at first: an empty server should be small. Grows by doubling.
constexpr std::size_t kFirstCapacity = 1024;

}  // namespace

Slots::Slots(std::size_t capacity)
    : mask_(capacity - 1), slots_(std::make_unique<std::atomic<std::uint64_t>[]>(capacity)) {}

std::size_t Slots::capacity_for(std::size_t names) {
  return std::max(kFirstCapacity, std::bit_ceil(names * 2));
}

void Slots::free_nodes() {
  for (std::size_t index = 0; index < capacity(); ++index) {
    std::uint64_t word = load(index);
    if (word > kRemoved) NodeBuilder::free(const_cast<Node*>(node(word)));
  }
}

NameTable::NameTable(Epochs& epochs)
    : epochs_(epochs),
      seed_{base::random_u64(), base::random_u64()},
      slots_(std::make_unique<Slots>(kFirstCapacity).release()) {}

NameTable::~NameTable() {
  std::unique_ptr<Slots> all(slots_.load(std::memory_order_relaxed));
  all->free_nodes();
}

}  // namespace countersign::zones
