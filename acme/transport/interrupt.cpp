#include "acme/transport/interrupt.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

namespace countersign::acme {
namespace {

// Written by the signal handler, so each must be lock-free.
std::atomic<std::int64_t> first_signal{0};  // milliseconds of CLOCK_MONOTONIC; 0 = none yet
std::atomic<int> event{-1};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

thread_local int shields = 0;

// timeout(1) and shells send a signal twice at once, to the process and to its group: that insists on nothing.
constexpr std::int64_t kInsistsAfter = 1000;

std::int64_t monotonic_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000 + 1;
}

extern "C" void countersign_note_signal(int number) {
  int saved = errno;
  std::int64_t now = monotonic_milliseconds();
  std::int64_t first = 0;
  if (!first_signal.compare_exchange_strong(first, now) && now - first >= kInsistsAfter) {
    // Somebody insists: end as the signal's default does, so that the shell sees the right status.
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  std::uint64_t one = 1;
  // A full eventfd is readable already, so a failed write loses nothing.
  static_cast<void>(!::write(event.load(), &one, sizeof one));
  errno = saved;
}

}  // namespace

void install_interrupt_handlers() {
  if (event.load() < 0) event.store(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  struct sigaction action{};
  action.sa_handler = countersign_note_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a blocked flock() or poll() returns
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // nohup(1) hands it down ignored, and means it.
  struct sigaction inherited{};
  if (sigaction(SIGHUP, nullptr, &inherited) == 0 && inherited.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);
}

bool interrupted() {
  return signalled() && !is_shielded();
}

bool signalled() {
  return first_signal.load() != 0;
}

bool is_shielded() {
  return shields > 0;
}

int interrupt_descriptor() {
  return is_shielded() ? -1 : event.load();
}

bool sleep_unless_interrupted(std::chrono::milliseconds duration) {
  auto end = std::chrono::steady_clock::now() + duration;
  for (;;) {
    if (interrupted()) return false;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return true;
    // poll() ignores a negative descriptor. An hour at a time, so that the int never overflows.
    pollfd wait{interrupt_descriptor(), POLLIN, 0};
    static_cast<void>(::poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000))));
  }
}

Uninterrupted::Uninterrupted() {
  ++shields;
}

Uninterrupted::~Uninterrupted() {
  --shields;
}

}  // namespace countersign::acme
