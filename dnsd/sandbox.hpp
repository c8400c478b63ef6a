// What the running daemon can ask of the kernel, should a packet ever take it over: no program to run, no socket to
// open, no file to write outside of its own folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace countersign::dnsd {

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
