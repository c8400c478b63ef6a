#include "zones/zone_records.hpp"

#include <malloc.h>

#include <algorithm>

#include "zones/record_type.hpp"

namespace countersign::zones {
namespace {

using base::ErrorCode;
using base::fail;
using base::Name;
using base::Result;

// Told to secondaries and caches; our zones change by the second and have no secondaries yet. RFC 1912 §2.2's ranges.
constexpr std::uint32_t kSoaTtl = 3600;
constexpr std::uint32_t kRefresh = 3600;
constexpr std::uint32_t kRetry = 600;
constexpr std::uint32_t kExpire = 1'209'600;
// Room that an answer leaves for OPT with its options (a cookie of 40 octets among them).
constexpr std::size_t kOptRoom = 64;
constexpr std::size_t kHeaderOctets = 12;
constexpr std::size_t kRecordOctets = 12;  // pointer, type, class, TTL, RDLENGTH

std::uint8_t bit(NodeFlag flag) {
  return static_cast<std::uint8_t>(flag);
}

void append_u32(std::string& out, std::uint32_t value) {
  for (unsigned shift : {24U, 16U, 8U, 0U}) out.push_back(static_cast<char>((value >> shift) & 0xffU));
}

// Calls `visit` with the name and each of its ancestors down to the root, until it returns true.
template <class Visit>
bool climb(std::string_view name, Visit visit) {
  for (;;) {
    if (visit(name)) return true;
    if (name[0] == '\0') return false;
    name.remove_prefix(1U + static_cast<unsigned char>(name[0]));
  }
}

// The host that an RR of these types names; empty for all others.
std::string_view host_of(std::uint16_t type, std::string_view rdata) {
  if (type == record_type::kNs) return rdata;
  if (type == record_type::kMx && rdata.size() > 2) return rdata.substr(2);
  if (type == record_type::kSrv && rdata.size() > 6) return rdata.substr(6);
  return {};
}

// Addresses of the hosts that an RRset names, of those that `may_name` says, behind `out`; returns how many records.
template <class Predicate>
std::uint16_t append_hosts(std::string& out, const StaticRecords& zone, std::span<const RecordView> rrset,
                           Predicate may_name) {
  // With the largest RRset (static_zone.cpp) they still fit one TCP message, and their length fits 16 bits.
  constexpr std::size_t kMaxOctets = 24'000;
  std::size_t count = 0;
  std::size_t start = out.size();
  std::unordered_set<Name> written;  // two MX or SRV records may name one host
  for (const RecordView& record : rrset) {
    auto host = Name::from_wire(base::as_bytes(host_of(record.type, record.rdata)));
    if (!host || !may_name(host->wire()) || !written.insert(*host).second) continue;
    for (const StaticRrset& set : zone.find(host->wire())) {
      if (set.type != record_type::kA && set.type != record_type::kAaaa) continue;
      std::size_t before = out.size();
      for (const std::string& address : set.rdatas) append_record(out, host->wire(), set.type, set.ttl, address);
      // Whole RRsets or nothing of them (RFC 2181 §9).
      if (out.size() - start > kMaxOctets) {
        out.resize(before);
        return static_cast<std::uint16_t>(count);
      }
      count += set.rdatas.size();
    }
  }
  return static_cast<std::uint16_t>(count);
}

// Where a record whose owner is a pointer has its TTL, its RDLENGTH and its RDATA.
constexpr std::size_t kTtlAt = 6;
constexpr std::size_t kLengthAt = 10;
static_assert(kLengthAt + 2 == kRecordOctets);

std::byte* octets_of(std::string& records) {
  return reinterpret_cast<std::byte*>(records.data());
}

// One TTL for the whole RRset (RFC 2181 §5.2): no record keeps more than `limit`; returns what a further one gets.
std::uint32_t cap_ttls(std::string& records, std::uint32_t limit) {
  std::uint32_t ttl = limit;
  for (std::size_t at = 0; at < records.size();) {
    std::byte* record = octets_of(records) + at;
    ttl = std::min(ttl, base::load_u32(record + kTtlAt));
    base::store_u32(record + kTtlAt, ttl);
    at += kRecordOctets + base::load_u16(record + kLengthAt);
  }
  return ttl;
}

// Appends a TXT record, unless its RDATA is among the first `fixed` octets of `records` already.
bool append_value(std::string& records, std::size_t fixed, std::uint32_t ttl, std::string_view value) {
  std::size_t start = records.size();
  append_record(records, kQuestionPointer, record_type::kTxt, ttl, "");
  append_txt_rdata(records, value);
  std::size_t length = records.size() - start - kRecordOctets;
  base::store_u16(octets_of(records) + start + kLengthAt, static_cast<std::uint16_t>(length));
  std::string_view all(records);
  std::string_view rdata = all.substr(start + kRecordOctets);
  for (std::size_t at = 0; at < fixed;) {
    std::size_t other = base::load_u16(octets_of(records) + at + kLengthAt);
    if (all.substr(at + kRecordOctets, other) == rdata) {
      records.resize(start);
      return false;
    }
    at += kRecordOctets + other;
  }
  return true;
}

}  // namespace

ZoneRecords::ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table)
    : zones_(std::move(zones)), limits_(limits), table_(table), writer_(table, zone_of()) {
  index_zones();
}

