#include "dnsd/net/seen_stream.hpp"

namespace countersign::dnsd {
namespace {

// Short, because a client that waits for the CA's query acts on it; and only while somebody listens.
constexpr std::chrono::milliseconds kInterval{2};

}  // namespace

SeenStream::SeenStream(const asio::any_io_executor& executor, const base::Clock& clock)
    : timer_(executor), clock_(clock) {}

SeenStream::Subscription SeenStream::subscribe(Listener listener) {
  listeners_->push_back(std::move(listener));
  if (!draining_) {
    for (SeenRing* ring : rings_) ring->listen();
    draining_ = true;
    arm();
  }
  return Subscription(listeners_);
}

std::uint64_t SeenStream::lost() const {
  std::uint64_t sum = lost_by_listeners_;
  for (const SeenRing* ring : rings_) sum += ring->lost();
  return sum;
}

void SeenStream::arm() {
  timer_.expires_after(kInterval);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    if (listeners_->empty()) {
      for (SeenRing* ring : rings_) ring->mute();
      draining_ = false;
      return;
    }
    drain();
    arm();
  });
}

void SeenStream::drain() {
  SeenEvent event;
  base::WallTime now = clock_.wall();
  for (SeenRing* ring : rings_) {
    // At most one ring's worth at a time: under a flood the control thread has other things to do as well.
    for (std::size_t i = 0; i < SeenRing::kCapacity && ring->pop(event); ++i)
      for (const Listener& listener : *listeners_) listener(event, now);
  }
}

}  // namespace countersign::dnsd
