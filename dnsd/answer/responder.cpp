// Responder::compose: from the node to the response.
#include "dnsd/answer/responder.hpp"

#include <algorithm>
#include <cstring>

#include "dnsd/answer/dns_constants.hpp"
#include "zones/name_hash.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::Bytes;
using base::load_u16;
using base::store_u16;
using base::store_u32;
using zones::Node;
using zones::NodeFlag;
using zones::RrsetAnswer;
namespace record_type = zones::record_type;

// A chain within our own zones; resolvers stop at about as many (unbound at 11).
constexpr std::size_t kMaxChase = 16;
constexpr std::size_t kRecordFields = 10;  // type, class, TTL, RDLENGTH

// A name that is being answered: the question's, then each CNAME's target.
struct Subject {
  std::string_view name;               // lower-case wire
  std::size_t offset = kHeaderLength;  // where it stands in the packet, below 0x4000
  std::size_t labels = 0;
};

std::string_view without_first_label(std::string_view name) {
  return name.substr(1U + static_cast<unsigned char>(name[0]));
}

// Writes one response behind the question, section by section.
class Composer {
 public:
  Composer(const zones::NameTable& table, Query& query)
      : table_(table),
        query_(query),
        at_(kHeaderLength + query.question_length),
        end_(std::min<std::size_t>(query.limit, query.capacity)) {
    if ((query.flags & Query::Edns) != 0) end_ -= kOptLength;
  }

  void answer() {
    Subject subject{{query_.name.data(), query_.name_length}, kHeaderLength, query_.labels};
    const Node* node = query_.guess;
    if (node == nullptr || node->name() != subject.name) node = table_.find(query_.hash, subject.name);
    std::uint64_t hash = query_.hash;
    std::array<std::uint64_t, kMaxChase + 1> visited;  // hashes of the names in the chain
    for (std::size_t chased = 0; chased <= kMaxChase; ++chased) {
      const RrsetAnswer* cname = node != nullptr ? answer_node(*node, subject) : answer_absent(subject);
      if (cname == nullptr) return;
      // `answered_` is the node with the CNAME: the name itself or the wildcard that stands for it.
      std::size_t target_offset = at_ + 2 + kRecordFields;
      Bytes record = answered_->answer(*cname);
      if (!append(record, 1, answers_, subject)) return;
      ++aliases_;
      if (!follow(record.subspan(2 + kRecordFields), target_offset, subject)) return;
      // A circle of aliases ends where it closes: no record is sent twice (RFC 2181 §5).
      visited[chased] = hash;
      hash = zones::hash_name(table_.seed(), subject.name.data(), subject.name.size());
      auto* end = visited.begin() + chased + 1;
      if (std::find(visited.begin(), end, hash) != end) return;
      node = table_.find(hash, subject.name);
    }
  }

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

 private:
  // Returns the CNAME to follow, if that is what stands here.
  const RrsetAnswer* answer_node(const Node& node, const Subject& subject) {
    answered_ = &node;
    if (node.has(NodeFlag::Cut) && query_.type != record_type::kDs) {
      refer(node, subject);
      return nullptr;
    }
    authoritative_ = true;
    if (const RrsetAnswer* rrset = node.find(query_.type)) {
      if (append(node.answer(*rrset), rrset->count, answers_, subject)) add_hosts(node, *rrset);
      return nullptr;
    }
    if (query_.type == record_type::kSoa && node.has(NodeFlag::Apex)) {
      append_soa(node.zone(), subject, Section::Answer);
      return nullptr;
    }
    if (query_.type == record_type::kAny && answer_any(node, subject)) return nullptr;
    bool chased = query_.type != record_type::kRrsig && query_.type != record_type::kNsec;
    if (node.has(NodeFlag::HasCname) && chased) return node.find(record_type::kCname);
    append_soa(zone_of_negative(node, subject), subject, Section::Authority);
    return nullptr;
  }

  const RrsetAnswer* answer_absent(const Subject& subject) {
    const Node* encloser = closest_encloser(subject);
    if (encloser == nullptr) {
      // In no zone of ours. Behind a CNAME of ours that is the resolver's next question, else it was asked in vain.
      if (answers_ == 0) rcode_ = rcode::kRefused;
      return nullptr;
    }
    if (encloser->has(NodeFlag::Cut)) {
      refer(*encloser, subject);
      return nullptr;
    }
    if (encloser->has(NodeFlag::Wildcard)) {
      std::array<char, base::kMaxNameLength + 2> name;
      name[0] = '\1';
      name[1] = '*';
      std::string_view parent = encloser->name();
      std::memcpy(name.data() + 2, parent.data(), parent.size());
      const Node* wildcard = table_.find({name.data(), parent.size() + 2});
      // A zone of its own that is named `*` is no wildcard of the zone above it.
      if (wildcard != nullptr && !wildcard->has(NodeFlag::Apex)) return answer_node(*wildcard, subject);
    }
    authoritative_ = true;
    rcode_ = rcode::kNxDomain;  // of the last name in a chain (RFC 6604 §3)
    append_soa(encloser->zone(), subject, Section::Authority);
    return nullptr;
  }

