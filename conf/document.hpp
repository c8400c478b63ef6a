// A TOML file as plain data with positions: the one place that knows toml++ is document.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::conf {

struct Member;

struct Node {
  enum class Type { String, Integer, Float, Boolean, DateTime, Array, Table };
  Type type = Type::Table;
  Position at;
  std::string text;          // of a String
  std::int64_t integer = 0;  // of an Integer
  bool boolean = false;
  std::vector<Node> elements;   // of an Array
  std::vector<Member> members;  // of a Table, in no fixed order
};

struct Member {
  std::string name;
  Position at;  // of the key itself
  Node value;
};

struct SyntaxProblem {
  Position at;
  std::string text;
};

// Error: the first thing that is not TOML (toml++ stops there), as text with its position.
[[nodiscard]] tl::expected<Node, SyntaxProblem> parse_document(std::string_view text);

// Null when the table has no such key.
[[nodiscard]] const Node* find_value(const Node& table, std::string_view name);
// Not there, or "": a value of another type is wrong, not missing, and has its own problem.
[[nodiscard]] bool is_missing(const Node& table, std::string_view name);

// "a string", "an integer", ... for messages.
[[nodiscard]] std::string_view described(Node::Type type);

}  // namespace countersign::conf
