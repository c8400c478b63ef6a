// Where the deferred messages of all workers arrive on the control thread.
// Thread: the control thread; wake() by any.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <vector>

#include "base/result.hpp"
#include "dnsd/net/asio.hpp"
#include "dnsd/net/deferred.hpp"

namespace countersign::dnsd {

class DeferredInbox {
 public:
  // The datagram lasts until it returns.
  using Handler = std::function<void(const DeferredDatagram&)>;

  explicit DeferredInbox(const asio::any_io_executor& executor);
  DeferredInbox(const DeferredInbox&) = delete;
  DeferredInbox& operator=(const DeferredInbox&) = delete;

  // Before the workers start, once. Error: Io, when the system gives no event descriptor.
  [[nodiscard]] base::Result<void> open(Handler handler);
  // Before its worker starts; the ring lives as long as this.
  void add(DeferredRing& ring) { rings_.push_back(&ring); }
  // Something was committed to a ring. No allocation, lock or wait; one system call.
  void wake();
  // Messages that come later stay in their rings, and nothing keeps the loop running.
  void stop();

  // Dropped because their ring was full.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  void wait();
  void drain();
  [[nodiscard]] bool take_from(DeferredRing& ring);

  Handler handler_;
  std::vector<DeferredRing*> rings_;
  std::size_t turn_ = 0;  // of the rings
  int event_ = -1;        // events_ has it
  bool stopping_ = false;
  asio::posix::stream_descriptor events_;
};

}  // namespace countersign::dnsd
