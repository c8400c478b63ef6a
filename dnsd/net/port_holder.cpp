#include "dnsd/net/port_holder.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <set>
#include <sstream>

#include "base/files.hpp"

namespace countersign::dnsd {
namespace {

namespace fs = std::filesystem;

// Linux, net/tcp_states.h: other states of a connection do not keep a listener away.
constexpr std::string_view kListening = "0A";

// "0100007F:0035" or 32 digits and a port, as /proc/net has them: each 32-bit word in the machine's order.
std::optional<base::SocketAddress> parse_local(std::string_view text, int family) {
  std::size_t words = family == AF_INET ? 1 : 4;
  if (text.size() != words * 8 + 5 || text[words * 8] != ':') return std::nullopt;
  std::array<std::uint32_t, 4> address{};
  for (std::size_t i = 0; i < words; ++i) {
    auto [end, error] = std::from_chars(text.data() + i * 8, text.data() + (i + 1) * 8, address[i], 16);
    if (error != std::errc{} || end != text.data() + (i + 1) * 8) return std::nullopt;
  }
  std::uint16_t port = 0;
  std::from_chars(text.data() + words * 8 + 1, text.data() + text.size(), port, 16);
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.data(), sizeof v4.sin_addr);
    return base::SocketAddress::from(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.data(), sizeof v6.sin6_addr);
  return base::SocketAddress::from(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

bool overlaps(const base::SocketAddress& held, const base::SocketAddress& wanted) {
  if (held.port() != wanted.port()) return false;
  // A socket on [::] may hold IPv4 as well.
  if (held.family() != wanted.family()) return held.family() == AF_INET6 && held.is_wildcard();
  return held == wanted || held.is_wildcard() || wanted.is_wildcard();
}

void collect_inodes(const char* table, int family, const base::SocketAddress& wanted, Transport transport,
                    std::set<std::string>& inodes) {
  auto text = base::read_file(table);
  if (!text) return;
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);  // the headings
  while (std::getline(lines, line)) {
    // sl local rem st tx:rx tr:when retrnsmt uid timeout inode
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, user, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >> inode;
    if (transport == Transport::Tcp && state != kListening) continue;
    auto held = parse_local(local, family);
    if (held && overlaps(*held, wanted)) inodes.insert("socket:[" + inode + "]");
  }
}

bool has_one_of(const fs::path& process, const std::set<std::string>& inodes) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(process / "fd", ignored)) {
    std::error_code gone;
    fs::path target = fs::read_symlink(entry.path(), gone);
    if (!gone && inodes.contains(target.string())) return true;
  }
  return false;
}

}  // namespace

std::optional<PortHolder> find_port_holder(const base::SocketAddress& address, Transport transport) {
  std::set<std::string> inodes;
  bool udp = transport == Transport::Udp;
  collect_inodes(udp ? "/proc/net/udp" : "/proc/net/tcp", AF_INET, address, transport, inodes);
  collect_inodes(udp ? "/proc/net/udp6" : "/proc/net/tcp6", AF_INET6, address, transport, inodes);
  if (inodes.empty()) return std::nullopt;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    std::string name = entry.path().filename().string();
    pid_t pid = 0;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc{} || end != name.data() + name.size() || !has_one_of(entry.path(), inodes)) continue;
    auto program = base::read_file(entry.path() / "comm");
    if (program && program->ends_with('\n')) program->pop_back();
    return PortHolder{pid, program.value_or("?")};
  }
  return std::nullopt;
}

}  // namespace countersign::dnsd
