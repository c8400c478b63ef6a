#include "acme/protocol/reply_headers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace countersign::acme {
namespace {

using Seconds = std::chrono::seconds;
// The longest window of a public CA's rate limits is a week; a server that says more is wrong, or wants no client.
constexpr Seconds kLongest{7 * 86'400};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

std::optional<std::time_t> http_date(const std::string& text) {
  // RFC 9110 §5.6.7: the one in use, and the two that a recipient must still read.
  constexpr std::array<const char*, 3> kForms = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                                 "%a %b %d %H:%M:%S %Y"};
  for (const char* form : kForms) {
    std::tm fields{};
    const char* end = strptime(text.c_str(), form, &fields);
    if (end != nullptr && *end == '\0') return timegm(&fields);
  }
  return std::nullopt;
}

std::string_view trim(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool has_relation(std::string_view parameters, std::string_view relation) {
  while (!parameters.empty()) {
    std::size_t semicolon = parameters.find(';');
    std::string_view parameter = trim(parameters.substr(0, semicolon));
    parameters = semicolon == std::string_view::npos ? std::string_view() : parameters.substr(semicolon + 1);
    std::size_t equals = parameter.find('=');
    if (equals == std::string_view::npos || trim(parameter.substr(0, equals)) != "rel") continue;
    std::string_view value = trim(parameter.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    // RFC 8288 §3.3: relation types separated by spaces.
    while (!value.empty()) {
      std::size_t space = value.find(' ');
      if (value.substr(0, space) == relation) return true;
      value = space == std::string_view::npos ? std::string_view() : value.substr(space + 1);
    }
  }
  return false;
}

}  // namespace

std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response) {
  std::string text = response.header("retry-after");
  if (text.empty()) return std::nullopt;
  std::int64_t seconds = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (end == text.data() + text.size()) {
    if (problem == std::errc::result_out_of_range) return kLongest;
    return std::clamp(Seconds(seconds), Seconds(0), kLongest);
  }
  auto date = http_date(text);
  if (!date) return std::nullopt;
  std::time_t now = http_date(response.header("date")).value_or(std::time(nullptr));
  return std::clamp(Seconds(*date - now), Seconds(0), kLongest);
}

std::vector<std::string> links(const HttpResponse& response, std::string_view relation) {
  std::vector<std::string> found;
  for (const std::string& header : response.all_headers("link")) {
    std::string_view rest = header;
    // Each link is <target> with parameters up to the comma in front of the next "<"; a target may hold commas.
    for (;;) {
      std::size_t open = rest.find('<');
      std::size_t close = rest.find('>', open == std::string_view::npos ? rest.size() : open);
      if (close == std::string_view::npos) break;
      std::string_view target = rest.substr(open + 1, close - open - 1);
      rest = rest.substr(close + 1);
      std::string_view parameters = rest.substr(0, rest.find('<'));
      if (parameters.size() < rest.size()) parameters = parameters.substr(0, parameters.find_last_of(','));
      if (has_relation(parameters, relation)) found.emplace_back(target);
    }
  }
  return found;
}

std::string media_type(const HttpResponse& response) {
  std::string header = response.header("content-type");
  std::string type(trim(std::string_view(header).substr(0, header.find(';'))));
  std::transform(type.begin(), type.end(), type.begin(), lower);
  return type;
}

}  // namespace countersign::acme
