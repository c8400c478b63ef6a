#include <sstream>

#include "acme/check/delegation.hpp"
#include "base/files.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::SocketAddress;

constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr std::uint16_t kDnsPort = 53;
constexpr std::size_t kMaxResolvers = 3;  // as glibc's MAXNS: what stands behind was never asked by anybody

}  // namespace

std::vector<SocketAddress> parse_resolv_conf(std::string_view text) {
  std::vector<SocketAddress> addresses;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line) && addresses.size() < kMaxResolvers;) {
    std::istringstream words(line);
    std::string keyword;
    std::string value;
    if (!(words >> keyword >> value) || keyword != "nameserver") continue;
    // Always a bare address here; brackets keep an IPv6 one from being read as address and port.
    auto address = SocketAddress::parse(value.find(':') == std::string::npos ? value : "[" + value + "]", kDnsPort);
    if (address) addresses.push_back(*address);
  }
  if (addresses.empty()) {
    if (auto loopback = SocketAddress::parse("127.0.0.1", kDnsPort)) addresses.push_back(*loopback);
  }
  return addresses;
}

Result<std::vector<SocketAddress>> resolver_addresses(const std::string& configured) {
  if (!configured.empty()) {
    auto address = SocketAddress::parse(configured, kDnsPort);
    if (!address) return fail(ErrorCode::Invalid, "acme.resolver: {}", address.error().message);
    return std::vector<SocketAddress>{*address};
  }
  auto text = base::read_file(kResolvConf, 1U << 16U);
  if (!text && text.error().code == ErrorCode::NotFound) return parse_resolv_conf("");
  if (!text)
    return fail(text.error().code, "cannot find out this machine's resolver: {}; set acme.resolver",
                text.error().message);
  return parse_resolv_conf(*text);
}

}  // namespace countersign::acme
