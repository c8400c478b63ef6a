#include "dnsd/update/update_message.hpp"

#include <ldns/ldns.h>

#include <algorithm>
#include <unordered_set>

#include "base/handle.hpp"
#include "dnsd/answer/dns_constants.hpp"
#include "dnsd/update/wire_record.hpp"
#include "zones/record_type.hpp"

namespace countersign::dnsd {
namespace {

using base::Bytes;
using zones::Prerequisite;
using zones::TxtChange;
namespace record_type = zones::record_type;
using LdnsRecord = base::Handle<ldns_rr, ldns_rr_free>;
// Absent: all is well.
using Refusal = std::optional<UpdateRefusal>;

constexpr std::uint16_t kNotZone = 10;
constexpr std::uint16_t kClassNone = 254;
// Prerequisites and updates of a message. Clients send a few; it is what one transaction of the store should hold.
constexpr std::size_t kMaxRecords = 1000;
// Prerequisites with RDATA of another type than TXT. ldns follows pointers to pointers without a limit of its own:
// 1,000 such records took 50 ms.
constexpr std::size_t kMaxForeignRecords = 100;

template <class... Args>
UpdateRefusal refuse(std::uint16_t rcode, fmt::format_string<Args...> text, Args&&... args) {
  return {.rcode = rcode, .reason = fmt::format(text, std::forward<Args>(args)...)};
}

struct Record {
  base::Name owner;
  WireRecord wire;
};

// The message, taken apart. Additional records say nothing to an update.
struct Sections {
  base::Name zone;
  std::uint16_t zone_type = 0;
  std::uint16_t zone_class = 0;
  std::vector<Record> prerequisites;
  std::vector<Record> updates;
};

Refusal read_section(Bytes message, base::WireReader& reader, std::size_t count, std::vector<Record>& records) {
  for (; count > 0; --count) {
    WireRecord wire = read_record(reader);
    if (!reader.ok()) return refuse(rcode::kFormErr, "the message is cut short");
    auto owner = read_name(message, wire.at);
    if (!owner) return refuse(rcode::kFormErr, "{}", owner.error().message);
    records.push_back({std::move(*owner), wire});
  }
  return std::nullopt;
}

Refusal read_additionals(base::WireReader& reader, std::size_t count) {
  bool opt = false;
  for (; count > 0; --count) {
    WireRecord wire = read_record(reader);
    if (!reader.ok()) return refuse(rcode::kFormErr, "the message is cut short");
    if (wire.type == record_type::kTsig) return refuse(rcode::kFormErr, "the message has a second TSIG record");
    if (wire.type != record_type::kOpt) continue;
    if (opt) return refuse(rcode::kFormErr, "the message has two OPT records");  // RFC 6891 §6.1.1
    opt = true;
  }
  if (reader.left() > 0) return refuse(rcode::kFormErr, "octets follow the last record of the message");
  return std::nullopt;
}

Refusal read_message(Bytes message, Sections& sections) {
  base::WireReader reader(message);
  reader.skip(4);
  std::size_t zone_count = reader.u16();
  std::size_t prerequisites = reader.u16();
  std::size_t updates = reader.u16();
  std::size_t additionals = reader.u16();
  if (!reader.ok()) return refuse(rcode::kFormErr, "the message is shorter than a header");
  // RFC 2136 §3.1.1
  if (zone_count != 1) return refuse(rcode::kFormErr, "the message names {} zones, not one", zone_count);
  auto zone = read_name(message, reader.position());
  if (!zone) return refuse(rcode::kFormErr, "{}", zone.error().message);
  skip_name(reader);
  sections.zone = std::move(*zone);
  sections.zone_type = reader.u16();
  sections.zone_class = reader.u16();
  if (!reader.ok()) return refuse(rcode::kFormErr, "the message is cut short");
  if (prerequisites + updates > kMaxRecords)
    return refuse(rcode::kRefused, "the message has {} records; at most {} are taken: send several messages",
                  prerequisites + updates, kMaxRecords);
  if (auto refusal = read_section(message, reader, prerequisites, sections.prerequisites)) return refusal;
  if (auto refusal = read_section(message, reader, updates, sections.updates)) return refusal;
  return read_additionals(reader, additionals);
}

// Whether a name belongs to a zone of ours, and not to a deeper one.
class ZoneCut {
 public:
  ZoneCut(const base::Name& zone, std::span<const base::Name> zones) : zone_(zone) {
    for (const base::Name& other : zones)
      if (other != zone && other.is_within(zone)) deeper_.insert(other.wire());
  }

