// Who a request comes from, behind proxies that we trust or do not, and what may be said of that address.
#pragma once

#include <string>
#include <vector>

#include "base/address_range.hpp"
#include "base/socket_address.hpp"
#include "dnsd/api/http_message.hpp"

namespace countersign::dnsd {

// The peer; when it is a trusted proxy, the rightmost X-Forwarded-For address that is none. What stands to the left of
// that was written by whoever it pleased. AF_UNSPEC when something that is no address comes first: not the proxy's own,
// whose network may be one that is trusted.
[[nodiscard]] base::SocketAddress client_address(const HttpRequest& request,
                                                 const std::vector<base::AddressRange>& trusted_proxies);

// Whom limits per address count as one: an IPv4 address, or an IPv6 /64, which is what one subscriber gets; all without
// an address are one.
[[nodiscard]] std::string address_key(const base::SocketAddress& client);

// Without an address it is among none.
[[nodiscard]] bool is_among(const base::SocketAddress& client, const std::vector<base::AddressRange>& ranges);
// `cidrs`: of a registration; none = anybody. One that cannot be parsed any more matches nobody.
[[nodiscard]] bool is_allowed(const base::SocketAddress& client, const std::vector<std::string>& cidrs);

}  // namespace countersign::dnsd