  // RFC 4592 §3.3.1. Longer ancestors than any name that exists are passed over: a query of 127 labels costs no more
  // look-ups than the zones are deep.
  [[nodiscard]] const Node* closest_encloser(const Subject& subject) const {
    std::size_t deepest = table_.max_labels();
    std::size_t labels = subject.labels;
    for (std::string_view name = subject.name; labels > 0;) {
      name = without_first_label(name);
      --labels;
      if (labels > deepest) continue;
      if (const Node* node = table_.find(name)) return node;
    }
    return nullptr;
  }

  // DS belongs to the parent's side of a cut (RFC 4035 §3.1.4.1), when we serve that too.
  [[nodiscard]] const zones::ZoneAnswers& zone_of_negative(const Node& node, const Subject& subject) const {
    if (query_.type == record_type::kDs && node.has(NodeFlag::Apex)) {
      const Node* above = closest_encloser(subject);
      if (above != nullptr && !above->has(NodeFlag::Cut)) return above->zone();
    }
    return node.zone();
  }

  // RFC 8482 §4.1: one RRset stands for all.
  bool answer_any(const Node& node, const Subject& subject) {
    if (!node.rrsets().empty()) {
      const RrsetAnswer& rrset = node.rrsets().front();
      append(node.answer(rrset), rrset.count, answers_, subject);
      return true;
    }
    return false;
  }

  // RFC 1034 §4.3.2 step 3b. The cut's name is the subject's own end.
  void refer(const Node& cut, const Subject& subject) {
    const RrsetAnswer* servers = cut.find(record_type::kNs);
    if (servers == nullptr) return;
    authoritative_ = answers_ > 0;
    referral_ = true;
    Subject owner = subject;
    owner.offset = subject.offset + subject.name.size() - cut.name().size();
    if (!append(cut.answer(*servers), servers->count, authorities_, owner)) return;
    if (!add_hosts(cut, *servers)) truncated_ = true;  // glue is not optional (RFC 9471 §3)
  }

  bool add_hosts(const Node& node, const RrsetAnswer& rrset) {
    Bytes records = node.additional(rrset);
    if (records.size() > left()) return false;
    copy(records);
    additionals_ = static_cast<std::uint16_t>(additionals_ + rrset.additional_count);
    return true;
  }

