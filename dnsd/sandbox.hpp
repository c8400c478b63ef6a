// What the running daemon can ask of the kernel, should a packet ever take it over: no program to run, no socket to
// open, no file to write outside of its own folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

// Builds with sanitizers have no sandbox. They watch memory by mapping it anywhere, print by reading /proc and running
// a symbolizer, and stop other threads by ptrace: a filter that lets them would be no filter.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitizedBuild = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitizedBuild = true;
#else
inline constexpr bool kSanitizedBuild = false;
#endif
#else
inline constexpr bool kSanitizedBuild = false;
#endif

struct Writable {
  std::filesystem::path store;           // everything below it
  std::filesystem::path control_folder;  // files in it may be removed: the control socket at the end; "" = none
};

// For this process and its later threads, for ever; needs no-new-privileges. By then everything is bound and opened as
// root, and no thread has started (Landlock is for the calling one and its children). Returns what is in force,
// "seccomp,landlock", or less where the kernel has less: with a warning for seccomp. "" with the sanitizers, which need
// more than the daemon does. Error: Denied, when a part that the kernel has cannot be set up.
[[nodiscard]] base::Result<std::string> enter_sandbox(const Writable& writable);

}  // namespace countersign::dnsd
