// One DNS question and its reply (RFC 1035 §4). Replies come from the network: nothing in them is believed before it
// is checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/name.hpp"
#include "base/result.hpp"
#include "base/socket_address.hpp"
#include "base/wire.hpp"

namespace countersign::acme::dns {

enum class RecordType : std::uint16_t { A = 1, Ns = 2, Cname = 5, Soa = 6, Txt = 16, Aaaa = 28 };

inline constexpr unsigned kNoError = 0;
inline constexpr unsigned kFormErr = 1;
inline constexpr unsigned kServFail = 2;
inline constexpr unsigned kNxDomain = 3;
inline constexpr unsigned kNotImp = 4;
inline constexpr unsigned kRefused = 5;

// NS, CNAME: the name. SOA: its MNAME. TXT: the strings joined. A, AAAA: the address, port 0.
using RecordData = std::variant<base::Name, std::string, base::SocketAddress>;

struct Record {
  base::Name owner;
  RecordType type = RecordType::A;
  RecordData data;

  [[nodiscard]] const base::Name& name() const { return std::get<base::Name>(data); }
  [[nodiscard]] const std::string& text() const { return std::get<std::string>(data); }
  [[nodiscard]] const base::SocketAddress& address() const { return std::get<base::SocketAddress>(data); }
};

struct ExtendedError {  // RFC 8914
  unsigned code = 0;
  std::string text;  // "DNSSEC bogus: signature expired", printable
};

struct Reply {
  unsigned rcode = kNoError;
  bool authoritative = false;                         // AA
  bool truncated = false;                             // TC
  bool recursion_available = false;                   // RA
  std::vector<Record> answer, authority, additional;  // of the types above; others are left out
  std::vector<ExtendedError> extended_errors;

  // The records of that owner and type in the answer section.
  [[nodiscard]] std::vector<Record> answers(const base::Name& owner, RecordType type) const;
};

enum class Recursion { Desired, Off };
enum class Edns { On, Off };

struct Question {
  base::Name name;
  RecordType type = RecordType::A;
  Recursion recursion = Recursion::Off;
};

[[nodiscard]] std::vector<std::byte> encode_query(std::uint16_t id, const Question& question, Edns edns);

// What a received message is to the one who asked.
enum class Relation {
  Reply,     // to this very question: id, question and opcode are ours
  NoEdns,    // refused as a whole by a server that does not know EDNS (RFC 6891 §7); it may leave the question out
  Stranger,  // anything else: late, forged or garbage
};
[[nodiscard]] Relation relation(base::Bytes message, std::uint16_t id, const Question& question);

// A message whose relation is Reply. Error: Protocol.
[[nodiscard]] base::Result<Reply> parse_reply(base::Bytes message);

[[nodiscard]] std::string_view type_text(RecordType type);
[[nodiscard]] std::string rcode_text(unsigned rcode);
// "EDE 7, signature expired: text"; "" when there are none.
[[nodiscard]] std::string extended_error_text(const Reply& reply);
// True when the resolver says that DNSSEC validation failed (EDE 1, 2, 5 to 12).
[[nodiscard]] bool says_bogus(const Reply& reply);

}  // namespace countersign::acme::dns
