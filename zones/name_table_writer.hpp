// Changes the name table: puts a name's RRsets, keeps the empty non-terminals above it, and the wildcard flags.
// Either the table that readers see, or a draft: a generation of its own that nobody sees until show().
// Thread: the store thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "zones/name_table.hpp"
#include "zones/node_builder.hpp"

namespace countersign::zones {

class NameTableWriter {
 public:
  // `zone_of`: the deepest zone that holds a name (lower-case wire); nullptr when none does.
  using ZoneOf = std::function<const ZoneAnswers*(std::string_view name)>;

  NameTableWriter(NameTable& table, ZoneOf zone_of) : table_(table), zone_of_(std::move(zone_of)) {}
  // A draft with room for `names`.
  NameTableWriter(NameTable& table, ZoneOf zone_of, std::size_t names);
  ~NameTableWriter();
  NameTableWriter(const NameTableWriter&) = delete;
  NameTableWriter& operator=(const NameTableWriter&) = delete;

  // What `name` owns from now on. Without RRsets the name goes, unless it has names below it or `flags` holds it (Apex,
  // Pinned). `flags` may be all but Wildcard, which is kept by this class. `rrsets` may be of the node that
  // `name` has now.
  void put(std::string_view name, std::span<const RrsetSource> rrsets, std::uint8_t flags);

  // Makes a draft the table's generation; from then on changes are visible one by one. Returns the one before: its
  // nodes are to be freed when no reader sees them any more.
  [[nodiscard]] std::unique_ptr<Slots> show();

  // As this writer left it, seen by readers or not.
  [[nodiscard]] const Node* look_up(std::string_view name) const;
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  [[nodiscard]] Slots& slots() const;
  [[nodiscard]] Node* find(std::string_view name) const { return const_cast<Node*>(look_up(name)); }
  void insert(Node* node);
  void replace(const Node* old, Node* node);
  void erase(const Node* node);
  void discard(const Node* node);
  void grow_if_full();
  void add_child(std::string_view name);     // to the parent of `name`, made when absent
  void remove_child(std::string_view name);  // from the parent of `name`, which goes when nothing is left
  void set_flag(Node* node, NodeFlag flag, std::uint8_t value);
  [[nodiscard]] std::size_t slot_of(const Node* node) const;

  NameTable& table_;
  ZoneOf zone_of_;
  std::unique_ptr<Slots> draft_;
  std::size_t size_ = 0;  // nodes
  std::size_t used_ = 0;  // slots that are not empty, removed ones included
};

}  // namespace countersign::zones
