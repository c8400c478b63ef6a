// An IPv4 or IPv6 address with a port, as text and as the kernel's struct.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/wire.hpp"

namespace countersign::base {

// The IP address alone, 4 or 16 octets within `address`; an IPv4 client of an IPv6 socket (RFC 4291 §2.5.5.2) is the
// IPv4 client that it is. `address` is AF_INET or AF_INET6.
[[nodiscard]] Bytes ip_octets(const sockaddr& address);

class SocketAddress {
 public:
  SocketAddress() = default;  // AF_UNSPEC

  // "192.0.2.1:53", "[2001:db8::1]:53"; without a port where `default_port` is not 0 ("2001:db8::1" is fine then too).
  // No host names. Error: Invalid.
  [[nodiscard]] static Result<SocketAddress> parse(std::string_view text, std::uint16_t default_port = 0);
  [[nodiscard]] static SocketAddress from(const sockaddr* address, socklen_t length);

  // An IPv4 client that an IPv6 socket met (RFC 4291 §2.5.5.2) as the IPv4 client that it is; any other as it is.
  [[nodiscard]] SocketAddress unmapped() const;

  [[nodiscard]] std::string text() const;          // with port
  [[nodiscard]] std::string address_text() const;  // without
  [[nodiscard]] std::uint16_t port() const;
  void set_port(std::uint16_t port);
  [[nodiscard]] int family() const { return storage_.ss_family; }
  [[nodiscard]] bool is_wildcard() const;  // 0.0.0.0 or ::
  [[nodiscard]] bool is_loopback() const;

  [[nodiscard]] const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] sockaddr* data() { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t size() const;  // of the family's struct; of the whole storage when unspecified

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) { return a.text() == b.text(); }

 private:
  sockaddr_storage storage_{};
};

}  // namespace countersign::base
