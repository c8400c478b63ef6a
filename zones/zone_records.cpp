#include "zones/zone_records.hpp"

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

}  // namespace

ZoneRecords::ZoneRecords(std::vector<StaticZone> zones, TxtLimits limits, NameTable& table)
    : zones_(std::move(zones)),
      cuts_(zones_.size()),
      counts_(zones_.size()),
      limits_(limits),
      table_(table),
      writer_(table, [this](std::string_view name) -> const ZoneAnswers* {
        std::size_t index = zone_index(name);
        // Below a delegation nothing is ours, not even an empty non-terminal above a deeper zone that is.
        return index == zones_.size() || below_cut(index, name) ? nullptr : answers_[index].get();
      }) {
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    answers_.push_back(std::make_unique<ZoneAnswers>());
    answers_.back()->apex = zones_[i].apex;
    by_apex_.emplace(zones_[i].apex.wire(), i);
    for (const auto& [owner, rrsets] : zones_[i].names) {
      bool has_ns = std::any_of(rrsets.begin(), rrsets.end(),
                                [](const StaticRrset& set) { return set.type == record_type::kNs; });
      if (has_ns && owner != zones_[i].apex) cuts_[i].insert(owner.wire());
    }
  }
}

ZoneRecords::~ZoneRecords() = default;

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

Result<std::size_t> ZoneRecords::place(const Name& name) const {
  std::size_t index = zone_index(name.wire());
  if (index == zones_.size())
    return fail(ErrorCode::NotFound, "\"{}\" is in no zone of this server; add a [[zone]] or use a name in one",
                name.text());
  if (cuts_[index].contains(name.wire()) || below_cut(index, name.wire()))
    return fail(ErrorCode::Invalid, "\"{}\" is delegated away by a static NS record; remove that record", name.text());
  auto found = zones_[index].names.find(name);
  if (found != zones_[index].names.end()) {
    for (const StaticRrset& set : found->second)
      if (set.type == record_type::kCname)
        return fail(ErrorCode::Invalid, "\"{}\" has a static CNAME; a CNAME stands alone (RFC 1034 §3.6.2)",
                    name.text());
  }
  return index;
}

Result<void> ZoneRecords::check_limits(const Name& name, const std::vector<std::string>& values) const {
  if (values.size() > limits_.max_values)
    return fail(ErrorCode::Full, "\"{}\" has {} values already (challenge.max_values); remove one first", name.text(),
                limits_.max_values);
  std::size_t octets = kHeaderOctets + name.wire().size() + 4 + kOptRoom;
  for (const std::string& value : values) octets += kRecordOctets + value.size() + (value.size() + 254) / 255;
  for (const RrsetSource& set : static_rrsets(zone_index(name.wire()), name)) {
    if (set.type != record_type::kTxt) continue;
    for (const std::string& rdata : set.rdatas) octets += kRecordOctets + rdata.size();
  }
  if (octets > limits_.max_udp_payload && values.size() == 1)
    return fail(ErrorCode::Invalid,
                "the value for \"{}\" is too long for a response of {} octets; shorten it or raise "
                "dns.max_udp_payload",
                name.text(), limits_.max_udp_payload);
  if (octets > limits_.max_udp_payload)
    return fail(ErrorCode::Full, "the values of \"{}\" would outgrow a response of {} octets; remove one first",
                name.text(), limits_.max_udp_payload);
  return {};
}

std::vector<RrsetSource> ZoneRecords::static_rrsets(std::size_t zone, const Name& name) const {
  std::vector<RrsetSource> made;
  auto found = zones_[zone].names.find(name);
  if (found == zones_[zone].names.end()) return made;
  for (const StaticRrset& set : found->second) {
    made.push_back({set.type, set.ttl, set.rdatas, {}, 0});
    add_hosts(zone, made.back());
  }
  return made;
}

void ZoneRecords::add_hosts(std::size_t zone, RrsetSource& rrset) const {
  // With the largest RRset (static_zone.cpp) they still fit one TCP message, and their length fits 16 bits.
  constexpr std::size_t kMaxOctets = 24'000;
  for (const std::string& rdata : rrset.rdatas) {
    auto host = Name::from_wire(base::as_bytes(host_of(rrset.type, rdata)));
    if (!host) continue;
    auto found = zones_[zone].names.find(*host);
    if (found == zones_[zone].names.end()) continue;
    for (const StaticRrset& set : found->second) {
      if (set.type != record_type::kA && set.type != record_type::kAaaa) continue;
      for (const std::string& address : set.rdatas) {
        if (rrset.additional.size() > kMaxOctets) return;
        append_record(rrset.additional, host->wire(), set.type, set.ttl, address);
        ++rrset.additional_count;
      }
    }
  }
}

void ZoneRecords::publish_static() {
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    publish_serial(i, 0);
    for (const auto& [owner, rrsets] : zones_[i].names)
      if (!below_cut(i, owner.wire())) publish(owner, {});
  }
}

void ZoneRecords::publish(const Name& name, const std::vector<std::string>& values) {
  std::size_t zone = zone_index(name.wire());
  std::vector<RrsetSource> rrsets = static_rrsets(zone, name);
  std::uint8_t flags = 0;
  if (name == zones_[zone].apex) flags |= bit(NodeFlag::Apex);
  if (cuts_[zone].contains(name.wire())) flags |= bit(NodeFlag::Cut);
  RrsetSource* txt = nullptr;
  for (RrsetSource& set : rrsets) {
    if (set.type == record_type::kCname) flags |= bit(NodeFlag::HasCname);
    if (set.type == record_type::kTxt) txt = &set;
  }
  std::size_t static_values = txt == nullptr ? 0 : txt->rdatas.size();
  if (!values.empty()) {
    if (txt == nullptr) txt = &*rrsets.insert(rrsets.begin(), RrsetSource{record_type::kTxt, limits_.ttl, {}, {}, 0});
    txt->ttl = std::min(txt->ttl, limits_.ttl);  // one TTL for the whole set (RFC 2181 §5.2)
    for (const std::string& value : values) {
      auto parsed = TxtValue::parse(value);
      if (!parsed) continue;  // the store holds only what parsed before
      std::string rdata = parsed->rdata();
      if (std::find(txt->rdatas.begin(), txt->rdatas.end(), rdata) == txt->rdatas.end())
        txt->rdatas.push_back(std::move(rdata));
    }
  }
  count_change(zone, name, static_values, txt == nullptr ? 0 : txt->rdatas.size() - static_values);
  writer_.put(name.wire(), std::move(rrsets), flags);
}

void ZoneRecords::count_change(std::size_t zone, const Name& name, std::size_t static_values, std::size_t values) {
  // What the table serves now is the truth; the store may lag behind it while its disk fails. A value that stands as a
  // static record too is counted as that.
  const Node* node = table_.find(name.wire());
  const RrsetAnswer* txt = node == nullptr ? nullptr : node->find(record_type::kTxt);
  std::size_t served = txt == nullptr ? 0 : txt->count - std::min<std::size_t>(txt->count, static_values);
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
