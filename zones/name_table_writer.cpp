#include "zones/name_table_writer.hpp"

#include <algorithm>
#include <memory>

namespace countersign::zones {
namespace {

std::uint8_t bit(NodeFlag flag) {
  return static_cast<std::uint8_t>(flag);
}

// Never called with the root.
std::string_view parent_of(std::string_view name) {
  return name.substr(1U + static_cast<unsigned char>(name[0]));
}

bool is_wildcard(std::string_view name) {
  return name.starts_with(std::string_view("\1*", 2));
}

std::size_t count_labels(std::string_view name) {
  std::size_t labels = 0;
  for (; name[0] != '\0'; ++labels) name = parent_of(name);
  return labels;
}

}  // namespace

void NameTableWriter::put(std::string_view name, std::vector<RrsetSource> rrsets, std::uint8_t flags) {
  Node* existing = find(name);
  std::uint8_t kept = existing == nullptr ? std::uint8_t{0} : existing->flags_ & bit(NodeFlag::Wildcard);
  std::uint32_t children = existing == nullptr ? 0 : existing->children_;
  bool held = (flags & (bit(NodeFlag::Apex) | bit(NodeFlag::Pinned))) != 0;
  if (rrsets.empty() && children == 0 && !held) {
    if (existing == nullptr) return;
    erase(existing);
    remove_child(name);
    return;
  }
  const ZoneAnswers* zone = zone_of_(name);
  Node* made = NodeBuilder::build({zone, name, static_cast<std::uint8_t>(flags | kept), children, std::move(rrsets)});
  if (existing != nullptr) {
    replace(existing, made);
    return;
  }
  // Parents first: whoever finds no child must find the non-terminal above it, never an NXDOMAIN between.
  add_child(name);
  insert(made);
}

void NameTableWriter::add_child(std::string_view name) {
  if (name[0] == '\0') return;
  std::string_view parent = parent_of(name);
  const ZoneAnswers* zone = zone_of_(parent);
  if (zone == nullptr) return;
  std::uint8_t wildcard = is_wildcard(name) ? bit(NodeFlag::Wildcard) : std::uint8_t{0};
  if (Node* existing = find(parent)) {
    ++existing->children_;
    if (wildcard != 0) set_flag(existing, NodeFlag::Wildcard, wildcard);
    return;
  }
  add_child(parent);
  insert(NodeBuilder::build({zone, parent, wildcard, 1, {}}));
}

void NameTableWriter::remove_child(std::string_view name) {
  if (name[0] == '\0') return;
  std::string_view parent = parent_of(name);
  Node* existing = find(parent);
  if (existing == nullptr) return;
  --existing->children_;
  if (is_wildcard(name)) {
    set_flag(existing, NodeFlag::Wildcard, 0);
    existing = find(parent);
  }
  bool held = existing->has(NodeFlag::Apex) || existing->has(NodeFlag::Pinned);
  if (existing->children_ > 0 || existing->rrsets_ > 0 || held) return;
  erase(existing);
  remove_child(parent);
}

void NameTableWriter::set_flag(Node* node, NodeFlag flag, std::uint8_t value) {
  auto flags = static_cast<std::uint8_t>((node->flags_ & ~bit(flag)) | value);
  if (flags != node->flags_) replace(node, NodeBuilder::copy(*node, flags));
}

void NameTableWriter::insert(Node* node) {
  grow_if_full();
  std::string_view name = node->name();
  // Before the node is visible: a reader that finds its child's depth beyond this would not look.
  std::size_t labels = count_labels(name);
  if (labels > table_.max_labels()) table_.max_labels_.store(labels, std::memory_order_relaxed);
  std::uint64_t hash = hash_name(table_.seed_, name.data(), name.size());
  Slots& all = *table_.slots_.load(std::memory_order_relaxed);
  std::size_t index = all.home(hash);
  while (all.load(index) > Slots::kRemoved) index = all.after(index);
  if (all.load(index) == Slots::kEmpty) ++used_;
  all.store(index, Slots::tag(hash) | reinterpret_cast<std::uintptr_t>(node));
  ++size_;
}

std::size_t NameTableWriter::slot_of(const Node* node) const {
  std::string_view name = node->name();
  std::uint64_t hash = hash_name(table_.seed_, name.data(), name.size());
  const Slots& all = *table_.slots_.load(std::memory_order_relaxed);
  std::size_t index = all.home(hash);
  while (Slots::node(all.load(index)) != node) index = all.after(index);
  return index;
}

void NameTableWriter::replace(const Node* old, Node* node) {
  Slots& all = *table_.slots_.load(std::memory_order_relaxed);
  std::size_t index = slot_of(old);
  all.store(index, Slots::tag(all.load(index)) | reinterpret_cast<std::uintptr_t>(node));
  table_.epochs_.retire(const_cast<Node*>(old), NodeBuilder::free);
}

void NameTableWriter::erase(const Node* node) {
  Slots& all = *table_.slots_.load(std::memory_order_relaxed);
  std::size_t index = slot_of(node);
  // An empty successor means that no probe goes on from here: the slot can be empty again.
  if (all.load(all.after(index)) == Slots::kEmpty) {
    all.store(index, Slots::kEmpty);
    --used_;
  } else {
    all.store(index, Slots::kRemoved);
  }
  --size_;
  table_.epochs_.retire(const_cast<Node*>(node), NodeBuilder::free);
}

void NameTableWriter::grow_if_full() {
  Slots* all = table_.slots_.load(std::memory_order_relaxed);
  // Linear probing stays short up to about two thirds; beyond it the probes' cache misses would show.
  if ((used_ + 1) * 3 < all->capacity() * 2) return;
  std::size_t capacity = all->capacity();
  while ((size_ + 1) * 2 > capacity) capacity *= 2;  // the same size again when most used slots were removed ones
  auto larger = std::make_unique<Slots>(capacity);
  for (std::size_t from = 0; from < all->capacity(); ++from) {
    std::uint64_t word = all->load(from);
    if (word <= Slots::kRemoved) continue;
    std::string_view name = Slots::node(word)->name();
    std::size_t to = larger->home(hash_name(table_.seed_, name.data(), name.size()));
    while (larger->load(to) != Slots::kEmpty) to = larger->after(to);
    larger->store(to, word);
  }
  used_ = size_;
  table_.slots_.store(larger.release(), std::memory_order_release);
  table_.epochs_.retire(all, [](void* old) { std::unique_ptr<Slots>(static_cast<Slots*>(old)).reset(); });
}

}  // namespace countersign::zones
