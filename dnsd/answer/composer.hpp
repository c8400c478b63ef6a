// Writes the response to a question that is looked up, behind the question, section by section.
// Thread: the one that answers; online in the Epochs.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/answer/query.hpp"
#include "zones/name_table.hpp"

namespace countersign::dnsd {

// A chain within our own zones; resolvers stop at about as many (unbound at 11).
inline constexpr std::size_t kMaxChase = 16;

// A name that is being answered: the question's, then each CNAME's target.
struct Subject {
  std::string_view name;               // lower-case wire
  std::size_t offset = kHeaderLength;  // where it stands in the packet, below 0x4000
  std::size_t labels = 0;
};

class Composer {
 public:
  // `reserved`: octets of the limit that are kept for the OPT.
  Composer(Query& query, std::size_t reserved);

  void answer();

  [[nodiscard]] std::size_t position() const { return at_; }
  [[nodiscard]] std::uint16_t rcode() const { return rcode_; }
  [[nodiscard]] std::uint16_t header_flags() const {
    return static_cast<std::uint16_t>((authoritative_ ? header::kAa : 0U) | (truncated_ ? header::kTc : 0U));
  }
  [[nodiscard]] bool truncated() const { return truncated_; }
  [[nodiscard]] bool referral() const { return referral_; }
  [[nodiscard]] std::uint16_t answers() const { return answers_; }
  // Without the CNAMEs that led there.
  [[nodiscard]] std::uint16_t values() const { return static_cast<std::uint16_t>(answers_ - aliases_); }
  [[nodiscard]] std::uint16_t authorities() const { return authorities_; }
  [[nodiscard]] std::uint16_t additionals() const { return additionals_; }
  // The zone that the question's own name belongs to; null when it is none of ours.
  [[nodiscard]] const zones::ZoneAnswers* zone() const { return zone_; }
  [[nodiscard]] bool is_apex() const { return zone_ != nullptr && zone_->apex.wire().size() == query_.name_length; }
  // What the answer is about, for rate limits: a name's answers are one, as are those of all names that a wildcard or a
  // delegation stands for, and of all that do not exist in a zone.
  [[nodiscard]] std::uint64_t identity() const;

 private:
  enum class Section : std::uint8_t { Answer, Authority };

  const zones::RrsetAnswer* answer_node(const zones::Node& node, const Subject& subject);
  const zones::RrsetAnswer* answer_absent(const Subject& subject);
  [[nodiscard]] const zones::Node* closest_encloser(const Subject& subject) const;
  [[nodiscard]] const zones::ZoneAnswers& zone_of_negative(const zones::Node& node, const Subject& subject) const;
  bool answer_any(const zones::Node& node, const Subject& subject);
  void refer(const zones::Node& cut, const Subject& subject);
  bool add_hosts(const zones::Node& node, const zones::RrsetAnswer& rrset);
  bool follow(base::Bytes target, std::size_t offset, Subject& subject);
  void append_soa(const zones::ZoneAnswers& zone, const Subject& subject, Section section);
  bool append(base::Bytes records, std::uint16_t count, std::uint16_t& section_count, const Subject& owner);
  void point_owners(std::size_t start, std::size_t offset);
  // Only the question's own name counts, not what a CNAME leads to.
  void note(const zones::ZoneAnswers& zone, std::string_view stands_for) {
    if (zone_ != nullptr) return;
    zone_ = &zone;
    stands_for_ = stands_for;
  }
  void truncate();
  [[nodiscard]] std::size_t left() const { return end_ > at_ ? end_ - at_ : 0; }
  void copy(base::Bytes bytes);

  zones::NameTable::View names_;
  Query& query_;
  std::size_t at_;
  std::size_t end_;
  const zones::Node* answered_ = nullptr;
  const zones::ZoneAnswers* zone_ = nullptr;
  std::string_view stands_for_;  // the name that has been found, or the zone's that has none
  std::uint16_t rcode_ = rcode::kNoError;
  bool found_ = false;  // the question's own name exists
  bool authoritative_ = false;
  bool truncated_ = false;
  bool referral_ = false;
  std::uint16_t answers_ = 0;
  std::uint16_t aliases_ = 0;  // of the answers
  std::uint16_t authorities_ = 0;
  std::uint16_t additionals_ = 0;
  std::array<char, base::kMaxNameLength + 1> chased_;  // written by follow() before it is read
};

}  // namespace countersign::dnsd
