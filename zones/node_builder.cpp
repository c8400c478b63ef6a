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
  std::string answers;
  std::vector<RrsetAnswer> rrsets;
  std::size_t start = sizeof(Node) + sizeof(RrsetAnswer) * source.rrsets.size() + source.name.size();
  for (const RrsetSource& rrset : source.rrsets) {
    RrsetAnswer made;
    made.type = rrset.type;
    made.count = static_cast<std::uint16_t>(rrset.rdatas.size());
    made.offset = static_cast<std::uint32_t>(start + answers.size());
    std::size_t before = answers.size();
    for (const std::string& rdata : rrset.rdatas)
      append_record(answers, kQuestionPointer, rrset.type, rrset.ttl, rdata);
    made.length = static_cast<std::uint32_t>(answers.size() - before);
    made.additional_count = rrset.additional_count;
    made.additional_length = static_cast<std::uint16_t>(rrset.additional.size());
    answers += rrset.additional;
    rrsets.push_back(made);
  }
  // operator new and not a vector: readers get one block with everything in it, two cache misses a query at most.
  void* block = ::operator new(start + answers.size());
  Node* node = ::new (block) Node;
  node->zone_ = source.zone;
  node->children_ = source.children;
  node->flags_ = source.flags;
  node->name_length_ = static_cast<std::uint8_t>(source.name.size());
  node->rrsets_ = static_cast<std::uint16_t>(rrsets.size());
  auto* at = static_cast<char*>(block) + sizeof(Node);
  for (const RrsetAnswer& rrset : rrsets) {
    ::new (at) RrsetAnswer(rrset);
    at += sizeof(RrsetAnswer);
  }
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): wire names are no C strings
  std::memcpy(at, source.name.data(), source.name.size());
  if (!answers.empty()) std::memcpy(at + source.name.size(), answers.data(), answers.size());
  return node;
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
