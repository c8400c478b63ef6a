#include "dnsd/api/control_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/files.hpp"

namespace countersign::dnsd {
namespace {

namespace fs = std::filesystem;
using base::Descriptor;
using base::ErrorCode;
using base::Result;

constexpr int kBacklog = 1024;

tl::unexpected<base::Error> failure(const fs::path& path, int number) {
  return base::fail(base::system_code(number),
                    "cannot listen on the control socket \"{}\": {}; start as root or set control_socket",
                    path.string(), base::system_reason(number));
}

Descriptor open_socket() {
  return Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Who listens there, if anybody: " (pid 123)".
std::string listener_of(const Descriptor& probe) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {};
  return fmt::format(" (pid {})", peer.pid);
}

// Removes a socket that is left over; a file that is none, or a socket that somebody listens on, stays.
Result<void> clear_path(const fs::path& path, const sockaddr_un& address) {
  struct stat existing{};
  if (lstat(path.c_str(), &existing) != 0) return {};
  if (!S_ISSOCK(existing.st_mode))
    return base::fail(ErrorCode::Exists, "\"{}\" is not a socket; move it away or set control_socket", path.string());
  Descriptor probe = open_socket();
  if (!probe) return failure(path, errno);
  int connected = connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  // EAGAIN: a listener whose backlog is full.
  if (connected == 0 || errno == EAGAIN)
    return base::fail(ErrorCode::Exists,
                      "another countersignd{} listens on the control socket \"{}\"; stop it or set control_socket",
                      connected == 0 ? listener_of(probe) : "", path.string());
  if (errno != ECONNREFUSED) return failure(path, errno);
  if (unlink(path.c_str()) != 0) return failure(path, errno);
  return {};
}

Result<void> prepare_folder(const fs::path& path) {
  if (!path.has_parent_path()) return {};
  mode_t before = umask(022);
  auto made = base::make_directories(path.parent_path(), 0755);
  umask(before);
  return made;
}

}  // namespace

Result<Descriptor> bind_control_socket(const fs::path& path, std::optional<gid_t> group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path)
    return base::fail(ErrorCode::Invalid, "control_socket \"{}\" is longer than {} octets; choose a shorter path",
                      path.string(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  if (auto folder = prepare_folder(path); !folder) return base::fail(folder.error());
  if (auto cleared = clear_path(path, address); !cleared) return base::fail(cleared.error());
  Descriptor socket = open_socket();
  if (!socket) return failure(path, errno);
  // Born 0660 in root's own group; chmod by name would follow a link that somebody puts in its place.
  mode_t before = umask(0117);
  int bound = bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int number = errno;
  umask(before);
  if (bound != 0) return failure(path, number);
  if ((group && lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) || listen(socket.get(), kBacklog) != 0) {
    number = errno;
    unlink(path.c_str());
    return failure(path, number);
  }
  return socket;
}

fs::path socket_path(const Descriptor& socket) {
  sockaddr_un address{};
  // One octet stays 0: the kernel writes no end mark after a path of full length.
  socklen_t length = sizeof address - 1;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sun_family != AF_UNIX)
    return {};
  return static_cast<const char*>(address.sun_path);
}

}  // namespace countersign::dnsd
