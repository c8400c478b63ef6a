// Makes nodes: the one place that knows how a Node's block of memory is laid out.
// Thread: the store thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "zones/answer.hpp"

namespace countersign::zones {

// Views: of a buffer, or of the node that is replaced.
struct RrsetSource {
  std::uint16_t type = 0;
  std::uint16_t count = 0;             // records in the answer
  std::uint16_t additional_count = 0;  // and in the additional section
  std::string_view answer;             // whole records, their owner a pointer to the question
  // Whole records, owners written out, that go into the additional section when there is room.
  std::string_view additional;
};

struct NodeSource {
  const ZoneAnswers* zone = nullptr;
  std::string_view name;   // lower-case wire
  std::uint8_t flags = 0;  // NodeFlag
  std::uint32_t children = 0;
  std::span<const RrsetSource> rrsets;
};

class NodeBuilder {
 public:
  [[nodiscard]] static Node* build(const NodeSource& source);
  // What build() would make the same RRset of again, in another node.
  [[nodiscard]] static RrsetSource source_of(const Node& node, const RrsetAnswer& rrset);
  // The same node with other flags.
  [[nodiscard]] static Node* copy(const Node& node, std::uint8_t flags);
  static void free(void* node);
};

// One record behind the question or with its owner written out: owner, type, IN, TTL, RDLENGTH, RDATA.
void append_record(std::string& out, std::string_view owner, std::uint16_t type, std::uint32_t ttl,
                   std::string_view rdata);
// A pointer to offset 12: where the question's name begins (RFC 1035 §4.1.4).
inline constexpr std::string_view kQuestionPointer{"\xc0\x0c", 2};

}  // namespace countersign::zones
