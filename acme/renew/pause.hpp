// The sleep between two rounds of `renew --watch`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace countersign::acme {

// Which files and folders these are now: changes when one is replaced, written or removed.
class Fingerprint {
 public:
  explicit Fingerprint(const std::vector<std::filesystem::path>& paths);
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

 private:
  std::vector<std::string> stamps_;
};

enum class Woken { Time, Change, Interrupted };

// Until the wall clock says `until`, or one of `paths` is another than `before`. Looked at every half minute, so that a
// clock that is set, or a machine that slept, is noticed.
[[nodiscard]] Woken pause_until(base::WallTime until, const std::vector<std::filesystem::path>& paths,
                                const Fingerprint& before);

}  // namespace countersign::acme
