// The daemon's figures for Prometheus: text format 0.0.4 (API.md lists them).
// Thread: the control thread.
#pragma once

#include <string>
#include <string_view>

#include "dnsd/api/documents.hpp"
#include "zones/publisher.hpp"

namespace countersign::dnsd {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// `store` may be null: it is busy, and what the other threads count is told all the same.
[[nodiscard]] std::string metrics_document(const DaemonFacts& facts, const zones::StoreSnapshot* store);

}  // namespace countersign::dnsd
