#include "conf/api_texts.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/duration.hpp"
#include "conf/texts.hpp"
#include "conf/words.hpp"

namespace countersign::conf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;
using std::chrono::milliseconds;

// Uses are noted once an hour, and clients come back after weeks.
constexpr milliseconds kShortestUnused = std::chrono::hours(24);

constexpr std::array kAlgorithms{
    Word<TsigAlgorithm>{"hmac-sha256", TsigAlgorithm::HmacSha256},
    Word<TsigAlgorithm>{"hmac-sha384", TsigAlgorithm::HmacSha384},
    Word<TsigAlgorithm>{"hmac-sha512", TsigAlgorithm::HmacSha512},
    Word<TsigAlgorithm>{"hmac-sha224", TsigAlgorithm::HmacSha224},
    Word<TsigAlgorithm>{"hmac-sha1", TsigAlgorithm::HmacSha1},
};

}  // namespace

Result<base::AddressRange> parse_range(std::string_view text) {
  auto range = base::AddressRange::parse_or_address(text);
  if (!range)
    return fail(ErrorCode::Invalid,
                "{} is neither an address nor a range of them; write it as in \"192.0.2.0/24\" or \"2001:db8::/32\"",
                in_quotes(text));
  return range;
}

Result<milliseconds> parse_unused(std::string_view text) {
  if (text.empty()) return milliseconds(0);
  auto value = base::parse_duration(text);
  if (!value)
    return fail(ErrorCode::Invalid,
                "{} is not a duration of at most 100 years; write days, as in \"400d\", or \"\" for never",
                in_quotes(text));
  if (*value < kShortestUnused)
    return fail(ErrorCode::Invalid,
                "{} is less than a day, in which no client renews; write more, as in \"400d\", or \"\" for never",
                in_quotes(text));
  return value;
}

Result<std::optional<Name>> parse_optional_zone(std::string_view text) {
  if (text.empty()) return std::optional<Name>();
  auto name = parse_zone_name(text);
  if (!name) return fail(name.error());
  return std::optional(*std::move(name));
}

Result<Name> parse_key_name(std::string_view text) {
  if (text.empty() || text == ".")
    return fail(ErrorCode::Invalid, "{} is not a key's name; write the one that the client has, as in \"lego.\"",
                in_quotes(text));
  return parse_zone_name(text);
}

Result<TsigAlgorithm> parse_algorithm(std::string_view text) {
  std::string word(text.substr(0, text.ends_with('.') ? text.size() - 1 : text.size()));
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::vector<std::string_view> known;
  for (const Word<TsigAlgorithm>& algorithm : kAlgorithms) {
    if (algorithm.text == word) return algorithm.value;
    known.push_back(algorithm.text);
  }
  // RFC 8945 §6: it must not be used any more.
  if (word.starts_with("hmac-md5"))
    return fail(ErrorCode::Invalid,
                "{} is not secure any more and not supported; write \"hmac-sha256\" and make a new secret for it",
                in_quotes(text));
  return fail(ErrorCode::Invalid, "{} is none of {}; the nearest is \"{}\"", in_quotes(text), fmt::join(known, ", "),
              nearest(word, known));
}

Result<NamePattern> parse_name_pattern(std::string_view text) {
  NamePattern pattern;
  std::string_view rest = text;
  if (text == "*" || text == "*.")
    return fail(ErrorCode::Invalid, "{} is every name there is; write the zone behind it, as in \"*.auth.example.net\"",
                in_quotes(text));
  if (text.starts_with("*.")) {
    pattern.below = true;
    rest.remove_prefix(2);
  }
  if (rest.find('*') != std::string_view::npos)
    return fail(ErrorCode::Invalid, "{} has a * that does not stand for all names below one; write it as in \"{}\"",
                in_quotes(text), "*.auth.example.net");
  if (rest == ".")
    return fail(ErrorCode::Invalid, "{} is the root, which is in no zone of ours; write a name, as in \"{}\"",
                in_quotes(text), "*.auth.example.net");
  auto name = parse_zone_name(rest);
  if (!name) return fail(name.error());
  pattern.name = *std::move(name);
  return pattern;
}

}  // namespace countersign::conf
