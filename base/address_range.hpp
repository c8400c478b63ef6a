// A range of IP addresses, as CIDR writes it (RFC 4632 §3.1, RFC 4291 §2.3).
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/wire.hpp"

namespace countersign::base {

class AddressRange {
 public:
  // "192.0.2.0/24", "2001:db8::/32", as Go's net.ParseCIDR takes them (acme-dns' clients rely on it): bits of the host
  // may be set; the length is needed, and may have leading zeros; "::ffff:192.0.2.0/120" is an IPv4 range. No zone
  // identifiers, no blanks, no octets with leading zeros. Error: Invalid.
  [[nodiscard]] static Result<AddressRange> parse(std::string_view text);
  // The same, and a lone address, which is a range of one. For configurations. Error: Invalid.
  [[nodiscard]] static Result<AddressRange> parse_or_address(std::string_view text);

  // `address`: 4 or 16 octets, as ip_octets() gives them. An IPv4 address is in no IPv6 range ("::/0" neither).
  [[nodiscard]] bool contains(Bytes address) const;
  // "192.0.2.0/24": host bits cleared, shortest spelling.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const AddressRange&, const AddressRange&) = default;

 private:
  AddressRange() = default;
  std::array<std::byte, 16> prefix_{};  // the first 4 octets for IPv4; bits behind the length are 0
  std::uint8_t octets_ = 4;             // 4 or 16
  std::uint8_t length_ = 0;             // bits
};

}  // namespace countersign::base
