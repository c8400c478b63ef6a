// Prebuilt answers: what a name owns, as the bytes that go behind the question.
// Thread: immutable once published; freed through Epochs.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/name.hpp"
#include "base/wire.hpp"

namespace countersign::zones {

// The SOA of a zone at one serial: type, class, TTL, RDLENGTH, RDATA; the owner goes before it.
struct SoaAnswer {
  std::uint32_t serial = 0;
  std::uint32_t negative_ttl = 0;  // seconds: min(SOA TTL, MINIMUM), RFC 2308 §3
  std::string record;
};

// What all nodes of a zone share.
struct ZoneAnswers {
  base::Name apex;
  // Replaced with each commit that changes the zone, freed through Epochs.
  std::atomic<const SoaAnswer*> soa{nullptr};

  ZoneAnswers() = default;
  ZoneAnswers(const ZoneAnswers&) = delete;
  ZoneAnswers& operator=(const ZoneAnswers&) = delete;
  ~ZoneAnswers() { delete soa.load(std::memory_order_relaxed); }
};

// One RRset of a node. Each record's owner is a pointer to the question (0xc00c).
struct RrsetAnswer {
  std::uint16_t type = 0;
  std::uint16_t count = 0;              // records in the answer
  std::uint16_t additional_count = 0;   // address records of the hosts it names
  std::uint16_t additional_length = 0;  // octets, behind the answer; their owners are written out
  std::uint32_t offset = 0;             // into the node's data
  std::uint32_t length = 0;             // octets of the answer
};

enum class NodeFlag : std::uint8_t {
  Apex = 1,      // the zone's own name
  Cut = 2,       // a delegation: NS here, below the apex (RFC 1034 §4.2.1)
  Wildcard = 4,  // has a child `*` (RFC 4592)
  HasCname = 8,
  Pinned = 16,     // stays without any RRset: a registered name is NODATA, never NXDOMAIN
  StaticTxt = 32,  // TXT records of the configuration are among its own; the writer's, readers never look
};

// A name that exists, with or without RRsets of its own (an empty non-terminal has none). One block of memory:
// the header, the RRsets, the name, the answers.
class Node {
 public:
  [[nodiscard]] const ZoneAnswers& zone() const { return *zone_; }
  [[nodiscard]] bool has(NodeFlag flag) const { return (flags_ & static_cast<std::uint8_t>(flag)) != 0; }
  [[nodiscard]] std::string_view name() const { return {data() + sizeof(RrsetAnswer) * rrsets_, name_length_}; }
  [[nodiscard]] std::span<const RrsetAnswer> rrsets() const {
    return {reinterpret_cast<const RrsetAnswer*>(data()), rrsets_};
  }
  [[nodiscard]] const RrsetAnswer* find(std::uint16_t type) const {
    for (const RrsetAnswer& rrset : rrsets())
      if (rrset.type == type) return &rrset;
    return nullptr;
  }
  [[nodiscard]] base::Bytes answer(const RrsetAnswer& rrset) const {
    return {reinterpret_cast<const std::byte*>(this) + rrset.offset, rrset.length};
  }
  [[nodiscard]] base::Bytes additional(const RrsetAnswer& rrset) const {
    return {reinterpret_cast<const std::byte*>(this) + rrset.offset + rrset.length, rrset.additional_length};
  }

 private:
  friend class NodeBuilder;
  friend class NameTableWriter;
  Node() = default;
  [[nodiscard]] const char* data() const { return reinterpret_cast<const char*>(this + 1); }

  const ZoneAnswers* zone_ = nullptr;
  std::uint32_t children_ = 0;  // names directly below; the writer's own, readers never look
  std::uint8_t flags_ = 0;
  std::uint8_t name_length_ = 0;
  std::uint16_t rrsets_ = 0;
};

}  // namespace countersign::zones
