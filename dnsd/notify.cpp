#include "dnsd/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/descriptor.hpp"
#include "base/files.hpp"
#include "base/log.hpp"

namespace countersign::dnsd {

void notify_service_manager(std::string_view state) {
  const char* variable = std::getenv("NOTIFY_SOCKET");
  if (variable == nullptr) return;
  std::string_view path = variable;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // A path, or with @ in front a name of Linux' abstract namespace, which begins with a zero octet and has no end mark.
  if ((!path.starts_with('/') && !path.starts_with('@')) || path.size() >= sizeof address.sun_path) {
    base::log::warn("cannot notify the service manager",
                    {{"socket", std::string(path)}, {"reason", "no such address"}});
    return;
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.starts_with('@')) address.sun_path[0] = '\0';
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  base::Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                        reinterpret_cast<const sockaddr*>(&address), length) < 0)
    base::log::warn("cannot notify the service manager",
                    {{"socket", std::string(path)}, {"reason", base::system_reason(errno)}});
}

}  // namespace countersign::dnsd