ZoneRecords::ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table, std::size_t names)
    : zones_(std::move(zones)), limits_(limits), table_(table), writer_(table, zone_of(), names) {
  index_zones();
}

ZoneRecords::ZoneOf ZoneRecords::zone_of() {
  return [this](std::string_view name) -> const ZoneAnswers* {
    std::size_t index = zone_index(name);
    // Below a delegation nothing is ours, not even an empty non-terminal above a deeper zone that is.
    return index == zones_.size() || below_cut(index, name) ? nullptr : answers_[index].get();
  };
}

void ZoneRecords::index_zones() {
  cuts_.resize(zones_.size());
  counts_.resize(zones_.size());
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    answers_.push_back(std::make_unique<ZoneAnswers>());
    answers_.back()->apex = zones_[i].apex;
    by_apex_.emplace(zones_[i].apex.wire(), i);
    zones_[i].records.each([&](std::span<const RecordView> records) {
      std::string_view owner = records.front().owner;
      bool has_ns = std::any_of(records.begin(), records.end(),
                                [](const RecordView& record) { return record.type == record_type::kNs; });
      if (has_ns && owner != zones_[i].apex.wire()) cuts_[i].emplace(owner);
    });
  }
}

ZoneRecords::~ZoneRecords() = default;

void ZoneRecords::take_over(std::unique_ptr<ZoneRecords> before) {
  // One object: a node's zone must live as long as the node, for a reader that holds the one asks the other.
  struct Generation {
    std::unique_ptr<Slots> slots;
    std::vector<std::unique_ptr<ZoneAnswers>> answers;

    ~Generation() {
      slots->free_nodes();
      malloc_trim(0);  // millions of small pieces, which the C library would keep
    }
  };
  auto old = std::make_unique<Generation>();
  old->slots = writer_.show();
  if (before) old->answers = std::move(before->answers_);
  table_.epochs().retire(old.release(), [](void* generation) {
    std::unique_ptr<Generation>(static_cast<Generation*>(generation)).reset();
  });
}

std::size_t ZoneRecords::zone_index(std::string_view name) const {
  std::size_t found = zones_.size();
  climb(name, [&](std::string_view ancestor) {
    auto at = by_apex_.find(ancestor);
    if (at == by_apex_.end()) return false;
    found = at->second;
    return true;
  });
  return found;
}

bool ZoneRecords::below_cut(std::size_t zone, std::string_view name) const {
  if (cuts_[zone].empty()) return false;
  std::string_view apex = zones_[zone].apex.wire();
  return climb(name, [&](std::string_view ancestor) {
    if (ancestor.size() <= apex.size()) return false;
    return ancestor.size() < name.size() && cuts_[zone].contains(ancestor);
  });
}

