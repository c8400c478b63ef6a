#include "base/address_range.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/text.hpp"

namespace countersign::base {
namespace {

constexpr std::size_t kShownLength = 64;  // of a text that is none: the longest range has 49 characters
constexpr std::array kMappedPrefix{std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                   std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                   std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};

struct Address {
  std::array<std::byte, 16> octets{};
  unsigned bits = 0;  // 32 or 128: of the spelling
};

// The C library's parsers refuse what Go's refuse: octets with leading zeros, zone identifiers, blanks.
std::optional<Address> parse_address(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string terminated(text);
  Address address;
  if (inet_pton(AF_INET, terminated.c_str(), address.octets.data()) == 1)
    address.bits = 32;
  else if (inet_pton(AF_INET6, terminated.c_str(), address.octets.data()) == 1)
    address.bits = 128;
  else
    return std::nullopt;
  return address;
}

std::optional<unsigned> parse_length(std::string_view text, unsigned most) {
  // No sign: from_chars takes none for unsigned.
  unsigned length = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size() || length > most) return std::nullopt;
  return length;
}

// The bits of octet `i` that belong to a prefix of `length` bits.
std::byte mask_of(std::size_t i, unsigned length) {
  const std::size_t before = i * 8;
  if (length >= before + 8) return std::byte{0xff};
  if (length <= before) return std::byte{0};
  return static_cast<std::byte>(0xff00U >> (length - before));
}

}  // namespace

Result<AddressRange> AddressRange::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::optional<Address> address;
  std::optional<unsigned> length;
  if (slash != std::string_view::npos) address = parse_address(text.substr(0, slash));
  if (address) length = parse_length(text.substr(slash + 1), address->bits);
  if (!length)
    return fail(ErrorCode::Invalid,
                "\"{}\" is not a range of addresses; write it as in \"192.0.2.0/24\" or \"2001:db8::/32\"",
                printable(text, kShownLength));

  AddressRange range;
  range.prefix_ = address->octets;
  range.octets_ = static_cast<std::uint8_t>(address->bits / 8);
  range.length_ = static_cast<std::uint8_t>(*length);
  // RFC 4291 §2.5.5.2: within ::ffff:0:0/96 are the IPv4 addresses, and clients come with these.
  if (range.octets_ == 16 && *length >= 96 &&
      std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), range.prefix_.begin())) {
    std::copy_n(range.prefix_.begin() + 12, 4, range.prefix_.begin());
    std::fill(range.prefix_.begin() + 4, range.prefix_.end(), std::byte{0});
    range.octets_ = 4;
    range.length_ = static_cast<std::uint8_t>(*length - 96);
  }
  for (std::size_t i = 0; i < range.prefix_.size(); ++i) range.prefix_[i] &= mask_of(i, range.length_);
  return range;
}

Result<AddressRange> AddressRange::parse_or_address(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return parse(text);
  auto address = parse_address(text);
  if (!address)
    return fail(ErrorCode::Invalid,
                "\"{}\" is neither an address nor a range of them; write it as in \"192.0.2.1\", \"192.0.2.0/24\" or "
                "\"2001:db8::/32\"",
                printable(text, kShownLength));
  return parse(fmt::format("{}/{}", text, address->bits));
}

bool AddressRange::contains(Bytes address) const {
  if (address.size() != octets_) return false;
  for (std::size_t i = 0; i < octets_; ++i)
    if ((address[i] & mask_of(i, length_)) != prefix_[i]) return false;
  return true;
}

std::string AddressRange::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const char* written = inet_ntop(octets_ == 4 ? AF_INET : AF_INET6, prefix_.data(), buffer.data(),
                                  static_cast<socklen_t>(buffer.size()));
  return fmt::format("{}/{}", written, length_);
}

}  // namespace countersign::base
