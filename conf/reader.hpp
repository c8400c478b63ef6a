// One key's value on its way into the configuration: checked for type and range, every problem noted.
#pragma once

#include <chrono>
#include <concepts>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "conf/config.hpp"
#include "conf/document.hpp"
#include "conf/load.hpp"

namespace countersign::conf {

enum class Emptiness { Allowed, Refused };

// A word of the configuration and what it stands for.
template <class T>
struct Word {
  std::string_view text;
  T value;
};

class Reader {
 public:
  // `zone` is set while a [[zone]] is read. The references outlive the reader.
  struct Target {
    Config& config;
    Zone* zone;
    std::vector<Problem>& problems;
  };
  Reader(const Node& node, std::string key, Target target) : node_(node), key_(std::move(key)), target_(target) {}

  [[nodiscard]] Config& config() { return target_.config; }
  [[nodiscard]] Zone& zone() { return *target_.zone; }

  void boolean(bool& out);
  void duration(std::chrono::milliseconds& out, std::chrono::milliseconds low, std::chrono::milliseconds high);
  void whole_seconds(std::chrono::seconds& out, std::chrono::seconds low, std::chrono::seconds high);
  void records(std::vector<StaticRecord>& out);

  template <std::unsigned_integral T>
  void integer(T& out, T low, T high) {
    if (auto value = integer_between(low, high)) out = static_cast<T>(*value);
  }

  // `parse`: Result<something that `out` can hold>(std::string_view).
  template <class T, class Parse>
  void text_as(T& out, Parse parse) {
    const std::string* text = text_of(node_, "text in quotes");
    if (text == nullptr) return;
    if (auto value = parse(*text))
      out = *std::move(value);
    else
      problem(node_.at, value.error().message);
  }

  template <class T>
  void word(T& out, std::span<const Word<T>> words) {
    const std::string* text = text_of(node_, "text in quotes");
    if (text == nullptr) return;
    std::vector<std::string_view> known;
    for (const Word<T>& word : words) {
      if (word.text == *text) {
        out = word.value;
        return;
      }
      known.push_back(word.text);
    }
    unknown_word(*text, known);
  }

  // An array of texts, none twice.
  template <class T, class Parse>
  void list(std::vector<T>& out, Parse parse, Emptiness emptiness) {
    out.clear();
    if (!is_list(emptiness)) return;
    std::map<std::string, Position> seen;
    for (const Node& element : node_.elements) {
      const std::string* text = text_of(element, "text in quotes");
      if (text == nullptr) continue;
      auto value = parse(*text);
      if (!value)
        problem(element.at, value.error().message);
      else if (auto [first, fresh] = seen.emplace(spelling(*value), element.at); !fresh)
        twice(element, first->second);
      else
        out.push_back(*std::move(value));
    }
  }

 private:
  // Equal values have equal spellings.
  static std::string spelling(const std::string& value) { return value; }
  template <class T>
  static std::string spelling(const T& value) {
    return value.text();
  }

  // Null, with the problem noted, when the node is not a string.
  const std::string* text_of(const Node& node, std::string_view wanted);
  std::optional<std::int64_t> integer_between(std::int64_t low, std::int64_t high);
  bool is_list(Emptiness emptiness);
  void twice(const Node& element, Position first);
  void unknown_word(std::string_view text, std::span<const std::string_view> known);
  void problem(Position at, std::string text);

  const Node& node_;
  std::string key_;
  Target target_;
};

}  // namespace countersign::conf