ZoneRecords::Place ZoneRecords::find_place(std::string_view name) const {
  std::size_t index = zone_index(name);
  if (index == zones_.size()) return {Verdict::NoZone, index};
  if (cuts_[index].contains(name) || below_cut(index, name)) return {Verdict::Delegated, index};
  const Node* node = writer_.look_up(name);
  return {node != nullptr && node->has(NodeFlag::HasCname) ? Verdict::Alias : Verdict::Ours, index};
}

Result<std::size_t> ZoneRecords::place(const Name& name) const {
  auto [verdict, zone] = find_place(name.wire());
  switch (verdict) {
    case Verdict::Ours:
      return zone;
    case Verdict::NoZone:
      return fail(ErrorCode::NotFound, "\"{}\" is in no zone of this server; add a [[zone]] or use a name in one",
                  name.text());
    case Verdict::Delegated:
      return fail(ErrorCode::Invalid, "\"{}\" is delegated away by a static NS record; remove that record",
                  name.text());
    case Verdict::Alias:
      return fail(ErrorCode::Invalid, "\"{}\" has a static CNAME; a CNAME stands alone (RFC 1034 §3.6.2)", name.text());
  }
  return zone;
}

Result<void> ZoneRecords::check_limits(const Name& name, const std::vector<std::string>& values) const {
  if (values.size() > limits_.max_values)
    return fail(ErrorCode::Full, "\"{}\" has {} values already (challenge.max_values); remove one first", name.text(),
                limits_.max_values);
  std::size_t octets = kHeaderOctets + name.wire().size() + 4 + kOptRoom;
  std::string records(fixed_txt(name.wire(), writer_.look_up(name.wire())).answer);
  const std::size_t fixed = records.size();
  // As they would be served: a value that the configuration has already costs nothing.
  std::size_t served = 0;
  for (const std::string& value : values) served += append_value(records, fixed, limits_.ttl, value) ? 1U : 0U;
  octets += records.size();
  if (served == 0) return {};
  if (octets > limits_.max_udp_payload && served == 1 && octets - fixed <= limits_.max_udp_payload)
    return fail(ErrorCode::Full,
                "the static TXT records of \"{}\" leave no room for the value in a response of {} octets; remove some "
                "or raise dns.max_udp_payload",
                name.text(), limits_.max_udp_payload);
  if (octets > limits_.max_udp_payload && served == 1)
    return fail(ErrorCode::Invalid,
                "the value for \"{}\" is too long for a response of {} octets; shorten it or raise "
                "dns.max_udp_payload",
                name.text(), limits_.max_udp_payload);
  if (octets > limits_.max_udp_payload)
    return fail(ErrorCode::Full, "the values of \"{}\" would outgrow a response of {} octets; remove one first",
                name.text(), limits_.max_udp_payload);
  return {};
}

void ZoneRecords::publish_static() {
  // Before any name: an empty non-terminal can lie in another zone than the name that makes it, and has no answer
  // without an SOA.
  for (std::size_t i = 0; i < zones_.size(); ++i) publish_serial(i, 0);
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    zones_[i].records.each([&](std::span<const RecordView> records) { publish_static(i, records); });
    // The nodes hold them from here on, once and not twice.
    zones_[i].records = {};
  }
}