  [[nodiscard]] bool holds(const base::Name& name) const {
    if (!name.is_within(zone_)) return false;
    if (deeper_.empty()) return true;
    for (std::string_view wire = name.wire(); wire != zone_.wire();
         wire.remove_prefix(1U + static_cast<unsigned char>(wire[0])))
      if (deeper_.contains(wire)) return false;
    return true;
  }

 private:
  const base::Name& zone_;
  std::unordered_set<std::string_view> deeper_;
};

UpdateRefusal not_in_zone(const Record& record, const base::Name& zone) {
  return refuse(kNotZone, "\"{}\" is not in zone \"{}\"", record.owner.text(), zone.text());
}

// Types of questions and of transport (RFC 6895 §3.1): no zone has records of them.
bool is_meta(std::uint16_t type) {
  return type == 0 || type == record_type::kOpt || (type >= 128 && type <= 255);
}

// RDATA of TXT (RFC 1035 §3.3.14): strings, one at least, to its very end. Returns them joined.
std::optional<std::string> join_strings(Bytes rdata) {
  base::WireReader reader(rdata);
  std::string text;
  while (reader.left() > 0 && reader.ok()) text += base::as_text(reader.bytes(reader.u8()));
  if (rdata.empty() || !reader.ok()) return std::nullopt;
  return text;
}

// RDATA whole and uncompressed, its names in lower case where RFC 4034 §6.2 has them so. Absent: not of its type.
std::optional<std::string> canonical_rdata(Bytes message, const WireRecord& wire) {
  constexpr std::uint16_t kNullType = 10;  // RFC 1035 §3.3.10: may be empty
  ldns_rr* raw = nullptr;
  std::size_t position = wire.at;
  // Not beyond the record: ldns takes RDATA that is too long or too short, and moves on with what it understood.
  ldns_status status = ldns_wire2rr(&raw, reinterpret_cast<const std::uint8_t*>(message.data()), wire.end, &position,
                                    LDNS_SECTION_ANSWER);
  LdnsRecord record(status == LDNS_STATUS_OK ? raw : nullptr);
  if (!record || position != wire.end) return std::nullopt;
  std::size_t least = wire.type == kNullType ? 0 : ldns_rr_descriptor_minimum(ldns_rr_descript(wire.type));
  if (ldns_rr_rd_count(record.get()) < least) return std::nullopt;
  ldns_rr2canonical(record.get());
  std::string rdata;
  for (std::size_t i = 0; i < ldns_rr_rd_count(record.get()); ++i) {
    const ldns_rdf* field = ldns_rr_rdf(record.get(), i);
    rdata.append(reinterpret_cast<const char*>(ldns_rdf_data(field)), ldns_rdf_size(field));
  }
  return rdata;
}

// RFC 2136 §3.2, the part that needs no zone data.
class PrerequisiteReader {
 public:
  PrerequisiteReader(Bytes message, const base::Name& zone, const ZoneCut& cut)
      : message_(message), zone_(zone), cut_(cut) {}

  Refusal read(const std::vector<Record>& records, std::vector<Prerequisite>& out) {
    for (const Record& record : records)
      if (auto refusal = take(record, out)) return refusal;
    group_sets(out);
    return std::nullopt;
  }

 private:
  struct Member {
    const Record* record = nullptr;
    std::string rdata;
  };

