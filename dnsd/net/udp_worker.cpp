#include "dnsd/net/udp_worker.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>

#include "base/files.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;

// At the end, what waits in the sockets is still answered; under a flood that would never end.
constexpr unsigned kLastRounds = 256;

}  // namespace

UdpWorker::UdpWorker(unsigned number, std::vector<base::Descriptor> sockets, const Responder& responder,
                     zones::Epochs::Reader& reader)
    : number_(number), sockets_(std::move(sockets)), responder_(responder), reader_(reader) {}

UdpWorker::~UdpWorker() {
  stop();
  join();
}

void UdpWorker::defer_to(DeferredInbox& inbox) {
  inbox.add(deferred_);
  inbox_ = &inbox;
}

base::Result<void> UdpWorker::start() {
  wake_ = base::Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return base::fail(ErrorCode::Io, "cannot start a UDP worker: {}", base::system_reason(errno));
  for (const base::Descriptor& socket : sockets_) waiting_.push_back({socket.get(), POLLIN, 0});
  waiting_.push_back({wake_.get(), POLLIN, 0});
  // Signals are the control thread's: here they would only interrupt system calls.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  base::Result<void> result;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    result = base::fail(ErrorCode::Io, "cannot start a UDP worker: {}", error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

void UdpWorker::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  std::uint64_t one = 1;
  if (wake_) static_cast<void>(write(wake_.get(), &one, sizeof one) < 0);
}

void UdpWorker::join() {
  if (thread_.joinable()) thread_.join();
}

void UdpWorker::run() {
  // By the thread itself: for another's name a hardened process would need /proc, which is closed to it.
  pthread_setname_np(pthread_self(), fmt::format("udp-{}", number_).c_str());
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (!serve_all()) sleep();
  }
  for (unsigned round = 0; round < kLastRounds && serve_all(); ++round) {
  }
  reader_.offline();
}

// One batch from each socket. False: nothing was there.
bool UdpWorker::serve_all() {
  bool any = false;
  for (const base::Descriptor& socket : sockets_) {
    if (batch_.receive(socket.get(), udp_counters_) == 0) continue;
    any = true;
    reader_.online();
    batch_.answer(responder_, counters_, seen_.wanted() ? &seen_ : nullptr);
    std::size_t deferred = batch_.send(socket.get(), udp_counters_, deferred_);
    if (deferred > 0 && inbox_ != nullptr) inbox_->wake();
  }
  return any;
}

void UdpWorker::sleep() {
  reader_.offline();
  poll(waiting_.data(), waiting_.size(), -1);
}

unsigned default_worker_count() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return std::max(1U, std::thread::hardware_concurrency());
  return std::max(1U, static_cast<unsigned>(CPU_COUNT(&cores)));
}

}  // namespace countersign::dnsd
