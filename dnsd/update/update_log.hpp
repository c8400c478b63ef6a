// What is logged of dynamic updates.
// Thread: the control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "dnsd/update/tsig.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

// Why a message was refused, in words.
[[nodiscard]] std::string_view describe(TsigVerdict verdict);

void log_change(const zones::TxtChange& change, const std::string& from);

// Anybody can send what is refused: these lines must not fill a disk.
class Complaints {
 public:
  // `clock` is kept by reference.
  explicit Complaints(const base::Clock& clock) : clock_(clock) {}

  // `key`: empty when there is none.
  void say(std::string_view event, const std::string& from, std::string_view key, std::string_view reason);
  // One that is only counted: the next line tells.
  void swallow() { ++unsaid_; }

 private:
  const base::Clock& clock_;
  std::optional<base::ElapsedTime> begun_;
  unsigned said_ = 0;  // since then
  std::uint64_t unsaid_ = 0;
};

}  // namespace countersign::dnsd
