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

NameTableWriter::NameTableWriter(NameTable& table, ZoneOf zone_of, std::size_t names)
    : table_(table), zone_of_(std::move(zone_of)), draft_(std::make_unique<Slots>(Slots::capacity_for(names))) {}

NameTableWriter::~NameTableWriter() {
  if (draft_) draft_->free_nodes();
}

std::unique_ptr<Slots> NameTableWriter::show() {
  // Pairs with NameTable::slots(): whoever sees the new slots sees all nodes in them.
  return std::unique_ptr<Slots>(table_.slots_.exchange(draft_.release(), std::memory_order_acq_rel));
}

Slots& NameTableWriter::slots() const {
  return draft_ ? *draft_ : *table_.slots_.load(std::memory_order_relaxed);
}

const Node* NameTableWriter::look_up(std::string_view name) const {
  return slots().find(table_.hash(name), name);
}

void NameTableWriter::discard(const Node* node) {
  if (draft_)
    NodeBuilder::free(const_cast<Node*>(node));
  else
    table_.epochs_.retire(const_cast<Node*>(node), NodeBuilder::free);
}

void NameTableWriter::put(std::string_view name, std::span<const RrsetSource> rrsets, std::uint8_t flags) {
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
  Node* made = NodeBuilder::build({zone, name, static_cast<std::uint8_t>(flags | kept), children, rrsets});
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
  std::uint64_t hash = table_.hash(name);
  Slots& all = slots();
  std::size_t index = all.home(hash);
  while (all.load(index) > Slots::kRemoved) index = all.after(index);
  if (all.load(index) == Slots::kEmpty) ++used_;
  all.store(index, Slots::tag(hash) | reinterpret_cast<std::uintptr_t>(node));
  ++size_;
}

std::size_t NameTableWriter::slot_of(const Node* node) const {
  std::string_view name = node->name();
  std::uint64_t hash = table_.hash(name);
  const Slots& all = slots();
  std::size_t index = all.home(hash);
  while (Slots::node(all.load(index)) != node) index = all.after(index);
  return index;
}

void NameTableWriter::replace(const Node* old, Node* node) {
  Slots& all = slots();
  std::size_t index = slot_of(old);
  all.store(index, Slots::tag(all.load(index)) | reinterpret_cast<std::uintptr_t>(node));
  discard(old);
}

void NameTableWriter::erase(const Node* node) {
  Slots& all = slots();
  std::size_t index = slot_of(node);
  // An empty successor means that no probe goes on from here: the slot can be empty again.
  if (all.load(all.after(index)) == Slots::kEmpty) {
    all.store(index, Slots::kEmpty);
    --used_;
  } else {
    all.store(index, Slots::kRemoved);
  }
  --size_;
  discard(node);
}

void NameTableWriter::grow_if_full() {
  Slots& all = slots();
  // Linear probing stays short up to about two thirds; beyond it the probes' cache misses would show.
  if ((used_ + 1) * 3 < all.capacity() * 2) return;
  std::size_t capacity = all.capacity();
  while ((size_ + 1) * 2 > capacity) capacity *= 2;  // the same size again when most used slots were removed ones
  auto larger = std::make_unique<Slots>(capacity);
  // Updates wait for this, and each node is a cache miss: so those of some slots further on are on their way meanwhile.
  constexpr std::size_t kAhead = 16;
  for (std::size_t from = 0; from < all.capacity(); ++from) {
    const Node* ahead = Slots::node(all.load((from + kAhead) & (all.capacity() - 1)));
    __builtin_prefetch(ahead);
    __builtin_prefetch(reinterpret_cast<const char*>(ahead) + 32);
    std::uint64_t word = all.load(from);
    if (word <= Slots::kRemoved) continue;
    std::size_t to = larger->home(table_.hash(Slots::node(word)->name()));
    while (larger->load(to) != Slots::kEmpty) to = larger->after(to);
    larger->store(to, word);
  }
  used_ = size_;
  if (draft_) {
    draft_ = std::move(larger);
    return;
  }
  Slots* old = table_.slots_.exchange(larger.release(), std::memory_order_acq_rel);
  table_.epochs_.retire(old, [](void* slots) { std::unique_ptr<Slots>(static_cast<Slots*>(slots)).reset(); });
}

}  // namespace countersign::zones
