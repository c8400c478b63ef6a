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
#include "conf/words.hpp"

namespace countersign::conf {

enum class Emptiness { Allowed, Refused };

// What is read now of an array of tables: one of the three, or none.
struct Element {
  Zone* zone = nullptr;
  Key* key = nullptr;
  Certificate* certificate = nullptr;
};

class Reader {
 public:
  // The references outlive the reader.
  struct Target {
    Config& config;
    Element element;
    std::vector<Problem>& problems;
  };
  Reader(const Node& node, std::string key, Target target) : node_(node), key_(std::move(key)), target_(target) {}

  [[nodiscard]] Config& config() { return target_.config; }
  [[nodiscard]] Acme& acme() { return target_.config.acme; }
  [[nodiscard]] Api& api() { return target_.config.api; }
  [[nodiscard]] Zone& zone() { return *target_.element.zone; }
  [[nodiscard]] Key& key() { return *target_.element.key; }
  [[nodiscard]] Certificate& certificate() { return *target_.element.certificate; }
  [[nodiscard]] CertificateOptions& options() { return target_.element.certificate->options; }

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

  // A text alone is a list of one.
  template <class T, class Parse>
  void text_or_list(std::vector<T>& out, Parse parse) {
    if (node_.type != Node::Type::String && node_.type != Node::Type::Array)
      return problem(node_.at, fmt::format("is {}; write text in quotes, or an array of texts", described(node_.type)));
    if (node_.type == Node::Type::Array) return list(out, parse, Emptiness::Allowed);
    out.clear();
    text_as(out.emplace_back(), parse);
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
  static std::string spelling(const NamePattern& value) { return (value.below ? "*." : "") + value.name.text(); }
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
