// Ctrl-C, SIGTERM and SIGHUP as a flag that every wait of the client looks at.
// Thread: any. Handlers are installed once, by main.
#pragma once

#include <chrono>

namespace countersign::acme {

// The first signal sets the flag; one that comes a second later or more ends the process at once. SIGHUP is left alone
// where it was inherited as ignored.
void install_interrupt_handlers();
// False on a thread that has an Uninterrupted.
[[nodiscard]] bool interrupted();
// Did a signal come, whoever asks? For a thread that works for others.
[[nodiscard]] bool signalled();
// Has the calling thread an Uninterrupted?
[[nodiscard]] bool is_shielded();
// A descriptor to put into a poll set: readable once a signal came. -1 when there is nothing to look at (no handlers
// installed, or the calling thread has an Uninterrupted).
[[nodiscard]] int interrupt_descriptor();

// Sleeps `duration`, or less when interrupted; true when the whole time passed.
bool sleep_unless_interrupted(std::chrono::milliseconds duration);

// While one lives the flag does not count for the thread that made it: cleaning up after an interruption must be able
// to talk to the daemon. The other threads go on being interrupted. Destroyed by the thread that made it.
class Uninterrupted {
 public:
  Uninterrupted();
  ~Uninterrupted();
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;
};

}  // namespace countersign::acme