void ZoneRecords::publish_static(std::size_t zone, std::span<const RecordView> records) {
  std::string_view owner = records.front().owner;
  if (below_cut(zone, owner)) return;
  std::uint8_t flags = owner == zones_[zone].apex.wire() ? bit(NodeFlag::Apex) : std::uint8_t{0};
  if (cuts_[zone].contains(owner)) flags |= bit(NodeFlag::Cut);
  buffer_.clear();
  rrsets_.clear();
  for (auto first = records.begin(); first != records.end();) {
    RrsetSource rrset;
    rrset.type = first->type;
    if (rrset.type == record_type::kCname) flags |= bit(NodeFlag::HasCname);
    if (rrset.type == record_type::kTxt) flags |= bit(NodeFlag::StaticTxt);
    auto last = std::find_if(first, records.end(), [&](const RecordView& each) { return each.type != rrset.type; });
    rrset.count = static_cast<std::uint16_t>(last - first);
    std::size_t start = buffer_.size();
    for (const RecordView& record : std::span(first, last))
      append_record(buffer_, kQuestionPointer, record.type, record.ttl, record.rdata);
    std::size_t end = buffer_.size();
    // Glue is for referrals only (RFC 1034 §4.2.1): elsewhere it would pass for our own data.
    bool is_referral = rrset.type == record_type::kNs && (flags & bit(NodeFlag::Cut)) != 0;
    auto may_name = [&](std::string_view host) { return is_referral || !below_cut(zone, host); };
    rrset.additional_count = append_hosts(buffer_, zones_[zone].records, std::span(first, last), may_name);
    // Lengths for now: the buffer may still move.
    rrset.answer = {nullptr, end - start};
    rrset.additional = {nullptr, buffer_.size() - end};
    rrsets_.push_back(rrset);
    first = last;
  }
  const char* at = buffer_.data();
  for (RrsetSource& rrset : rrsets_) {
    rrset.answer = {at, rrset.answer.size()};
    rrset.additional = {at + rrset.answer.size(), rrset.additional.size()};
    at += rrset.answer.size() + rrset.additional.size();
  }
  writer_.put(owner, rrsets_, flags);
}

ZoneRecords::FixedTxt ZoneRecords::fixed_txt(std::string_view name, const Node* node) const {
  if (node == nullptr || !node->has(NodeFlag::StaticTxt)) return {};
  if (auto kept = kept_.find(name); kept != kept_.end()) return {kept->second.count, kept->second.answer};
  const RrsetAnswer* txt = node->find(record_type::kTxt);
  return {txt->count, base::as_text(node->answer(*txt))};
}

void ZoneRecords::publish(const Name& name, const std::vector<std::string>& values) {
  std::vector<std::string_view> views(values.begin(), values.end());
  publish(name.wire(), views);
}

void ZoneRecords::publish(std::string_view name, std::span<const std::string_view> values) {
  std::size_t zone = zone_index(name);
  const Node* node = writer_.look_up(name);
  std::uint8_t flags = name == zones_[zone].apex.wire() ? bit(NodeFlag::Apex) : std::uint8_t{0};
  for (NodeFlag flag : {NodeFlag::Cut, NodeFlag::HasCname, NodeFlag::Pinned, NodeFlag::StaticTxt})
    if (node != nullptr && node->has(flag)) flags |= bit(flag);
  FixedTxt fixed = fixed_txt(name, node);
  RrsetSource txt;
  txt.type = record_type::kTxt;
  txt.count = fixed.count;
  buffer_ = fixed.answer;
  if (!values.empty()) {
    std::uint32_t ttl = cap_ttls(buffer_, limits_.ttl);
    for (std::string_view value : values) {
      // The store holds only what parsed before; and what the configuration says already is not said twice.
      if (TxtValue::is_valid(value) && append_value(buffer_, fixed.answer.size(), ttl, value)) ++txt.count;
    }
    if (fixed.count > 0 && !kept_.contains(name)) kept_.emplace(name, KeptTxt{fixed.count, std::string(fixed.answer)});
  } else if (auto kept = kept_.find(name); kept != kept_.end()) {
    kept_.erase(kept);
  }
  txt.answer = buffer_;
  rrsets_.clear();
  if (txt.count > 0 && fixed.count == 0) rrsets_.push_back(txt);
  const RrsetAnswer* before = nullptr;
  for (const RrsetAnswer& rrset : node == nullptr ? std::span<const RrsetAnswer>() : node->rrsets()) {
    if (rrset.type == record_type::kTxt) before = &rrset;
    if (rrset.type != record_type::kTxt)
      rrsets_.push_back(NodeBuilder::source_of(*node, rrset));
    else if (fixed.count > 0)
      rrsets_.push_back(txt);
  }
  // What stands as a static record too is counted as that. What this writer's names served until now is the truth; the
  // store may lag behind it while its disk fails.
  count_change(zone, before == nullptr ? 0U : before->count - fixed.count, txt.count - fixed.count);
  writer_.put(name, rrsets_, flags);
}

