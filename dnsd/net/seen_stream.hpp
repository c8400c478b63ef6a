// The rings of all threads as one stream of seen challenge queries, for any number of listeners.
// Thread: the control thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/seen_ring.hpp"

namespace countersign::dnsd {

class SeenStream {
 public:
  // Called for each query; must not subscribe or unsubscribe.
  using Listener = std::function<void(const SeenEvent&, base::WallTime)>;

  SeenStream(const asio::any_io_executor& executor, const base::Clock& clock);
  SeenStream(const SeenStream&) = delete;
  SeenStream& operator=(const SeenStream&) = delete;

  // Before the first subscription; the ring lives as long as this.
  void add(SeenRing& ring) { rings_.push_back(&ring); }

  // Ends with its destruction; may outlive the stream, as a coroutine does that is destroyed with its loop.
  class Subscription {
   public:
    Subscription(Subscription&& other) noexcept : listeners_(std::move(other.listeners_)), at_(other.at_) {}
    Subscription& operator=(Subscription&&) = delete;
    ~Subscription() {
      if (listeners_) listeners_->erase(at_);
    }

   private:
    friend class SeenStream;
    explicit Subscription(std::shared_ptr<std::list<Listener>> listeners)
        : listeners_(std::move(listeners)), at_(std::prev(listeners_->end())) {}
    std::shared_ptr<std::list<Listener>> listeners_;
    std::list<Listener>::iterator at_;
  };
  [[nodiscard]] Subscription subscribe(Listener listener);

  [[nodiscard]] std::size_t listeners() const { return listeners_->size(); }
  // A listener had no room for a query. May be called by a listener.
  void note_lost() { ++lost_by_listeners_; }
  // Queries that the rings or a listener had no room for, since the start.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  void arm();
  void drain();

  asio::steady_timer timer_;
  const base::Clock& clock_;
  std::vector<SeenRing*> rings_;
  std::shared_ptr<std::list<Listener>> listeners_ = std::make_shared<std::list<Listener>>();
  bool draining_ = false;
  std::uint64_t lost_by_listeners_ = 0;
};

}  // namespace countersign::dnsd
