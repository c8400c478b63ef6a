// TSIG (RFC 8945): verifies what a client signed and signs what it is answered. OpenSSL's HMAC over the rules of the
// RFC; ldns 1.8 checks no time, gives no RCODE and lacks SHA-384. Thread: any; keys are immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/name.hpp"
#include "base/result.hpp"
#include "base/wire.hpp"
#include "conf/config.hpp"

namespace countersign::dnsd {

// Seconds that the clocks of client and server may differ, whatever a client asks for (RFC 8945 §10). What is signed is
// good for so long.
inline constexpr std::uint16_t kMaxFudge = 300;

struct TsigKey {
  base::Name name;
  conf::TsigAlgorithm algorithm = conf::TsigAlgorithm::HmacSha256;
  std::string secret;  // octets, at least one
  std::vector<conf::NamePattern> allow;
};

// A key file's text: the secret alone, as base64 on one line (blank lines and # remarks around it), or what BIND's
// tsig-keygen writes: `key "NAME" { algorithm NAME; secret "BASE64"; };`. Error: Invalid, saying what is wrong; also
// when a BIND file has another name or algorithm than the configuration. Never shows a part of the secret.
[[nodiscard]] base::Result<std::string> parse_key_file(std::string_view text, const base::Name& name,
                                                       conf::TsigAlgorithm algorithm);
// "hmac-sha256": as configurations and the wire have it, without the final dot.
[[nodiscard]] std::string_view algorithm_text(conf::TsigAlgorithm algorithm);

// Loads the algorithms: to be called before the process may open no file any more.
void prepare_tsig();

// The TSIG record of a message (RFC 8945 §4.2), as it stands there.
struct TsigRecord {
  base::Name key;
  base::Name algorithm;
  std::uint64_t time_signed = 0;  // 48 bits, seconds since 1970
  std::uint16_t fudge = 0;
  std::string mac;
  std::uint16_t original_id = 0;
  std::uint16_t error = 0;
  std::string other;
  std::size_t at = 0;  // where the record begins in the message: what is signed ends there
};

enum class TsigVerdict { Good, BadKey, BadSig, BadTime, BadTrunc, Malformed };

// What an answer is signed with.
struct TsigContext {
  TsigVerdict verdict = TsigVerdict::Malformed;
  const TsigKey* key = nullptr;  // null for BadKey
  TsigRecord request;
};

// The TSIG record at the end of `message`: absent when there is none. Error: Invalid (FORMERR, RFC 8945 §5.2: not the
// last record, two of them, class or TTL wrong, names compressed or malformed, a MAC longer than the algorithm's or
// shorter than max(10, half)).
[[nodiscard]] base::Result<std::optional<TsigRecord>> find_tsig(base::Bytes message);
// Checks key, MAC, time (within the request's fudge, and kMaxFudge) and truncation in the order of RFC 8945 §5.2.
// `now`: seconds since 1970. `keys` outlive the context. A MAC that is truncated at all is BadTrunc: nobody's client
// does that.
[[nodiscard]] TsigContext verify_tsig(base::Bytes message, TsigRecord record, std::span<const TsigKey> keys,
                                      std::uint64_t now);
// Appends the TSIG record of an answer to `answer` (its ARCOUNT included): signed for Good, BadTime and BadTrunc, with
// an empty MAC for BadKey and BadSig (RFC 8945 §5.3). BadTime carries the server's time in its other data, and the
// client's as the time signed. Nothing for Malformed. `answer`: at least a header.
void append_tsig(std::string& answer, const TsigContext& context, std::uint64_t now);
// Octets that append_tsig() will add at most.
[[nodiscard]] std::size_t tsig_room(const TsigContext& context);

}  // namespace countersign::dnsd
