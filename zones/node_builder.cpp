#include "zones/node_builder.hpp"

#include <cassert>
#include <cstring>
#include <new>

namespace countersign::zones {
namespace {

void append_u16(std::string& out, std::uint16_t value) {
  out.push_back(static_cast<char>(value >> 8U));
  out.push_back(static_cast<char>(value & 0xffU));
}

std::size_t size_of(const Node& node, std::size_t header_and_name) {
  if (node.rrsets().empty()) return header_and_name;
  const RrsetAnswer& last = node.rrsets().back();
  return last.offset + last.length + last.additional_length;
}

}  // namespace

void append_record(std::string& out, std::string_view owner, std::uint16_t type, std::uint32_t ttl,
                   std::string_view rdata) {
  constexpr std::uint16_t kClassIn = 1;
  out += owner;
  append_u16(out, type);
  append_u16(out, kClassIn);
  append_u16(out, static_cast<std::uint16_t>(ttl >> 16U));
  append_u16(out, static_cast<std::uint16_t>(ttl & 0xffffU));
  append_u16(out, static_cast<std::uint16_t>(rdata.size()));
  out += rdata;
}

Node* NodeBuilder::build(const NodeSource& source) {
  assert(source.name.size() <= base::kMaxNameLength);
  std::size_t header_and_name = sizeof(Node) + sizeof(RrsetAnswer) * source.rrsets.size() + source.name.size();
  std::size_t size = header_and_name;
  for (const RrsetSource& rrset : source.rrsets) size += rrset.answer.size() + rrset.additional.size();
  // operator new and not a vector: readers get one block with everything in it, two cache misses a query at most.
  auto* block = static_cast<char*>(::operator new(size));
  Node* node = ::new (block) Node;
  node->zone_ = source.zone;
  node->children_ = source.children;
  node->flags_ = source.flags;
  node->name_length_ = static_cast<std::uint8_t>(source.name.size());
  node->rrsets_ = static_cast<std::uint16_t>(source.rrsets.size());
  char* rrset_at = block + sizeof(Node);
  std::size_t at = header_and_name;
  for (const RrsetSource& rrset : source.rrsets) {
    RrsetAnswer made;
    made.type = rrset.type;
    made.count = rrset.count;
    made.offset = static_cast<std::uint32_t>(at);
    made.length = static_cast<std::uint32_t>(rrset.answer.size());
    made.additional_count = rrset.additional_count;
    made.additional_length = static_cast<std::uint16_t>(rrset.additional.size());
    ::new (rrset_at) RrsetAnswer(made);
    rrset_at += sizeof(RrsetAnswer);
    at += rrset.answer.copy(block + at, rrset.answer.size());
    at += rrset.additional.copy(block + at, rrset.additional.size());
  }
  source.name.copy(rrset_at, source.name.size());
  return node;
}

RrsetSource NodeBuilder::source_of(const Node& node, const RrsetAnswer& rrset) {
  return {rrset.type, rrset.count, rrset.additional_count, base::as_text(node.answer(rrset)),
          base::as_text(node.additional(rrset))};
}

Node* NodeBuilder::copy(const Node& node, std::uint8_t flags) {
  std::size_t header_and_name = sizeof(Node) + sizeof(RrsetAnswer) * node.rrsets_ + node.name_length_;
  std::size_t size = size_of(node, header_and_name);
  void* block = ::operator new(size);
  Node* made = ::new (block) Node;
  *made = node;
  made->flags_ = flags;
  std::memcpy(static_cast<char*>(block) + sizeof(Node), reinterpret_cast<const char*>(&node) + sizeof(Node),
              size - sizeof(Node));
  return made;
}

void NodeBuilder::free(void* node) {
  ::operator delete(node);
}

}  // namespace countersign::zones
