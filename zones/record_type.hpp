// The RR types that the daemon treats in a way of their own (IANA's numbers); all others are opaque (RFC 3597).
#pragma once

#include <cstdint>

namespace countersign::zones::record_type {

inline constexpr std::uint16_t kA = 1;
inline constexpr std::uint16_t kNs = 2;
inline constexpr std::uint16_t kCname = 5;
inline constexpr std::uint16_t kSoa = 6;
inline constexpr std::uint16_t kMx = 15;
inline constexpr std::uint16_t kTxt = 16;
inline constexpr std::uint16_t kAaaa = 28;
inline constexpr std::uint16_t kSrv = 33;
inline constexpr std::uint16_t kDname = 39;
inline constexpr std::uint16_t kOpt = 41;
inline constexpr std::uint16_t kDs = 43;
inline constexpr std::uint16_t kRrsig = 46;
inline constexpr std::uint16_t kNsec = 47;
inline constexpr std::uint16_t kDnskey = 48;
inline constexpr std::uint16_t kHttps = 65;
inline constexpr std::uint16_t kNxname = 128;
inline constexpr std::uint16_t kTkey = 249;
inline constexpr std::uint16_t kTsig = 250;
inline constexpr std::uint16_t kIxfr = 251;
inline constexpr std::uint16_t kAxfr = 252;
inline constexpr std::uint16_t kAny = 255;
inline constexpr std::uint16_t kCaa = 257;

}  // namespace countersign::zones::record_type
