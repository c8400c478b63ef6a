#include "acme/renew/pause.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "acme/transport/interrupt.hpp"

namespace countersign::acme {
namespace {

constexpr std::chrono::milliseconds kSlice{30'000};

}  // namespace

Fingerprint::Fingerprint(const std::vector<std::filesystem::path>& paths) {
  for (const std::filesystem::path& path : paths) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0) {
      stamps_.emplace_back("absent");
      continue;
    }
    // Not the folder's own size or its files': a file that is replaced there changes its time.
    stamps_.push_back(fmt::format("{} {} {}.{:09} {}", found.st_dev, found.st_ino, found.st_mtim.tv_sec,
                                  found.st_mtim.tv_nsec, found.st_size));
  }
}

Woken pause_until(base::WallTime until, const std::vector<std::filesystem::path>& paths, const Fingerprint& before) {
  for (;;) {
    if (interrupted()) return Woken::Interrupted;
    if (Fingerprint(paths) != before) return Woken::Change;
    auto left = until - base::SystemClock().wall();
    if (left.count() <= 0) return Woken::Time;
    sleep_unless_interrupted(std::min<std::chrono::milliseconds>(left, kSlice));
  }
}

}  // namespace countersign::acme
