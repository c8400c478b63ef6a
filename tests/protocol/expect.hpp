// Short words for what the protocol tests expect again and again.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/answer_fixture.hpp"
#include "tests/support/catch.hpp"

namespace countersign::tests {

namespace rcode {
inline constexpr unsigned kNoError = 0, kFormErr = 1, kServFail = 2, kNxDomain = 3, kNotImp = 4, kRefused = 5,
                          kNotAuth = 9, kBadVers = 16, kBadCookie = 23;
}  // namespace rcode

// "auth.example.net. 1 IN SOA ns1... hostmaster... SERIAL ... MINIMUM": the one record of the authority section.
[[nodiscard]] inline bool is_soa(const Lines& authority, std::string_view apex, std::uint32_t serial,
                                 std::uint32_t negative_ttl = 1) {
  if (authority.size() != 1) return false;
  std::string head =
      fmt::format("{}. {} IN SOA ns1.auth.example.net. hostmaster.example.net. {} ", apex, negative_ttl, serial);
  return authority[0].starts_with(head) && authority[0].ends_with(fmt::format(" {}", negative_ttl));
}

// As long as dns-01 values are (RFC 8555 §8.4): 43 octets, 56 with the record around them.
[[nodiscard]] inline std::vector<std::string> challenge_values(int count) {
  std::vector<std::string> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = fmt::format("value-{:037}", i);
  return values;
}

// Counters of a query over UDP without EDNS.
inline constexpr std::string_view kCountedAnswer = "queries_udp responses noerror";
inline constexpr std::string_view kCountedNodata = "queries_udp responses noerror nodata";
inline constexpr std::string_view kCountedNxdomain = "queries_udp responses nxdomain";
inline constexpr std::string_view kCountedReferral = "queries_udp responses noerror referral";
inline constexpr std::string_view kCountedRefused = "queries_udp responses refused";
inline constexpr std::string_view kCountedFormerr = "queries_udp responses formerr";
inline constexpr std::string_view kCountedNotimp = "queries_udp responses notimp";

// NOERROR with SOA, for a name that exists without the type (RFC 2308 §2.2).
inline void require_nodata(const Reply& reply, const AnswerFixture& server, std::string_view apex = "auth.example.net",
                           std::size_t zone = 0) {
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer.empty());
  INFO(fmt::format("{}", fmt::join(reply.message.authority, "\n")));
  REQUIRE(is_soa(reply.message.authority, apex, server.serial(zone)));
  REQUIRE(reply.message.additional.empty());
  REQUIRE(reply.counters == kCountedNodata);
}

inline void require_nxdomain(const Reply& reply, const AnswerFixture& server,
                             std::string_view apex = "auth.example.net", std::size_t zone = 0) {
  REQUIRE(reply.message.rcode == rcode::kNxDomain);
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer.empty());
  INFO(fmt::format("{}", fmt::join(reply.message.authority, "\n")));
  REQUIRE(is_soa(reply.message.authority, apex, server.serial(zone)));
  REQUIRE(reply.message.additional.empty());
  REQUIRE(reply.counters == kCountedNxdomain);
}

inline void require_refused(const Reply& reply) {
  REQUIRE(reply.message.rcode == rcode::kRefused);
  REQUIRE(reply.message.flags() == "qr");
  REQUIRE(reply.message.answer.empty());
  REQUIRE(reply.message.authority.empty());
  REQUIRE(reply.message.additional.empty());
}

inline void require_answer(const Reply& reply, const Lines& answer) {
  REQUIRE(reply.message.rcode == rcode::kNoError);
  REQUIRE(reply.message.flags() == "qr aa");
  REQUIRE(reply.message.answer == answer);
}

}  // namespace countersign::tests
