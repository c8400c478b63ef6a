// Changes the name table: puts a name's RRsets, keeps the empty non-terminals above it, and the wildcard flags.
// Thread: the store thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "zones/name_table.hpp"
#include "zones/node_builder.hpp"

namespace countersign::zones {

class NameTableWriter {
 public:
  // `zone_of`: the deepest zone that holds a name (lower-case wire); nullptr when none does.
  using ZoneOf = std::function<const ZoneAnswers*(std::string_view name)>;

  NameTableWriter(NameTable& table, ZoneOf zone_of) : table_(table), zone_of_(std::move(zone_of)) {}

  // What `name` owns from now on. Without RRsets the name goes, unless it has names below it or `flags` holds it (Apex,
  // Pinned). `flags` may be Apex, Cut, HasCname, Pinned; Wildcard is kept by this class.
  void put(std::string_view name, std::vector<RrsetSource> rrsets, std::uint8_t flags);

  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  [[nodiscard]] Node* find(std::string_view name) const { return const_cast<Node*>(table_.find(name)); }
  void insert(Node* node);
  void replace(const Node* old, Node* node);
  void erase(const Node* node);
  void grow_if_full();
  void add_child(std::string_view name);     // to the parent of `name`, made when absent
  void remove_child(std::string_view name);  // from the parent of `name`, which goes when nothing is left
  void set_flag(Node* node, NodeFlag flag, std::uint8_t value);
  [[nodiscard]] std::size_t slot_of(const Node* node) const;

  NameTable& table_;
  ZoneOf zone_of_;
  std::size_t size_ = 0;  // nodes
  std::size_t used_ = 0;  // slots that are not empty, removed ones included
};

}  // namespace countersign::zones
