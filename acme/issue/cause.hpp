// What a CA's no is about, read from its type and words.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "acme/protocol/problem.hpp"

namespace countersign::acme {

// What a CA's no is about. CAs word it freely: boulder and Pebble are known, others use the same words more or less.
enum class Cause {
  NoSuchName,  // NXDOMAIN
  NoRecord,
  OtherValue,
  ServFail,
  Refused,
  Timeout,
  Network,
  Dnssec,
  Caa,
  CaaLookup,
  Persist,  // the standing record's own contents (draft-ietf-acme-dns-persist)
  RateLimited,
  Busy,
  Rejected,
  Account,
  Unknown,
};
// `names`: those that the CA may speak of, in lower case, without `*.`; they are no part of what it says.
[[nodiscard]] Cause cause_of(const Problem& problem, const std::vector<std::string>& names);
// What it says, in lower case, without names.
[[nodiscard]] std::string words_of(const Problem& problem, const std::vector<std::string>& names);

[[nodiscard]] std::string lowered(std::string_view text);
[[nodiscard]] bool has(std::string_view text, std::string_view part);
[[nodiscard]] bool has_any(std::string_view text, std::initializer_list<std::string_view> parts);

}  // namespace countersign::acme