void ZoneRecords::set_pinned(std::string_view name, std::uint8_t flag) {
  const Node* node = writer_.look_up(name);
  std::uint8_t flags = flag;
  rrsets_.clear();
  if (node != nullptr) {
    for (NodeFlag kept : {NodeFlag::Apex, NodeFlag::Cut, NodeFlag::HasCname, NodeFlag::StaticTxt})
      if (node->has(kept)) flags |= bit(kept);
    for (const RrsetAnswer& rrset : node->rrsets()) rrsets_.push_back(NodeBuilder::source_of(*node, rrset));
  }
  writer_.put(name, rrsets_, flags);
}

void ZoneRecords::pin(std::string_view name) {
  if (!is_pinned(name)) set_pinned(name, bit(NodeFlag::Pinned));
}

void ZoneRecords::unpin(std::string_view name) {
  if (is_pinned(name)) set_pinned(name, 0);
}

bool ZoneRecords::is_pinned(std::string_view name) const {
  const Node* node = writer_.look_up(name);
  return node != nullptr && node->has(NodeFlag::Pinned);
}

std::vector<std::uint16_t> ZoneRecords::static_types(const Name& name) const {
  std::vector<std::uint16_t> types;
  const Node* node = writer_.look_up(name.wire());
  if (node == nullptr) return types;
  if (node->has(NodeFlag::Apex)) types.push_back(record_type::kSoa);
  for (const RrsetAnswer& rrset : node->rrsets()) {
    if (rrset.type != record_type::kTxt || node->has(NodeFlag::StaticTxt)) types.push_back(rrset.type);
  }
  return types;
}

std::vector<std::string> ZoneRecords::static_rdatas(const Name& name, std::uint16_t type) const {
  const Node* node = writer_.look_up(name.wire());
  if (node == nullptr) return {};
  // Behind the owner: type, class, TTL.
  constexpr std::size_t kFields = 2 + 2 + 4;
  if (type == record_type::kSoa) {
    if (!node->has(NodeFlag::Apex)) return {};
    const SoaAnswer* soa = node->zone().soa.load(std::memory_order_acquire);
    return {soa->record.substr(kFields + 2)};
  }
  std::string_view records;
  if (type == record_type::kTxt)
    records = fixed_txt(name.wire(), node).answer;
  else if (const RrsetAnswer* rrset = node->find(type))
    records = base::as_text(node->answer(*rrset));
  std::vector<std::string> rdatas;
  base::WireReader reader(base::as_bytes(records));
  while (reader.ok() && reader.left() > 0) {
    reader.skip(kQuestionPointer.size() + kFields);
    rdatas.emplace_back(base::as_text(reader.bytes(reader.u16())));
  }
  return rdatas;
}

void ZoneRecords::count_change(std::size_t zone, std::size_t served, std::size_t values) {
  ValueCount& count = counts_[zone];
  count.values = count.values + values - served;
  count.names = count.names + (values > 0 ? 1 : 0) - (served > 0 ? 1 : 0);
}

void ZoneRecords::publish_serial(std::size_t zone, std::uint32_t serial) {
  const StaticZone& source = zones_[zone];
  std::string rdata(source.primary.wire());
  rdata += source.hostmaster.wire();
  for (std::uint32_t field : {serial, kRefresh, kRetry, kExpire, source.negative_ttl}) append_u32(rdata, field);
  auto made = std::make_unique<SoaAnswer>();
  made->serial = serial;
  made->negative_ttl = std::min(kSoaTtl, source.negative_ttl);
  append_record(made->record, "", record_type::kSoa, kSoaTtl, rdata);
  const SoaAnswer* old = answers_[zone]->soa.exchange(made.release(), std::memory_order_acq_rel);
  if (old != nullptr)
    table_.epochs().retire(const_cast<SoaAnswer*>(old),
                           [](void* soa) { std::unique_ptr<SoaAnswer>(static_cast<SoaAnswer*>(soa)).reset(); });
}

}  // namespace countersign::zones
