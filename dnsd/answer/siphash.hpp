// SipHash-2-4 with 64 bits of result (Aumasson, Bernstein 2012), as server cookies need it (RFC 9018 §4.4).
// OpenSSL has it only behind EVP_MAC, which allocates and locks: no way for each packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace countersign::dnsd {

[[nodiscard]] std::uint64_t siphash(std::span<const std::byte, 16> key, std::span<const std::byte> message);

}  // namespace countersign::dnsd