  // Continues with the CNAME's target, which stands at `offset` of the packet. False when it cannot be pointed at.
  bool follow(Bytes target, std::size_t offset, Subject& subject) {
    if (offset + target.size() > 0x3fff) return false;
    std::size_t length = 0;
    std::size_t labels = 0;
    for (;; ++labels) {
      auto label = std::to_integer<std::size_t>(target[length]);
      chased_[length] = static_cast<char>(label);
      for (std::size_t i = 1; i <= label; ++i) {
        auto c = std::to_integer<char>(target[length + i]);
        chased_[length + i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      }
      length += 1 + label;
      if (label == 0) break;
    }
    subject = {{chased_.data(), length}, offset, labels};
    return true;
  }

  enum class Section : std::uint8_t { Answer, Authority };

  void append_soa(const zones::ZoneAnswers& zone, const Subject& subject, Section section) {
    // Pairs with publish_serial()'s exchange.
    const zones::SoaAnswer* soa = zone.soa.load(std::memory_order_acquire);
    if (soa->record.size() + 2 > left()) return truncate();
    std::size_t apex = subject.offset + subject.name.size() - zone.apex.wire().size();
    store_u16(query_.packet + at_, static_cast<std::uint16_t>(0xc000U | apex));
    std::byte* record = query_.packet + at_ + 2;
    std::memcpy(record, soa->record.data(), soa->record.size());
    at_ += 2 + soa->record.size();
    if (section == Section::Answer) {
      ++answers_;
      return;
    }
    store_u32(record + 4, soa->negative_ttl);  // RFC 2308 §3
    ++authorities_;
  }

  // Copies records whose owner is the subject; sets TC when they do not fit: an RRset is never split (RFC 2181 §9).
  bool append(Bytes records, std::uint16_t count, std::uint16_t& section_count, const Subject& owner) {
    if (records.size() > left()) {
      truncate();
      return false;
    }
    std::size_t start = at_;
    copy(records);
    section_count = static_cast<std::uint16_t>(section_count + count);
    if (owner.offset != kHeaderLength) point_owners(start, owner.offset);
    return true;
  }

  // Prebuilt records point to the question; those of another owner are turned to it.
  void point_owners(std::size_t start, std::size_t offset) {
    while (start < at_) {
      store_u16(query_.packet + start, static_cast<std::uint16_t>(0xc000U | offset));
      start += 2 + kRecordFields + load_u16(query_.packet + start + 2 + 8);
    }
  }

  void truncate() {
    truncated_ = true;
    at_ = kHeaderLength + query_.question_length;
    answers_ = aliases_ = authorities_ = additionals_ = 0;
  }

  [[nodiscard]] std::size_t left() const { return end_ > at_ ? end_ - at_ : 0; }
  void copy(Bytes bytes) {
    if (!bytes.empty()) std::memcpy(query_.packet + at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }

  const zones::NameTable& table_;
  Query& query_;
  std::size_t at_;
  std::size_t end_;
  const Node* answered_ = nullptr;
  std::uint16_t rcode_ = rcode::kNoError;
  bool authoritative_ = false;
  bool truncated_ = false;
  bool referral_ = false;
  std::uint16_t answers_ = 0;
  std::uint16_t aliases_ = 0;  // of the answers
  std::uint16_t authorities_ = 0;
  std::uint16_t additionals_ = 0;
  std::array<char, base::kMaxNameLength + 1> chased_;  // written by follow() before it is read
};

void count_rcode(Counters& counters, std::uint16_t code) {
  switch (code) {
    case rcode::kNoError:
      return counters.noerror.add();
    case rcode::kFormErr:
      return counters.formerr.add();
    case rcode::kNxDomain:
      return counters.nxdomain.add();
    case rcode::kNotImp:
      return counters.notimp.add();
    case rcode::kRefused:
      return counters.refused.add();
    case rcode::kBadVers:
      return counters.badvers.add();
    default:
      return;
  }
}

void write_header(const Query& query, std::uint16_t flags, std::uint16_t code) {
  flags = static_cast<std::uint16_t>(flags | header::kQr | (code & 0xfU));
  flags = static_cast<std::uint16_t>(flags | (static_cast<unsigned>(query.opcode) << header::kOpcodeShift));
  if ((query.flags & Query::RecursionDesired) != 0) flags |= header::kRd;
  if ((query.flags & Query::CheckingDisabled) != 0) flags |= header::kCd;  // RFC 4035 §3.1.6
  store_u16(query.packet + 2, flags);
  store_u16(query.packet + 4, query.question_length > 0 ? 1 : 0);
}

// RFC 6891 §6.1: ours has no options yet.
std::size_t write_opt(const Query& query, std::size_t at, std::uint16_t payload, std::uint16_t code) {
  std::byte* opt = query.packet + at;
  opt[0] = std::byte{0};
  store_u16(opt + 1, record_type::kOpt);
  store_u16(opt + 3, payload);
  opt[5] = static_cast<std::byte>(code >> 4U);
  opt[6] = std::byte{0};
  store_u16(opt + 7, (query.flags & Query::DnssecOk) != 0 ? 0x8000 : 0);
  store_u16(opt + 9, 0);
  return at + kOptLength;
}

void write_counts(const Query& query, std::uint16_t answers, std::uint16_t authorities, std::uint16_t additionals) {
  store_u16(query.packet + 6, answers);
  store_u16(query.packet + 8, authorities);
  store_u16(query.packet + 10, additionals);
}

}  // namespace

std::size_t Responder::compose(Query& query, Counters& counters, Seen& seen) const {
  seen.name = {};
  if (query.fate == Query::Fate::Drop) return 0;
  bool edns = (query.flags & Query::Edns) != 0;
  auto opt_count = static_cast<std::uint16_t>(edns ? 1 : 0);
  std::size_t at = kHeaderLength + query.question_length;
  counters.responses.add();
  if (query.fate == Query::Fate::Error) {
    count_rcode(counters, query.rcode);
    write_header(query, 0, query.rcode);
    write_counts(query, 0, 0, opt_count);
    return edns ? write_opt(query, at, max_udp_payload_, query.rcode) : at;
  }
  Composer composer(table_, query);
  composer.answer();
  count_rcode(counters, composer.rcode());
  if (composer.truncated()) counters.truncated.add();
  if (composer.referral()) counters.referral.add();
  // Also at the end of a CNAME chain (RFC 2308 §2.2): the SOA tells.
  bool nodata = composer.rcode() == rcode::kNoError && composer.authorities() > 0 && !composer.referral();
  if (nodata) counters.nodata.add();
  write_header(query, composer.header_flags(), composer.rcode());
  write_counts(query, composer.answers(), composer.authorities(),
               static_cast<std::uint16_t>(composer.additionals() + opt_count));
  if (query.type == record_type::kTxt && composer.rcode() != rcode::kRefused)
    seen = {{query.name.data(), query.name_length}, query.type, composer.rcode(), composer.values()};
  return edns ? write_opt(query, composer.position(), max_udp_payload_, composer.rcode()) : composer.position();
}

}  // namespace countersign::dnsd