  Refusal take(const Record& record, std::vector<Prerequisite>& out) {
    const WireRecord& wire = record.wire;
    if (wire.ttl != 0) return refuse(rcode::kFormErr, "a prerequisite has a TTL of {}, not 0", wire.ttl);
    if (!cut_.holds(record.owner)) return not_in_zone(record, zone_);
    if (wire.record_class == kClassIn) return take_member(record);
    bool exists = wire.record_class == kClassAny;
    if (!exists && wire.record_class != kClassNone)
      return refuse(rcode::kFormErr, "a prerequisite has class {}", wire.record_class);
    if (!wire.rdata.empty()) return refuse(rcode::kFormErr, "a prerequisite of class ANY or NONE has data");
    if (wire.type == record_type::kAny) {
      auto kind = exists ? Prerequisite::Kind::NameInUse : Prerequisite::Kind::NameNotInUse;
      out.push_back({.kind = kind, .name = record.owner, .type = 0, .rdatas = {}});
      return std::nullopt;
    }
    // Of other types of questions there simply is no RRset; these two are of messages, and in a place of their own.
    if (wire.type == record_type::kOpt || wire.type == record_type::kTsig)
      return refuse(rcode::kFormErr, "a prerequisite has type {}", wire.type);
    auto kind = exists ? Prerequisite::Kind::RrsetExists : Prerequisite::Kind::RrsetNotExists;
    out.push_back({.kind = kind, .name = record.owner, .type = wire.type, .rdatas = {}});
    return std::nullopt;
  }

  // RFC 2136 §2.4.2: one record of a set that must be in the zone just so.
  Refusal take_member(const Record& record) {
    const WireRecord& wire = record.wire;
    if (is_meta(wire.type)) return refuse(rcode::kFormErr, "a prerequisite has type {}", wire.type);
    std::optional<std::string> rdata;
    if (wire.type == record_type::kTxt) {
      // As it stands: what is compared is what was served, not the joined text.
      if (join_strings(wire.rdata)) rdata = base::as_text(wire.rdata);
    } else {
      if (++foreign_ > kMaxForeignRecords)
        return refuse(rcode::kRefused, "the message has more than {} prerequisites with data of other types than TXT",
                      kMaxForeignRecords);
      rdata = canonical_rdata(message_, wire);
    }
    if (!rdata) return refuse(rcode::kFormErr, "a prerequisite has data that is not of its type {}", wire.type);
    members_.push_back({&record, std::move(*rdata)});
    return std::nullopt;
  }

  // RFC 2136 §3.2.3: sets are compared when all records of them are known, behind the other prerequisites.
  void group_sets(std::vector<Prerequisite>& out) {
    auto key = [](const Member& member) {
      return std::tuple(member.record->owner.wire(), member.record->wire.type, std::string_view(member.rdata));
    };
    std::sort(members_.begin(), members_.end(), [&](const Member& a, const Member& b) { return key(a) < key(b); });
    for (Member& member : members_) {
      const base::Name& name = member.record->owner;
      std::uint16_t type = member.record->wire.type;
      bool same = !out.empty() && out.back().kind == Prerequisite::Kind::RrsetEquals && out.back().name == name &&
                  out.back().type == type;
      if (!same) out.push_back({.kind = Prerequisite::Kind::RrsetEquals, .name = name, .type = type, .rdatas = {}});
      auto& rdatas = out.back().rdatas;
      // A set has no record twice (RFC 2181 §5).
      if (rdatas.empty() || rdatas.back() != member.rdata) rdatas.push_back(std::move(member.rdata));
    }
  }

