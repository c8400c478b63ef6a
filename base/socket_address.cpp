#include "base/socket_address.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>

namespace countersign::base {
namespace {

// C's socket API is typed by casts; these two are the only ones.
sockaddr_in& v4(sockaddr_storage& storage) {
  return reinterpret_cast<sockaddr_in&>(storage);
}
sockaddr_in6& v6(sockaddr_storage& storage) {
  return reinterpret_cast<sockaddr_in6&>(storage);
}
const sockaddr_in& v4(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in&>(storage);
}
const sockaddr_in6& v6(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in6&>(storage);
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(std::string_view text, std::uint16_t default_port) {
  auto wrong = [&] {
    return fail(ErrorCode::Invalid, "\"{}\" is not an address{}; write 192.0.2.1:53 or [2001:db8::1]:53", text,
                default_port == 0 ? " with a port" : "");
  };
  std::string_view host = text;
  std::string_view port_text;
  bool has_port = false;
  if (text.starts_with('[')) {
    std::size_t close = text.find(']');
    if (close == std::string_view::npos) return wrong();
    host = text.substr(1, close - 1);
    std::string_view rest = text.substr(close + 1);
    if (!rest.empty()) {
      if (rest[0] != ':') return wrong();
      has_port = true;
      port_text = rest.substr(1);
    }
  } else if (std::size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    has_port = true;
  }
  unsigned port = default_port;
  if (has_port) {
    auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    if (error != std::errc{} || end != port_text.data() + port_text.size() || port > 65535) return wrong();
  } else if (default_port == 0) {
    return wrong();
  }
  SocketAddress address;
  std::string host_text(host);
  if (inet_pton(AF_INET, host_text.c_str(), &v4(address.storage_).sin_addr) == 1 && !text.starts_with('[')) {
    address.storage_.ss_family = AF_INET;
  } else if (inet_pton(AF_INET6, host_text.c_str(), &v6(address.storage_).sin6_addr) == 1) {
    address.storage_.ss_family = AF_INET6;
  } else {
    return wrong();
  }
  address.set_port(static_cast<std::uint16_t>(port));
  return address;
}

Bytes ip_octets(const sockaddr& address) {
  if (address.sa_family != AF_INET6)
    return std::as_bytes(std::span(&reinterpret_cast<const sockaddr_in&>(address).sin_addr, 1));
  const in6_addr& v6_address = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  Bytes octets = std::as_bytes(std::span(v6_address.s6_addr));
  return IN6_IS_ADDR_V4MAPPED(&v6_address) ? octets.subspan(12) : octets;
}

SocketAddress SocketAddress::from(const sockaddr* address, socklen_t length) {
  SocketAddress result;
  std::memcpy(&result.storage_, address, std::min<std::size_t>(length, sizeof(result.storage_)));
  return result;
}

SocketAddress SocketAddress::unmapped() const {
  if (family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6(storage_).sin6_addr)) return *this;
  Bytes octets = ip_octets(*data());
  SocketAddress plain;
  plain.storage_.ss_family = AF_INET;
  std::memcpy(&v4(plain.storage_).sin_addr, octets.data(), octets.size());
  plain.set_port(port());
  return plain;
}

std::string SocketAddress::address_text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const void* source = nullptr;
  if (family() == AF_INET)
    source = &v4(storage_).sin_addr;
  else if (family() == AF_INET6)
    source = &v6(storage_).sin6_addr;
  else
    return "unspecified";
  return inet_ntop(family(), source, buffer.data(), static_cast<socklen_t>(buffer.size()));
}

std::string SocketAddress::text() const {
  if (family() == AF_INET6) return fmt::format("[{}]:{}", address_text(), port());
  return fmt::format("{}:{}", address_text(), port());
}

std::uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(v4(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(v6(storage_).sin6_port);
  return 0;
}

void SocketAddress::set_port(std::uint16_t port) {
  if (family() == AF_INET) v4(storage_).sin_port = htons(port);
  if (family() == AF_INET6) v6(storage_).sin6_port = htons(port);
}

bool SocketAddress::is_wildcard() const {
  if (family() == AF_INET) return v4(storage_).sin_addr.s_addr == htonl(INADDR_ANY);
  if (family() == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&v6(storage_).sin6_addr);
  return false;
}

bool SocketAddress::is_loopback() const {
  if (family() == AF_INET) return (ntohl(v4(storage_).sin_addr.s_addr) >> 24U) == 127;
  if (family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&v6(storage_).sin6_addr);
  return false;
}

socklen_t SocketAddress::size() const {
  if (family() == AF_INET) return sizeof(sockaddr_in);
  if (family() == AF_INET6) return sizeof(sockaddr_in6);
  return sizeof(sockaddr_storage);
}

}  // namespace countersign::base
