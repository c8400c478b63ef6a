// The static records of one zone, in a few large blocks of memory: millions of them cost little more than their octets.
// Thread: immutable once built; copies share the blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/name.hpp"

namespace countersign::zones {

// As it lies in a block.
struct RecordView {
  std::string_view owner;  // lower-case wire
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;   // seconds; one for the whole RRset (RFC 2181 §5.2)
  std::string_view rdata;  // wire format
};

struct StaticRrset {
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  std::vector<std::string> rdatas;  // no duplicates
};

class StaticRecords {
 public:
  // Names that own records.
  [[nodiscard]] std::size_t size() const { return blocks_ ? blocks_->owners : 0; }
  // Calls `visit` once for each owner, in the order of their wire format, with its records, those of an RRset together.
  using Visit = std::function<void(std::span<const RecordView> records)>;
  void each(const Visit& visit) const;
  // What `owner` has, copied; nothing when it owns nothing.
  [[nodiscard]] std::vector<StaticRrset> find(std::string_view owner) const;

 private:
  friend class StaticRecordsBuilder;
  // TTL, type, RDLENGTH, length of the owner, owner, RDATA: without padding, read by view().
  using Entry = const char*;
  struct Blocks {
    std::vector<std::unique_ptr<char[]>> memory;
    std::vector<Entry> entries;  // sorted by owner, then by RRset
    std::size_t owners = 0;
  };
  [[nodiscard]] static RecordView view(Entry entry);
  [[nodiscard]] static std::string_view owner_of(Entry entry);

  std::shared_ptr<const Blocks> blocks_;
};

class StaticRecordsBuilder {
 public:
  // In any order. `source` says where the record came from, for complaints.
  void add(const RecordView& record, std::uint32_t source);
  // Drops duplicates, and what makes an RRset longer than `max_octets` in an answer: `too_long` is told of the first
  // such record of each. The builder is empty afterwards.
  using Complaint = std::function<void(const RecordView& record, std::uint32_t source)>;
  [[nodiscard]] StaticRecords finish(std::size_t max_octets, const Complaint& too_long);

 private:
  struct Draft {
    std::uint64_t prefix;  // the owner's first octets: spares the sort most looks at the owner itself
    char* entry;
    std::uint32_t source;
    std::uint32_t number;  // in the order in which they were written
  };
  [[nodiscard]] char* allocate(std::size_t octets);
  void finish_owner(std::span<Draft> records, std::size_t max_octets, const Complaint& too_long);

  std::shared_ptr<StaticRecords::Blocks> blocks_ = std::make_shared<StaticRecords::Blocks>();
  std::vector<Draft> drafts_;
  char* free_ = nullptr;  // in the last block
  std::size_t left_ = 0;
  std::size_t next_block_ = 4096;  // small zones stay small
};

}  // namespace countersign::zones
