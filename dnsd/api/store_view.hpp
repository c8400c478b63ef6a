// What the store tells of itself, asked with patience: while its disk hangs its thread answers nobody, and just that is
// what monitoring has to hear.
// Thread: the control thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "dnsd/net/asio.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

// A constructor because GCC 12.2 destroys an aggregate in a co_await expression twice.
struct StoreReport {
  StoreReport(std::optional<zones::StoreSnapshot> with_snapshot, std::string with_problem)
      : snapshot(std::move(with_snapshot)), problem(std::move(with_problem)) {}
  std::optional<zones::StoreSnapshot> snapshot;  // the last one when there is a problem; absent: there never was one
  std::string problem;                           // why there is no newer one; "" = it is of now
};

class StoreView {
 public:
  // Longer than a commit of a slow disk, shorter than the 10 s that Prometheus waits.
  static constexpr std::chrono::milliseconds kPatience{1500};

  // Asks once, so that there is a last snapshot later. The publisher outlives this, `executor` the publisher.
  StoreView(asio::any_io_executor executor, zones::Publisher& publisher, std::chrono::milliseconds patience);
  StoreView(const StoreView&) = delete;
  StoreView& operator=(const StoreView&) = delete;

  [[nodiscard]] asio::awaitable<StoreReport> ask();

 private:
  struct Memory;
  struct Question;
  [[nodiscard]] std::shared_ptr<Question> put();
  [[nodiscard]] StoreReport without(std::string problem) const;

  asio::any_io_executor executor_;
  zones::Publisher& publisher_;
  std::chrono::milliseconds patience_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace countersign::dnsd
