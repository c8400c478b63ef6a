#include "dnsd/answer/composer.hpp"

#include <algorithm>
#include <cstring>

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
using zones::ZoneAnswers;
namespace record_type = zones::record_type;

constexpr std::size_t kRecordFields = 10;  // type, class, TTL, RDLENGTH

std::string_view without_first_label(std::string_view name) {
  return name.substr(1U + static_cast<unsigned char>(name[0]));
}

}  // namespace

Composer::Composer(Query& query, std::size_t reserved)
    : names_(query.names),
      query_(query),
      at_(kHeaderLength + query.question_length),
      end_(std::min<std::size_t>(query.limit, query.capacity) - reserved) {}

void Composer::answer() {
  Subject subject{{query_.name.data(), query_.name_length}, kHeaderLength, query_.labels};
  const Node* node = query_.guess;
  if (node == nullptr || node->name() != subject.name) node = names_.find(query_.hash, subject.name);
  found_ = node != nullptr;
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
    hash = zones::hash_name(names_.seed(), subject.name.data(), subject.name.size());
    auto* end = visited.begin() + chased + 1;
    if (std::find(visited.begin(), end, hash) != end) return;
    node = names_.find(hash, subject.name);
  }
}

// Not a node's address: the next version of the name has another, and a freed one serves a stranger.
std::uint64_t Composer::identity() const {
  if (found_) return query_.hash;
  std::uint64_t hash = zones::hash_name(names_.seed(), stands_for_.data(), stands_for_.size());
  return rcode_ == rcode::kNxDomain ? ~hash : hash;
}

// Returns the CNAME to follow, if that is what stands here.
const RrsetAnswer* Composer::answer_node(const Node& node, const Subject& subject) {
  answered_ = &node;
  note(node.zone(), node.name());
  if (node.has(NodeFlag::Cut) && query_.type != record_type::kDs) {
    refer(node, subject);
    return nullptr;
  }
  authoritative_ = true;
  if (const RrsetAnswer* rrset = node.find(query_.type)) {
    bool fits = append(node.answer(*rrset), rrset->count, answers_, subject);
    if (fits && rrset->additional_count > 0) add_hosts(node, *rrset);
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

const RrsetAnswer* Composer::answer_absent(const Subject& subject) {
  const Node* encloser = closest_encloser(subject);
  if (encloser == nullptr) {
    // In no zone of ours. Behind a CNAME of ours that is the resolver's next question, else it was asked in vain.
    if (answers_ == 0) rcode_ = rcode::kRefused;
    return nullptr;
  }
  if (encloser->has(NodeFlag::Cut)) {
    note(encloser->zone(), encloser->name());
    refer(*encloser, subject);
    return nullptr;
  }
  if (encloser->has(NodeFlag::Wildcard)) {
    std::array<char, base::kMaxNameLength + 2> name;
    name[0] = '\1';
    name[1] = '*';
    std::string_view parent = encloser->name();
    std::memcpy(name.data() + 2, parent.data(), parent.size());
    const Node* wildcard = names_.find({name.data(), parent.size() + 2});
    // A zone of its own that is named `*` is no wildcard of the zone above it.
    if (wildcard != nullptr && !wildcard->has(NodeFlag::Apex)) return answer_node(*wildcard, subject);
  }
  note(encloser->zone(), encloser->zone().apex.wire());
  authoritative_ = true;
  rcode_ = rcode::kNxDomain;  // of the last name in a chain (RFC 6604 §3)
  append_soa(encloser->zone(), subject, Section::Authority);
  return nullptr;
}

// RFC 4592 §3.3.1. Longer ancestors than any name that exists are passed over: a query of 127 labels costs no more
// look-ups than the zones are deep.
const Node* Composer::closest_encloser(const Subject& subject) const {
  std::size_t deepest = names_.max_labels();
  std::size_t labels = subject.labels;
  for (std::string_view name = subject.name; labels > 0;) {
    name = without_first_label(name);
    --labels;
    if (labels > deepest) continue;
    if (const Node* node = names_.find(name)) return node;
  }
  return nullptr;
}

// DS belongs to the parent's side of a cut (RFC 4035 §3.1.4.1), when we serve that too.
const ZoneAnswers& Composer::zone_of_negative(const Node& node, const Subject& subject) const {
  if (query_.type == record_type::kDs && node.has(NodeFlag::Apex)) {
    const Node* above = closest_encloser(subject);
    if (above != nullptr && !above->has(NodeFlag::Cut)) return above->zone();
  }
  return node.zone();
}

// RFC 8482 §4.1: one RRset stands for all.
bool Composer::answer_any(const Node& node, const Subject& subject) {
  if (!node.rrsets().empty()) {
    const RrsetAnswer& rrset = node.rrsets().front();
    append(node.answer(rrset), rrset.count, answers_, subject);
    return true;
  }
  return false;
}

// RFC 1034 §4.3.2 step 3b. The cut's name is the subject's own end.
void Composer::refer(const Node& cut, const Subject& subject) {
  const RrsetAnswer* servers = cut.find(record_type::kNs);
  if (servers == nullptr) return;
  authoritative_ = answers_ > 0;
  referral_ = true;
  Subject owner = subject;
  owner.offset = subject.offset + subject.name.size() - cut.name().size();
  if (!append(cut.answer(*servers), servers->count, authorities_, owner)) return;
  if (!add_hosts(cut, *servers)) truncated_ = true;  // glue is not optional (RFC 9471 §3)
}

bool Composer::add_hosts(const Node& node, const RrsetAnswer& rrset) {
  Bytes records = node.additional(rrset);
  if (records.size() > left()) return false;
  copy(records);
  additionals_ = static_cast<std::uint16_t>(additionals_ + rrset.additional_count);
  return true;
}

// Continues with the CNAME's target, which stands at `offset` of the packet. False when it cannot be pointed at, or is
// not one whole name: the reader of the records refuses such, and this writes behind nothing even if it did not.
bool Composer::follow(Bytes target, std::size_t offset, Subject& subject) {
  if (target.size() > base::kMaxNameLength || offset + target.size() > 0x3fff) return false;
  std::size_t length = 0;
  std::size_t labels = 0;
  for (;; ++labels) {
    if (length == target.size()) return false;
    auto label = std::to_integer<std::size_t>(target[length]);
    if (label > base::kMaxLabelLength || target.size() - length <= label) return false;
    chased_[length] = static_cast<char>(label);
    for (std::size_t i = 1; i <= label; ++i) {
      auto c = std::to_integer<char>(target[length + i]);
      chased_[length + i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    length += 1 + label;
    if (label == 0) break;
  }
  if (length != target.size()) return false;
  subject = {{chased_.data(), length}, offset, labels};
  return true;
}

void Composer::append_soa(const ZoneAnswers& zone, const Subject& subject, Section section) {
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
bool Composer::append(Bytes records, std::uint16_t count, std::uint16_t& section_count, const Subject& owner) {
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
void Composer::point_owners(std::size_t start, std::size_t offset) {
  while (start < at_) {
    store_u16(query_.packet + start, static_cast<std::uint16_t>(0xc000U | offset));
    start += 2 + kRecordFields + load_u16(query_.packet + start + 2 + 8);
  }
}

void Composer::truncate() {
  truncated_ = true;
  at_ = kHeaderLength + query_.question_length;
  answers_ = aliases_ = authorities_ = additionals_ = 0;
}

void Composer::copy(Bytes bytes) {
  if (!bytes.empty()) std::memcpy(query_.packet + at_, bytes.data(), bytes.size());
  at_ += bytes.size();
}

}  // namespace countersign::dnsd
