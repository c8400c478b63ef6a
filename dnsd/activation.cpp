#include "dnsd/activation.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/files.hpp"
#include "base/log.hpp"

namespace countersign::dnsd {
namespace {

using base::Descriptor;
using base::ErrorCode;
using base::Result;

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
// Every listen address several times over; more is a mistake, and each number is tried as a descriptor.
constexpr int kMaxSockets = 1024;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::optional<int> parse_number(const std::string& text) {
  int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  for (;;) {
    std::size_t colon = text.find(':');
    names.emplace_back(text.substr(0, colon));
    if (colon == std::string_view::npos) return names;
    text.remove_prefix(colon + 1);
  }
}

std::optional<int> option(const Descriptor& socket, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(socket.get(), SOL_SOCKET, name, &value, &length) != 0) return std::nullopt;
  return value;
}

bool prepare(const Descriptor& socket) {
  int flags = fcntl(socket.get(), F_GETFL);
  return flags >= 0 && fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) == 0 &&
         fcntl(socket.get(), F_SETFD, FD_CLOEXEC) == 0;
}

bool is_bound(const Descriptor& socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0) return false;
  if (storage.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in*>(&storage)->sin_port != 0;
  if (storage.ss_family == AF_INET6) return reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port != 0;
  return true;
}

// Where `socket` belongs in `all`; null with the reason in `reason` when it belongs nowhere.
Descriptor* place_of(const Descriptor& socket, ActivatedSockets& all, std::string& reason) {
  auto domain = option(socket, SO_DOMAIN), type = option(socket, SO_TYPE), listening = option(socket, SO_ACCEPTCONN);
  if (!domain || !type || !listening) {
    reason = "is no socket";
    return nullptr;
  }
  bool internet = *domain == AF_INET || *domain == AF_INET6;
  if (internet && *type == SOCK_DGRAM && option(socket, SO_PROTOCOL) == IPPROTO_UDP) {
    if (is_bound(socket)) return &all.udp.emplace_back();
    reason = "is a UDP socket without an address";
  } else if (internet && *type == SOCK_STREAM && option(socket, SO_PROTOCOL) == IPPROTO_TCP) {
    if (*listening != 0) return &all.tcp.emplace_back();
    reason = "is a TCP socket that does not listen (set Accept=no)";
  } else if (*domain == AF_UNIX && *type == SOCK_STREAM) {
    if (*listening != 0 && !all.control) return &all.control;
    reason = *listening == 0 ? "is a Unix socket that does not listen (set Accept=no)" : "is a second control socket";
  } else {
    reason = "is another kind of socket";
  }
  return nullptr;
}

}  // namespace

Result<ActivatedSockets> sort_sockets(std::vector<Descriptor> sockets, const std::vector<std::string>& names) {
  ActivatedSockets all;
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    std::string reason;
    Descriptor* place = place_of(sockets[i], all, reason);
    if (place != nullptr && !prepare(sockets[i])) reason = base::system_reason(errno);
    if (place == nullptr || !reason.empty())
      return base::fail(ErrorCode::Invalid,
                        "descriptor {}{} that the service manager handed over {}; hand over UDP sockets, TCP sockets "
                        "that listen, and at most one listening Unix stream socket for control",
                        sockets[i].get(), i < names.size() ? fmt::format(" (\"{}\")", names[i]) : "", reason);
    *place = std::move(sockets[i]);
  }
  return all;
}

Result<ActivatedSockets> take_activated_sockets() {
  std::string pid = variable("LISTEN_PID"), count = variable("LISTEN_FDS"), names = variable("LISTEN_FDNAMES");
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  if (count.empty() || pid.empty()) return ActivatedSockets();
  auto owner = parse_number(pid), number = parse_number(count);
  if (!owner || !number || *number < 0 || *number > kMaxSockets)
    return base::fail(ErrorCode::Invalid,
                      "cannot take the service manager's sockets: LISTEN_PID is \"{}\" and LISTEN_FDS \"{}\"; unset "
                      "them, or set them as sd_listen_fds(3) says",
                      pid, count);
  // They are another process's, as when it passed its environment on.
  if (*owner != getpid()) return ActivatedSockets();
  std::vector<Descriptor> sockets;
  for (int fd = kFirst; fd < kFirst + *number; ++fd) {
    if (fcntl(fd, F_GETFD) < 0)
      return base::fail(ErrorCode::Invalid, "LISTEN_FDS is {}, but descriptor {} is not open; check what starts this",
                        *number, fd);
    sockets.emplace_back(fd);
  }
  return sort_sockets(std::move(sockets), names.empty() ? std::vector<std::string>() : split_names(names));
}

}  // namespace countersign::dnsd
