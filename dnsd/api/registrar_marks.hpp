// Brings the marks of use from the registry to the store, some at a time.
// Thread: those of one executor.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <vector>

#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"
#include "zones/registry.hpp"

namespace countersign::dnsd {

class UseMarks {
 public:
  static constexpr std::size_t kAtOnce = 500;  // a commit that updates may have to wait for

  // All are kept by reference; this outlives tell().
  UseMarks(asio::any_io_executor executor, zones::Registry& registry, zones::Publisher& publisher)
      : executor_(std::move(executor)), registry_(registry), publisher_(publisher) {}

  // All marks that there are, one slice after the other. What the store refuses is told the next time.
  [[nodiscard]] asio::awaitable<void> tell();
  // The end: submits all that the store has not acknowledged, without waiting for it. The publisher finishes what was
  // submitted before it ends.
  void flush();

 private:
  // Its last `count`.
  [[nodiscard]] zones::RegistrationChange slice(std::size_t count) const;

  asio::any_io_executor executor_;
  zones::Registry& registry_;
  zones::Publisher& publisher_;
  std::vector<zones::UsedMark> untold_;  // taken from the registry, not acknowledged
  bool telling_ = false;
};

}  // namespace countersign::dnsd
