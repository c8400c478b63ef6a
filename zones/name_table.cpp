#include "zones/name_table.hpp"

#include "base/random.hpp"
#include "zones/node_builder.hpp"

namespace countersign::zones {
namespace {

// Small at first: an empty server should be small. Grows by doubling.
constexpr std::size_t kFirstCapacity = 1024;

}  // namespace

Slots::Slots(std::size_t capacity)
    : mask_(capacity - 1), slots_(std::make_unique<std::atomic<std::uint64_t>[]>(capacity)) {}

NameTable::NameTable(Epochs& epochs)
    : epochs_(epochs),
      seed_{base::random_u64(), base::random_u64()},
      slots_(std::make_unique<Slots>(kFirstCapacity).release()) {}

NameTable::~NameTable() {
  std::unique_ptr<Slots> all(slots_.load(std::memory_order_relaxed));
  for (std::size_t index = 0; index < all->capacity(); ++index) {
    std::uint64_t word = all->load(index);
    if (word != Slots::kEmpty && word != Slots::kRemoved) NodeBuilder::free(const_cast<Node*>(Slots::node(word)));
  }
}

}  // namespace countersign::zones
