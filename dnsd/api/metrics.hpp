// The daemon's figures for Prometheus: text format 0.0.4 (API.md lists them).
// Thread: the control thread.
#pragma once

#include <string>
#include <string_view>

#include "dnsd/api/documents.hpp"
#include "dnsd/api/store_view.hpp"

namespace countersign::dnsd {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

[[nodiscard]] std::string metrics_document(const DaemonFacts& facts, const StoreReport& store);

}  // namespace countersign::dnsd
