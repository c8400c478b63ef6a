#include "zones/registration.hpp"

namespace countersign::zones {

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    std::size_t end = text.find(' ');
    if (end != 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

std::string join_names(const std::vector<base::Name>& names) {
  std::vector<std::string> texts;
  texts.reserve(names.size());
  for (const base::Name& name : names) texts.push_back(name.text());
  return join_words(texts);
}

std::vector<base::Name> split_names(std::string_view text) {
  std::vector<base::Name> names;
  for (const std::string& word : split_words(text)) {
    if (auto name = base::Name::parse(word)) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace countersign::zones
