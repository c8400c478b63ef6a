#include "acme/control/chunked_lines.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace countersign::acme {
namespace {

constexpr std::size_t kMaxHead = 16U << 10U;
constexpr std::size_t kMaxSizeLine = 256;  // a chunk's size and extensions
constexpr std::size_t kMaxLine = 16U << 10U;

std::string lowered(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return text;
}

}  // namespace

bool ChunkedLines::collect(std::string_view& octets, std::size_t limit) {
  std::size_t end = octets.find('\n');
  std::string_view piece = octets.substr(0, end);
  if (limit - partial_.size() < piece.size()) {
    stage_ = Stage::Ended;
    return false;
  }
  partial_ += piece;
  octets.remove_prefix(end == std::string_view::npos ? octets.size() : end + 1);
  if (end == std::string_view::npos) return false;
  if (partial_.ends_with('\r')) partial_.pop_back();
  return true;
}

void ChunkedLines::take_head_line() {
  std::string line = std::exchange(partial_, {});
  head_octets_ += line.size() + 2;
  if (head_octets_ > kMaxHead) {
    stage_ = Stage::Ended;
  } else if (status_ == 0) {
    // "HTTP/1.1 200 OK"
    unsigned status = 0;
    if (line.starts_with("HTTP/1.") && line.size() >= 12) std::from_chars(line.data() + 9, line.data() + 12, status);
    status_ = status;
    if (status_ < 200) stage_ = Stage::Ended;
  } else if (line.empty()) {
    stage_ = status_ != 200 ? Stage::Ended : chunked_ ? Stage::Size : Stage::Raw;
  } else if (line = lowered(std::move(line)); line.starts_with("transfer-encoding:")) {
    chunked_ = line.find("chunked") != std::string::npos;
  }
}

void ChunkedLines::take_size_line() {
  std::string line = std::exchange(partial_, {});
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
  bool valid = error == std::errc{} && (end == line.data() + line.size() || *end == ';' || *end == ' ');
  stage_ = valid && left_ > 0 ? Stage::Data : Stage::Ended;
}

void ChunkedLines::take_data(std::string_view data, std::vector<std::string>& lines) {
  while (!data.empty()) {
    std::size_t end = data.find('\n');
    std::string_view piece = data.substr(0, end);
    if (kMaxLine - line_.size() < piece.size()) {
      stage_ = Stage::Ended;
      return;
    }
    line_ += piece;
    if (end == std::string_view::npos) return;
    data.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    if (!line_.empty()) lines.push_back(std::move(line_));
    line_.clear();
  }
}

std::vector<std::string> ChunkedLines::feed(std::string_view octets) {
  std::vector<std::string> lines;
  while (!octets.empty() && stage_ != Stage::Ended) {
    switch (stage_) {
      case Stage::Head:
        if (collect(octets, kMaxHead)) take_head_line();
        break;
      case Stage::Size:
        if (collect(octets, kMaxSizeLine)) take_size_line();
        break;
      case Stage::Data: {
        auto length = static_cast<std::size_t>(std::min<std::uint64_t>(left_, octets.size()));
        left_ -= length;
        if (left_ == 0) stage_ = Stage::DataEnd;
        take_data(octets.substr(0, length), lines);
        octets.remove_prefix(length);
        break;
      }
      case Stage::DataEnd:
        if (collect(octets, kMaxSizeLine)) stage_ = std::exchange(partial_, {}).empty() ? Stage::Size : Stage::Ended;
        break;
      case Stage::Raw:
        take_data(octets, lines);
        octets = {};
        break;
      case Stage::Ended:
        break;
    }
  }
  return lines;
}

}  // namespace countersign::acme
