// STATE/acme/failures.json: which names failed at which CA, so that the CA's limits are not spent on what fails again.
// Thread: any. Several processes may use one file: each change reads, changes and replaces it under a lock.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class FailureMemory {
 public:
  // `acme_directory`: STATE/acme. A file that cannot be read or is broken is like none (with a warning in the log): it
  // must never stand in the way of an issuance.
  explicit FailureMemory(std::filesystem::path acme_directory);

  struct Hold {
    base::WallTime until;     // not before then
    std::string name;         // the one of `names` that has to wait longest
    std::string reason;       // what failed, in one line
    unsigned failures = 0;    // in a row
    bool said_by_ca = false;  // the CA itself named the time (429 with Retry-After)
  };
  // Which holds are looked for: a person who insists need not wait for what is only our own caution.
  enum class HoldKind { Any, SaidByCa };
  // Absent: nothing stands against an attempt at `now`.
  [[nodiscard]] std::optional<Hold> hold(const std::string& directory_url, const std::vector<std::string>& names,
                                         base::WallTime now, HoldKind kind = HoldKind::Any) const;
  // The CA could not validate `name`, or refused it: wait 1 min, 10 min, 100 min, then a day (with up to a tenth more,
  // drawn), and until the CA's own time when that is later. Beyond 8 MiB the oldest failures are forgotten.
  [[nodiscard]] base::Result<void> failed(const std::string& directory_url, const std::vector<std::string>& names,
                                          const std::string& reason, base::WallTime now,
                                          std::optional<base::WallTime> said_by_ca);
  // They are forgotten.
  [[nodiscard]] base::Result<void> succeeded(const std::string& directory_url, const std::vector<std::string>& names);

 private:
  std::filesystem::path acme_directory_;
};

}  // namespace countersign::acme
