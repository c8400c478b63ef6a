// Numbers of the DNS message format (RFC 1035 §4.1.1, RFC 6891).
#pragma once

#include <cstddef>
#include <cstdint>

namespace countersign::dnsd {

inline constexpr std::size_t kHeaderLength = 12;
inline constexpr std::size_t kOptLength = 11;  // without options
inline constexpr std::uint16_t kMinUdpPayload = 512;

namespace rcode {
inline constexpr std::uint16_t kNoError = 0;
inline constexpr std::uint16_t kFormErr = 1;
inline constexpr std::uint16_t kNxDomain = 3;
inline constexpr std::uint16_t kNotImp = 4;
inline constexpr std::uint16_t kRefused = 5;
inline constexpr std::uint16_t kBadVers = 16;
}  // namespace rcode

namespace header {
// Of octets 2 and 3 as one number.
inline constexpr std::uint16_t kQr = 0x8000;
inline constexpr std::uint16_t kAa = 0x0400;
inline constexpr std::uint16_t kTc = 0x0200;
inline constexpr std::uint16_t kRd = 0x0100;
inline constexpr std::uint16_t kCd = 0x0010;
inline constexpr unsigned kOpcodeShift = 11;
}  // namespace header

inline constexpr std::uint16_t kClassIn = 1;

}  // namespace countersign::dnsd
