#include "zones/static_records.hpp"

#include <algorithm>
#include <cstring>

namespace countersign::zones {
namespace {

constexpr std::size_t kTtlAt = 0;
constexpr std::size_t kTypeAt = 4;
constexpr std::size_t kLengthAt = 6;
constexpr std::size_t kOwnerLengthAt = 8;
constexpr std::size_t kOwnerAt = 9;
constexpr std::size_t kLargestBlock = std::size_t{1} << 20U;
// Of a record in an answer, besides its RDATA: owner (a pointer), type, class, TTL, RDLENGTH.
constexpr std::size_t kRecordOctets = 12;

template <class Integer>
Integer load(const char* at) {
  Integer value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class Integer>
void store(char* at, Integer value) {
  std::memcpy(at, &value, sizeof value);
}

// Compares as the owner's first eight octets do.
std::uint64_t prefix_of(std::string_view owner) {
  std::uint64_t prefix = 0;
  for (std::size_t i = 0; i < 8; ++i)
    prefix = prefix << 8U | (i < owner.size() ? static_cast<unsigned char>(owner[i]) : 0U);
  return prefix;
}

}  // namespace

std::string_view StaticRecords::owner_of(Entry entry) {
  return {entry + kOwnerAt, load<std::uint8_t>(entry + kOwnerLengthAt)};
}

RecordView StaticRecords::view(Entry entry) {
  std::string_view owner = owner_of(entry);
  return {owner,
          load<std::uint16_t>(entry + kTypeAt),
          load<std::uint32_t>(entry + kTtlAt),
          {owner.data() + owner.size(), load<std::uint16_t>(entry + kLengthAt)}};
}

void StaticRecords::each(const Visit& visit) const {
  if (!blocks_) return;
  std::vector<RecordView> records;
  for (Entry entry : blocks_->entries) {
    RecordView record = view(entry);
    if (!records.empty() && records.front().owner != record.owner) {
      visit(records);
      records.clear();
    }
    records.push_back(record);
  }
  if (!records.empty()) visit(records);
}

std::vector<StaticRrset> StaticRecords::find(std::string_view owner) const {
  std::vector<StaticRrset> found;
  if (!blocks_) return found;
  const auto& entries = blocks_->entries;
  auto at = std::lower_bound(entries.begin(), entries.end(), owner,
                             [](Entry entry, std::string_view wanted) { return owner_of(entry) < wanted; });
  for (; at != entries.end() && owner_of(*at) == owner; ++at) {
    RecordView record = view(*at);
    if (found.empty() || found.back().type != record.type) found.push_back({record.type, record.ttl, {}});
    found.back().rdatas.emplace_back(record.rdata);
  }
  return found;
}

char* StaticRecordsBuilder::allocate(std::size_t octets) {
  if (octets > left_) {
    left_ = std::max(next_block_, octets);
    next_block_ = std::min(next_block_ * 2, kLargestBlock);
    blocks_->memory.push_back(std::make_unique_for_overwrite<char[]>(left_));
    free_ = blocks_->memory.back().get();
  }
  char* block = free_;
  free_ += octets;
  left_ -= octets;
  return block;
}

void StaticRecordsBuilder::add(const RecordView& record, std::uint32_t source) {
  char* entry = allocate(kOwnerAt + record.owner.size() + record.rdata.size());
  store(entry + kTtlAt, record.ttl);
  store(entry + kTypeAt, record.type);
  store(entry + kLengthAt, static_cast<std::uint16_t>(record.rdata.size()));
  store(entry + kOwnerLengthAt, static_cast<std::uint8_t>(record.owner.size()));
  record.owner.copy(entry + kOwnerAt, record.owner.size());
  record.rdata.copy(entry + kOwnerAt + record.owner.size(), record.rdata.size());
  drafts_.push_back({prefix_of(record.owner), entry, source, static_cast<std::uint32_t>(drafts_.size())});
}

StaticRecords StaticRecordsBuilder::finish(std::size_t max_octets, const Complaint& too_long) {
  // Records of an owner stay in the order in which they were written.
  std::sort(drafts_.begin(), drafts_.end(), [](const Draft& a, const Draft& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    int owners = StaticRecords::owner_of(a.entry).compare(StaticRecords::owner_of(b.entry));
    return owners != 0 ? owners < 0 : a.number < b.number;
  });
  blocks_->entries.reserve(drafts_.size());
  for (auto first = drafts_.begin(); first != drafts_.end();) {
    std::string_view owner = StaticRecords::owner_of(first->entry);
    auto last = std::find_if(first, drafts_.end(),
                             [&](const Draft& draft) { return StaticRecords::owner_of(draft.entry) != owner; });
    finish_owner({first, last}, max_octets, too_long);
    first = last;
  }
  blocks_->entries.shrink_to_fit();
  StaticRecords made;
  made.blocks_ = std::move(blocks_);
  *this = StaticRecordsBuilder();
  return made;
}

void StaticRecordsBuilder::finish_owner(std::span<Draft> records, std::size_t max_octets, const Complaint& too_long) {
  auto by_number = [](const Draft& a, const Draft& b) { return a.number < b.number; };
  ++blocks_->owners;
  auto type_of = [](const Draft& draft) { return load<std::uint16_t>(draft.entry + kTypeAt); };
  // RRsets in the order in which their first records were written.
  for (auto first = records.begin(); first != records.end();) {
    std::uint16_t type = type_of(*first);
    // In place and by hand: Clang warns of std::stable_partition in libstdc++, which uses a deprecated function.
    auto last = std::partition(first, records.end(), [&](const Draft& draft) { return type_of(draft) == type; });
    std::sort(first, last, by_number);
    std::sort(last, records.end(), by_number);
    std::size_t kept = blocks_->entries.size();
    std::size_t octets = 0;
    bool full = false;
    std::uint32_t ttl = UINT32_MAX;
    for (const Draft& draft : std::span(first, last)) {
      RecordView record = StaticRecords::view(draft.entry);
      ttl = std::min(ttl, record.ttl);  // one TTL for all, the most cautious (RFC 2181 §5.2)
      auto same = [&](StaticRecords::Entry entry) { return StaticRecords::view(entry).rdata == record.rdata; };
      if (full ||
          std::any_of(blocks_->entries.begin() + static_cast<std::ptrdiff_t>(kept), blocks_->entries.end(), same))
        continue;
      octets += kRecordOctets + record.rdata.size();
      full = octets > max_octets;
      if (full)
        too_long(record, draft.source);
      else
        blocks_->entries.push_back(draft.entry);
    }
    for (const Draft& draft : std::span(first, last)) store(draft.entry + kTtlAt, ttl);
    first = last;
  }
}

}  // namespace countersign::zones
