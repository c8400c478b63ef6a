#include "conf/reader.hpp"

#include "base/duration.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {

void Reader::boolean(bool& out) {
  if (node_.type == Node::Type::Boolean)
    out = node_.boolean;
  else
    problem(node_.at, fmt::format("is {}; write true or false, without quotes", described(node_.type)));
}

void Reader::duration(std::chrono::milliseconds& out, std::chrono::milliseconds low, std::chrono::milliseconds high) {
  const std::string* text = text_of(node_, "a duration in quotes, as in \"10s\"");
  if (text == nullptr) return;
  auto value = base::parse_duration(*text);
  if (!value)
    problem(node_.at, fmt::format("{} is not a duration of at most 100 years; write a whole number and ms, s, m, h or "
                                  "d, as in \"10s\"",
                                  in_quotes(*text)));
  else if (*value < low || *value > high)
    problem(node_.at, fmt::format("{} is out of range; write {} to {}", in_quotes(*text), base::format_duration(low),
                                  base::format_duration(high)));
  else
    out = *value;
}

void Reader::whole_seconds(std::chrono::seconds& out, std::chrono::seconds low, std::chrono::seconds high) {
  using std::chrono::milliseconds;
  std::size_t before = target_.problems.size();
  milliseconds value = out;
  duration(value, low, high);
  if (target_.problems.size() != before) return;
  if (value % std::chrono::seconds(1) != milliseconds(0))
    problem(node_.at, fmt::format("{} is not a whole number of seconds, which is all that DNS can say; write \"{}s\"",
                                  in_quotes(node_.text), std::chrono::ceil<std::chrono::seconds>(value).count()));
  else
    out = std::chrono::duration_cast<std::chrono::seconds>(value);
}

void Reader::records(std::vector<StaticRecord>& out) {
  out.clear();
  if (!is_list(Emptiness::Allowed)) return;
  for (const Node& element : node_.elements) {
    if (const std::string* text = text_of(element, "a record in quotes, as in \"ns1 A 192.0.2.1\""))
      out.push_back({*text, element.at});
  }
}

const std::string* Reader::text_of(const Node& node, std::string_view wanted) {
  if (node.type == Node::Type::String) return &node.text;
  problem(node.at, fmt::format("is {}; write {}", described(node.type), wanted));
  return nullptr;
}

std::optional<std::int64_t> Reader::integer_between(std::int64_t low, std::int64_t high) {
  if (node_.type != Node::Type::Integer) {
    problem(node_.at, fmt::format("is {}; write a whole number, without quotes", described(node_.type)));
    return std::nullopt;
  }
  if (node_.integer < low || node_.integer > high) {
    problem(node_.at, fmt::format("{} is out of range; write {} to {}", node_.integer, low, high));
    return std::nullopt;
  }
  return node_.integer;
}

bool Reader::is_list(Emptiness emptiness) {
  if (node_.type != Node::Type::Array) {
    problem(node_.at, fmt::format("is {}; write an array of texts, as in [\"...\"]", described(node_.type)));
    return false;
  }
  if (node_.elements.empty() && emptiness == Emptiness::Refused) {
    problem(node_.at, "is empty; write at least one");
    return false;
  }
  return true;
}

void Reader::twice(const Node& element, Position first) {
  problem(element.at, fmt::format("{} is there twice, first in line {} column {}; remove one", in_quotes(element.text),
                                  first.line, first.column));
}

void Reader::unknown_word(std::string_view text, std::span<const std::string_view> known) {
  problem(node_.at, fmt::format("{} is none of {}; the nearest is \"{}\"", in_quotes(text), fmt::join(known, ", "),
                                nearest(text, known)));
}

void Reader::problem(Position at, std::string text) {
  target_.problems.push_back({at, key_, std::move(text)});
}

}  // namespace countersign::conf
