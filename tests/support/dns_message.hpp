// DNS messages for tests: queries written as text, responses read by ldns as a second opinion and by a strict walk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace countersign::tests {

// Octets on the wire; text in a std::string with its NULs.
using Packet = std::string;
using Lines = std::vector<std::string>;

// "www.Example.NET" with its case kept, `\DDD` and `\X` escapes; "." is the root. Throws std::invalid_argument.
[[nodiscard]] Packet wire_name(std::string_view text);
// A mnemonic or TYPEnnn. Throws std::invalid_argument.
[[nodiscard]] std::uint16_t type_number(std::string_view text);
[[nodiscard]] Packet wire_u16(std::uint16_t value);
[[nodiscard]] Packet from_hex(std::string_view text);  // blanks are skipped
[[nodiscard]] std::string to_hex(std::string_view octets);

struct RawRecord {
  Packet owner = Packet(1, '\0');  // the root
  std::uint16_t type = 0;
  std::uint16_t klass = 1;
  std::uint32_t ttl = 0;
  Packet rdata{};

  [[nodiscard]] Packet wire() const;
};

// An OPT record (RFC 6891 §6.1.2).
struct RawOpt {
  std::uint16_t size = 1232;
  std::uint8_t version = 0;
  std::uint16_t flags = 0;  // DO is 0x8000
  Packet options{};

  [[nodiscard]] Packet wire() const;
};

// A query from text: name and type, or "-" for no question, then any of
//   class=CH id=0x1234 opcode=5 qr aa tc rd ra z ad cd
//   edns size=4096 version=1 do ednsflags=0x80 option=100:6162     (each of them adds an OPT, behind everything)
class QueryBuilder {
 public:
  explicit QueryBuilder(std::string_view text);

  // Octets of one more question or record, counted in the header.
  QueryBuilder& question(std::string_view octets) { return section(0, octets); }
  QueryBuilder& answer(std::string_view octets) { return section(1, octets); }
  QueryBuilder& authority(std::string_view octets) { return section(2, octets); }
  QueryBuilder& additional(std::string_view octets) { return section(3, octets); }
  // Octets behind everything, counted nowhere.
  QueryBuilder& append(std::string_view octets);
  // What the header says instead of the truth: 0 QDCOUNT to 3 ARCOUNT.
  QueryBuilder& claim_count(std::size_t section, std::uint16_t count);

  [[nodiscard]] Packet build() const;

 private:
  QueryBuilder& section(std::size_t index, std::string_view octets);
  void read_word(std::string_view word);
  RawOpt& opt();

  std::uint16_t id_ = 0x1234;
  std::uint16_t flags_ = 0;
  std::array<Packet, 4> sections_;
  std::array<std::uint16_t, 4> counts_{};
  std::array<std::optional<std::uint16_t>, 4> claimed_;
  std::optional<RawOpt> opt_;
  Packet tail_;
};

[[nodiscard]] Packet query(std::string_view text);

struct Opt {
  std::uint8_t version = 0;
  std::uint16_t size = 0;
  std::uint16_t flags = 0;  // DO is 0x8000
  Packet options;
};

struct Message {
  std::uint16_t id = 0;
  bool qr = false, aa = false, tc = false, rd = false, ra = false, z = false, ad = false, cd = false;
  unsigned opcode = 0;
  unsigned rcode = 0;  // with the OPT's upper eight bits
  Packet question;     // as on the wire
  // "www.example. 1 IN TXT "v"", without the OPT.
  Lines answer, authority, additional;
  std::optional<Opt> opt;
  std::string tsig;  // "key. 0 ANY TSIG ...", "" when there is none
  std::size_t size = 0;

  // The data of an option of the OPT; absent when there is no such option.
  [[nodiscard]] std::optional<Packet> option(unsigned code) const;

  // The header bits that are set, in the order of the wire: "qr aa rd".
  [[nodiscard]] std::string flags() const;
};

// Error: Protocol, with the first thing that is wrong with it by ldns, by the strict walk, or in its RRsets.
[[nodiscard]] base::Result<Message> decode(std::string_view packet);

// RFC 1035 §4, strictly: counts right, nothing behind, names whole and with pointers to earlier ones only, RDATA of the
// types it knows exact, no compression where RFC 3597 §4 forbids it, one OPT at most and in its place. "" when fine.
[[nodiscard]] std::string find_wire_defect(std::string_view packet);

}  // namespace countersign::tests
