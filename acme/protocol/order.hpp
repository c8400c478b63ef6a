// The order resource (RFC 8555 §7.1.3, §7.4).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "acme/protocol/problem.hpp"
#include "acme/protocol/session.hpp"
#include "base/result.hpp"

namespace countersign::acme {

enum class OrderStatus { Pending, Ready, Processing, Valid, Invalid };

struct Order {
  std::string url;
  OrderStatus status = OrderStatus::Pending;
  std::vector<std::string> identifiers;     // in the CA's order
  std::vector<std::string> authorizations;  // URLs; neither their order nor their number need match
  std::string finalize;
  std::string certificate;  // "" unless valid
  std::optional<Problem> error;
  std::optional<std::chrono::milliseconds> retry_after;  // of the answer that this was read from
};

// Errors of all: Protocol (names member and URL), and what post() says.

// `names`: A-labels, perhaps with `*.`. The order may already be ready or valid (reused by the CA).
[[nodiscard]] base::Result<Order> new_order(Session& session, const std::vector<std::string>& names);
[[nodiscard]] base::Result<Order> fetch_order(Session& session, const std::string& url);
// `csr`: DER. Only for a ready order.
[[nodiscard]] base::Result<Order> finalize_order(Session& session, const Order& order, const std::string& csr);
// The default chain, PEM.
[[nodiscard]] base::Result<std::string> fetch_certificate(Session& session, const Order& order);

}  // namespace countersign::acme
