#include "zones/epoch.hpp"

#include <algorithm>

namespace countersign::zones {

void Epochs::Reader::online() {
  // The second look closes the race with reclaim(): if its scan missed our announcement, then its increment of
  // `current_` precedes our second load in the single order of seq_cst operations, we see the new epoch and announce
  // again, and that load makes everything unlinked before the increment invisible to us.
  std::uint64_t epoch = current_.load(std::memory_order_seq_cst);
  for (;;) {
    announced_.store(epoch, std::memory_order_seq_cst);
    std::uint64_t now = current_.load(std::memory_order_seq_cst);
    if (now == epoch) return;
    epoch = now;
  }
}

Epochs::~Epochs() {
  for (const Retired& retired : retired_) retired.free(retired.object);
}

Epochs::Reader& Epochs::add_reader() {
  readers_.push_back(std::unique_ptr<Reader>(new Reader(current_)));
  return *readers_.back();
}

void Epochs::retire(void* object, void (*free)(void*)) {
  // Only the writer changes current_, so its own plain read is exact. Whoever announces a later epoch cannot see it.
  retired_.push_back({current_.load(std::memory_order_relaxed) + 1, object, free});
}

void Epochs::reclaim() {
  if (retired_.empty()) return;
  current_.fetch_add(1, std::memory_order_seq_cst);  // pairs with the loads of online()
  std::uint64_t oldest = UINT64_MAX;
  for (const auto& reader : readers_) {
    std::uint64_t announced = reader->announced_.load(std::memory_order_seq_cst);
    if (announced != kOffline) oldest = std::min(oldest, announced);
  }
  while (!retired_.empty() && retired_.front().epoch <= oldest) {
    Retired retired = retired_.front();
    retired_.pop_front();
    retired.free(retired.object);
  }
}

}  // namespace countersign::zones