  Bytes message_;
  const base::Name& zone_;
  const ZoneCut& cut_;
  std::size_t foreign_ = 0;
  std::vector<Member> members_;
};

// RFC 2136 §3.4.1.2.
Refusal prescan(const Record& record) {
  const WireRecord& wire = record.wire;
  switch (wire.record_class) {
    case kClassIn:
      if (is_meta(wire.type)) return refuse(rcode::kFormErr, "a record of type {} is to be added", wire.type);
      break;
    case kClassAny:
      if (wire.ttl != 0 || !wire.rdata.empty())
        return refuse(rcode::kFormErr, "the deletion of an RRset has a TTL or data");
      if (is_meta(wire.type) && wire.type != record_type::kAny)
        return refuse(rcode::kFormErr, "an RRset of type {} is to be deleted", wire.type);
      return std::nullopt;
    case kClassNone:
      if (wire.ttl != 0) return refuse(rcode::kFormErr, "the deletion of a record has a TTL of {}, not 0", wire.ttl);
      if (is_meta(wire.type)) return refuse(rcode::kFormErr, "a record of type {} is to be deleted", wire.type);
      break;
    default:
      return refuse(rcode::kFormErr, "an update has class {}", wire.record_class);
  }
  if (wire.type == record_type::kTxt && !join_strings(wire.rdata))
    return refuse(rcode::kFormErr, "a TXT record has data that is none");
  return std::nullopt;
}

// RFC 2136 §3.3: what the key may do.
Refusal permit(const Record& record, const TsigKey& key) {
  std::uint16_t type = record.wire.type;
  bool whole_name = record.wire.record_class == kClassAny && type == record_type::kAny;
  if (type != record_type::kTxt && !whole_name)
    return refuse(rcode::kRefused, "\"{}\" type {}: only TXT records may be changed", record.owner.text(), type);
  auto matches = [&](const conf::NamePattern& pattern) { return pattern.matches(record.owner); };
  if (std::none_of(key.allow.begin(), key.allow.end(), matches))
    return refuse(rcode::kRefused,
                  "\"{}\" is not among the names that key \"{}\" may change; add it to the key's allow",
                  record.owner.text(), key.name.text());
  return std::nullopt;
}

Refusal make_change(const Record& record, const std::string& owner, std::vector<TxtChange>& out) {
  TxtChange change;
  change.name = record.owner;
  change.owner = owner;
  if (record.wire.record_class == kClassAny) {
    change.kind = TxtChange::Kind::RemoveAll;
    change.whose = TxtChange::Whose::Owners;
    out.push_back(std::move(change));
    return std::nullopt;
  }
  change.kind = record.wire.record_class == kClassNone ? TxtChange::Kind::Remove : TxtChange::Kind::Add;
  // Strings are a matter of the wire alone: a text beyond 255 octets needs several, and is one value.
  auto value = zones::TxtValue::parse(join_strings(record.wire.rdata).value_or(""));
  if (!value) return refuse(rcode::kRefused, "\"{}\": {}", record.owner.text(), value.error().message);
  change.value = std::move(*value);
  out.push_back(std::move(change));
  return std::nullopt;
}

Refusal read_updates(const Sections& sections, const ZoneCut& cut, const TsigKey& key, std::vector<TxtChange>& out) {
  for (const Record& record : sections.updates) {
    if (!cut.holds(record.owner)) return not_in_zone(record, sections.zone);
    if (auto refusal = prescan(record)) return refusal;
  }
  for (const Record& record : sections.updates)
    if (auto refusal = permit(record, key)) return refusal;
  const std::string owner = "key:" + key.name.text();
  out.reserve(sections.updates.size());
  for (const Record& record : sections.updates)
    if (auto refusal = make_change(record, owner, out)) return refusal;
  return std::nullopt;
}

}  // namespace

std::variant<UpdateRequest, UpdateRefusal> parse_update(Bytes message, std::span<const base::Name> zones,
                                                        const TsigKey& key) {
  Sections sections;
  if (auto refusal = read_message(message, sections)) return *refusal;
  // RFC 2136 §3.1.1, §3.1.2
  if (sections.zone_type != record_type::kSoa)
    return refuse(rcode::kFormErr, "the zone's type is {}, not SOA", sections.zone_type);
  bool ours = std::find(zones.begin(), zones.end(), sections.zone) != zones.end();
  if (!ours || sections.zone_class != kClassIn)
    return refuse(rcode::kNotAuth, "\"{}\" class {} is no zone of this server", sections.zone.text(),
                  sections.zone_class);
  ZoneCut cut(sections.zone, zones);
  UpdateRequest request{.zone = sections.zone, .update = {}};
  PrerequisiteReader prerequisites(message, sections.zone, cut);
  if (auto refusal = prerequisites.read(sections.prerequisites, request.update.prerequisites)) return *refusal;
  if (auto refusal = read_updates(sections, cut, key, request.update.changes)) return *refusal;
  return request;
}

}  // namespace countersign::dnsd
