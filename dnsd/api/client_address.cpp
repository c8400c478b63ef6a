#include "dnsd/api/client_address.hpp"

#include <algorithm>
#include <optional>

namespace countersign::dnsd {
namespace {

bool has_address(const base::SocketAddress& client) {
  return client.family() == AF_INET || client.family() == AF_INET6;
}

std::string_view trimmed(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "192.0.2.1", "192.0.2.1:443", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443".
std::optional<base::SocketAddress> parse_forwarded(std::string_view text) {
  constexpr std::size_t kLongest = 60;  // "[" 45 "]:65535", and some room
  constexpr std::uint16_t kNoPort = 1;  // any but 0, which means that there must be one
  if (text.size() > kLongest || text.find('\0') != std::string_view::npos) return std::nullopt;
  auto address = base::SocketAddress::parse(text, kNoPort);
  if (!address) return std::nullopt;
  return address->unmapped();
}

}  // namespace

base::SocketAddress client_address(const HttpRequest& request, const std::vector<base::AddressRange>& trusted_proxies) {
  base::SocketAddress client = request.peer.unmapped();
  if (trusted_proxies.empty() || !is_among(client, trusted_proxies)) return client;
  // Several lines of one field are one list, in their order (RFC 9110 §5.3).
  for (auto field = request.fields.rbegin(); field != request.fields.rend(); ++field) {
    if (field->first != "x-forwarded-for") continue;
    std::string_view list = field->second;
    bool more = true;
    while (more) {
      std::size_t comma = list.rfind(',');
      more = comma != std::string_view::npos;
      std::string_view entry = trimmed(more ? list.substr(comma + 1) : list);
      if (more) list = list.substr(0, comma);
      if (entry.empty()) continue;  // RFC 9110 §5.6.1.2
      auto address = parse_forwarded(entry);
      if (!address) return {};
      client = *address;
      if (!is_among(client, trusted_proxies)) return client;
    }
  }
  return client;
}

std::string address_key(const base::SocketAddress& client) {
  if (!has_address(client)) return {};
  base::Bytes octets = base::ip_octets(*client.data());
  return std::string(base::as_text(octets.first(octets.size() == 4 ? 4 : 8)));
}

bool is_among(const base::SocketAddress& client, const std::vector<base::AddressRange>& ranges) {
  if (!has_address(client)) return false;
  base::Bytes octets = base::ip_octets(*client.data());
  return std::any_of(ranges.begin(), ranges.end(), [&](const base::AddressRange& r) { return r.contains(octets); });
}

bool is_allowed(const base::SocketAddress& client, const std::vector<std::string>& cidrs) {
  if (cidrs.empty()) return true;
  if (!has_address(client)) return false;
  base::Bytes octets = base::ip_octets(*client.data());
  return std::any_of(cidrs.begin(), cidrs.end(), [&](const std::string& cidr) {
    auto range = base::AddressRange::parse(cidr);
    return range && range->contains(octets);
  });
}

}  // namespace countersign::dnsd
