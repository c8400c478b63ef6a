#include "acme/issue/evidence.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "acme/issue/steps.hpp"
#include "base/socket_address.hpp"

namespace countersign::acme {
namespace {

// Not more in one line for a person.
constexpr std::size_t kShownCodes = 4;

std::optional<base::SocketAddress> address_of(const std::string& client) {
  auto address = base::SocketAddress::parse(client.find(':') == std::string::npos ? client : "[" + client + "]", 1);
  if (!address) return std::nullopt;
  return *address;
}

// A network that one site's resolvers share: /24, or /64.
std::string place_of(const base::SocketAddress& address) {
  base::Bytes octets = base::ip_octets(*address.data());
  auto octet = [&](std::size_t i) { return std::to_integer<unsigned>(octets[i]); };
  if (octets.size() == 4) return fmt::format("{}.{}.{}.0/24", octet(0), octet(1), octet(2));
  std::string text;
  for (std::size_t i = 0; i < 8; i += 2) text += fmt::format("{:x}:", octet(i) << 8U | octet(i + 1));
  return text + ":/64";
}

// RFC 6890: addresses that mean something else elsewhere.
bool is_private(const base::SocketAddress& address) {
  base::Bytes octets = base::ip_octets(*address.data());
  auto first = std::to_integer<unsigned>(octets[0]);
  auto second = std::to_integer<unsigned>(octets[1]);
  if (octets.size() == 4)
    return first == 10 || first == 127 || (first == 172 && (second & 0xf0U) == 16) || (first == 192 && second == 168) ||
           (first == 169 && second == 254) || (first == 100 && (second & 0xc0U) == 64);
  return address.is_loopback() || (first & 0xfeU) == 0xfc || (first == 0xfe && (second & 0xc0U) == 0x80);
}

void note(std::vector<std::string>& list, std::string text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
}

}  // namespace

Evidence::Evidence(const Attempt& attempt, const NameAttempt& name)
    : watched(attempt.watched && !name.target.is_root() && !name.value.empty()) {
  std::vector<std::string> codes;
  bool any_private = false;
  for (const SeenQuery& query : name.queries) {
    if (query.type != "TXT") continue;
    ++txt;
    bool is_right = query.rcode == "NOERROR" && query.values > 0;
    if (is_right) ++right;
    if (query.rcode == "REFUSED")
      ++refused;
    else if (query.rcode != "NOERROR" && query.rcode != "NXDOMAIN")
      ++failed;
    note(codes, query.rcode == "NOERROR" ? (is_right ? "values" : "no value") : query.rcode);
    auto address = address_of(query.client);
    if (!address) continue;
    any_private = any_private || is_private(*address);
    note(places, place_of(*address));
  }
  public_clients = !places.empty() && !any_private;
  for (std::size_t i = 0; i < codes.size() && i < kShownCodes; ++i) rcodes += (i > 0 ? ", " : "") + codes[i];
}

std::string Evidence::answered_text() const {
  if (right == 0) return "";
  std::string queries = fmt::format("{} {}", right, right == 1 ? "query" : "queries");
  if (places.empty()) return fmt::format("answered correctly ({}), but ", queries);
  return fmt::format("answered correctly ({} from {}), but ", queries, counted(places.size(), "network"));
}

}  // namespace countersign::acme
