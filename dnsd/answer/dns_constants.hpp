// Numbers of the DNS message format (RFC 1035 §4.1.1, RFC 6891, RFC 8945).
#pragma once

#include <cstddef>
#include <cstdint>

namespace countersign::dnsd {

inline constexpr std::size_t kHeaderLength = 12;
inline constexpr std::size_t kOptLength = 11;  // without options
inline constexpr std::uint16_t kMinUdpPayload = 512;

namespace opcode {
// Where the header has it.
inline constexpr std::uint16_t kUpdate = 5U << 11U;  // RFC 2136 §1.3
}  // namespace opcode

namespace rcode {
inline constexpr std::uint16_t kNoError = 0;
inline constexpr std::uint16_t kFormErr = 1;
inline constexpr std::uint16_t kServFail = 2;
inline constexpr std::uint16_t kNxDomain = 3;
inline constexpr std::uint16_t kNotImp = 4;
inline constexpr std::uint16_t kRefused = 5;
inline constexpr std::uint16_t kYxDomain = 6;  // these three: prerequisites (RFC 2136 §2.2)
inline constexpr std::uint16_t kYxRrset = 7;
inline constexpr std::uint16_t kNxRrset = 8;
inline constexpr std::uint16_t kNotAuth = 9;
inline constexpr std::uint16_t kBadVers = 16;
inline constexpr std::uint16_t kBadKey = 17;  // in a TSIG record alone (RFC 8945 §3)
inline constexpr std::uint16_t kBadCookie = 23;
}  // namespace rcode

namespace header {
// Of octets 2 and 3 as one number.
inline constexpr std::uint16_t kQr = 0x8000;
inline constexpr std::uint16_t kAa = 0x0400;
inline constexpr std::uint16_t kTc = 0x0200;
inline constexpr std::uint16_t kRd = 0x0100;
inline constexpr std::uint16_t kCd = 0x0010;
inline constexpr std::uint16_t kOpcode = 0x7800;
}  // namespace header

inline constexpr std::uint16_t kClassIn = 1;
inline constexpr std::uint16_t kClassChaos = 3;
inline constexpr std::uint16_t kClassAny = 255;

// EDNS options (IANA).
namespace option {
inline constexpr std::uint16_t kNsid = 3;
inline constexpr std::uint16_t kExpire = 9;
inline constexpr std::uint16_t kCookie = 10;
inline constexpr std::uint16_t kTcpKeepalive = 11;
inline constexpr std::uint16_t kExtendedError = 15;
inline constexpr std::uint16_t kZoneVersion = 19;
inline constexpr std::size_t kHeaderLength = 4;  // code and length
}  // namespace option

// Extended errors (RFC 8914 §4, RFC 9824 §3.4) that tell an operator more than the RCODE does.
namespace extended_error {
inline constexpr std::uint16_t kNone = 0;  // "Other error": never sent
inline constexpr std::uint16_t kNotAuthoritative = 20;
inline constexpr std::uint16_t kNotSupported = 21;
inline constexpr std::uint16_t kInvalidQueryType = 30;
}  // namespace extended_error

}  // namespace countersign::dnsd
