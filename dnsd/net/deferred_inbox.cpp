#include "dnsd/net/deferred_inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "base/descriptor.hpp"
#include "base/files.hpp"

namespace countersign::dnsd {
namespace {

// Before the loop's other work gets its turn. One takes some microseconds: a MAC, and for an update its parsing.
constexpr std::size_t kAtOnce = 32;

}  // namespace

DeferredInbox::DeferredInbox(const asio::any_io_executor& executor) : events_(executor) {}

base::Result<void> DeferredInbox::open(Handler handler) {
  base::Descriptor event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event)
    return base::fail(base::ErrorCode::Io, "cannot wait for updates over UDP: {}", base::system_reason(errno));
  boost::system::error_code error;
  events_.assign(event.get(), error);  // NOLINT(bugprone-unused-return-value): `error` has the same
  if (error) return base::fail(base::ErrorCode::Io, "cannot wait for updates over UDP: {}", error.message());
  event_ = event.release();  // events_' now
  handler_ = std::move(handler);
  wait();
  return {};
}

void DeferredInbox::wake() {
  std::uint64_t one = 1;
  if (event_ >= 0) static_cast<void>(write(event_, &one, sizeof one) < 0);
}

void DeferredInbox::stop() {
  stopping_ = true;
  events_.cancel();
}

std::uint64_t DeferredInbox::lost() const {
  std::uint64_t sum = 0;
  for (const DeferredRing* ring : rings_) sum += ring->lost();
  return sum;
}

void DeferredInbox::wait() {
  if (stopping_) return;
  events_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    // Before the rings are looked at: what is committed from here on wakes again.
    std::uint64_t count = 0;
    static_cast<void>(read(event_, &count, sizeof count) < 0);
    drain();
  });
}

// The rings by turns, so that a flood at one worker does not keep the others waiting.
void DeferredInbox::drain() {
  if (stopping_) return;
  std::size_t empty = 0;
  for (std::size_t taken = 0; taken < kAtOnce && empty < rings_.size();) {
    DeferredRing& ring = *rings_[turn_++ % rings_.size()];
    if (take_from(ring)) {
      ++taken;
      empty = 0;
    } else {
      ++empty;
    }
  }
  if (empty >= rings_.size()) return wait();
  asio::post(events_.get_executor(), [this] { drain(); });
}

bool DeferredInbox::take_from(DeferredRing& ring) {
  const DeferredDatagram* datagram = ring.front();
  if (datagram == nullptr) return false;
  handler_(*datagram);
  ring.release();
  return true;
}

}  // namespace countersign::dnsd
