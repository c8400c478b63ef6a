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

// What newOrder asks for (RFC 8555 §7.4).
struct NewOrder {
  std::vector<std::string> names = {};          // A-labels, perhaps with `*.`
  std::string profile = {};                     // draft-ietf-acme-profiles; "" = the CA's default
  std::string not_before = {}, not_after = {};  // RFC 3339; "" = not asked for
  std::string replaces = {};                    // the predecessor's ari_id() (RFC 9773 §5); "" = none
};

struct Order {
  std::string url;
  OrderStatus status = OrderStatus::Pending;
  std::vector<std::string> identifiers;     // in the CA's order
  std::vector<std::string> authorizations;  // URLs; neither their order nor their number need match
  std::string finalize;
  std::string certificate;  // "" unless valid
  std::string profile;      // as the CA took it; "" = it said none
  std::string replaces;     // "" = the CA took none
  std::string expires;      // RFC 3339; "" = not said
  std::optional<Problem> error;
  std::optional<std::chrono::milliseconds> retry_after;  // of the answer that this was read from
};

// Errors of all: Protocol (names member and URL), and what post() says. `problem`: where the CA's own words go when it
// says no; untouched otherwise.

// The order may already be ready or valid (reused by the CA).
[[nodiscard]] base::Result<Order> new_order(Session& session, const NewOrder& wanted, Problem* problem = nullptr);
[[nodiscard]] base::Result<Order> fetch_order(Session& session, const std::string& url, Problem* problem = nullptr);
// `csr`: DER. Only for a ready order.
[[nodiscard]] base::Result<Order> finalize_order(Session& session, const Order& order, const std::string& csr,
                                                 Problem* problem = nullptr);

struct Download {
  std::string pem;
  std::vector<std::string>
      alternates;  // URLs of other chains for the same leaf (Link rel="alternate", RFC 8555 §7.4.2)
};
// `url`: Order::certificate, or one of the alternates.
[[nodiscard]] base::Result<Download> fetch_certificate(Session& session, const std::string& url);
// At once, in the order of `urls`.
[[nodiscard]] std::vector<base::Result<Download>> fetch_certificates(Session& session,
                                                                     const std::vector<std::string>& urls);

}  // namespace countersign::acme
