#include "dnsd/api/acme_dns_json.hpp"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>

#include "base/text.hpp"

namespace countersign::dnsd {
namespace {

namespace json = boost::json;

bool equals_in_lower_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
}

// The parser calls these; each says whether to go on. Depth 1 is within the outermost object.
class Collector {
 public:
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit Collector(std::span<const std::string_view> keys) : keys_(keys), members_(keys.size()) {}

  // `null` and an object; all else is another type than what clients send.
  [[nodiscard]] bool is_object_or_null() const { return outer_fits_; }
  [[nodiscard]] std::vector<JsonMember> take() { return std::move(members_); }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    if (depth_ == 0) outer_fits_ = true;
    open();
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) {
    close();
    return true;
  }
  bool on_array_begin(json::error_code&) {
    if (depth_ == 1 && current_ != nullptr) {
      *current_ = JsonMember{};
      current_->kind = JsonMember::Kind::Texts;
      ++depth_;
      return true;
    }
    open();
    return true;
  }
  bool on_array_end(std::size_t, json::error_code&) {
    close();
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    if (depth_ == 1) key_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code&) {
    if (depth_ != 1) return true;
    current_ = nullptr;
    key_.append(part.data(), part.size());
    for (std::size_t i = 0; i < keys_.size(); ++i)
      if (equals_in_lower_case(key_, keys_[i])) current_ = &members_[i];
    key_.clear();
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    if (wants_text()) text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code&) {
    if (!wants_text()) return true;
    text_.append(part.data(), part.size());
    add_text(std::move(text_));
    text_.clear();
    return true;
  }
  bool on_null(json::error_code&) {
    if (depth_ == 0) outer_fits_ = true;
    if (depth_ == 1 && current_ != nullptr) {
      *current_ = JsonMember{};
      current_->kind = JsonMember::Kind::Null;
    } else if (wants_text()) {
      add_text({});
    }
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return other(); }
  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return other(); }
  bool on_double(double, json::string_view, json::error_code&) { return other(); }
  bool on_bool(bool, json::error_code&) { return other(); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  // A string here is a member's, or one of a member's list.
  [[nodiscard]] bool wants_text() const {
    return current_ != nullptr && (depth_ == 1 || (depth_ == 2 && current_->kind == JsonMember::Kind::Texts));
  }
  void add_text(std::string text) {
    if (depth_ == 2) {
      current_->texts.push_back(std::move(text));
      return;
    }
    *current_ = JsonMember{};
    current_->kind = JsonMember::Kind::Text;
    current_->text = std::move(text);
  }
  bool other() {
    if (wants_text()) spoil();
    return true;
  }
  // Something that is neither a text nor a list of texts.
  void spoil() {
    *current_ = JsonMember{};
    current_->kind = JsonMember::Kind::Other;
  }
  void open() {
    if (depth_ > 0 && wants_text()) spoil();
    ++depth_;
  }
  void close() { --depth_; }

  std::span<const std::string_view> keys_;
  std::vector<JsonMember> members_;
  JsonMember* current_ = nullptr;  // whose value is being read; null: nobody asked for it
  std::string key_, text_;
  unsigned depth_ = 0;
  bool outer_fits_ = false;
};

}  // namespace

base::Result<std::vector<JsonMember>> read_members(std::string_view text, std::span<const std::string_view> keys,
                                                   JsonTail tail) {
  json::parse_options options;
  options.max_depth = 16;             // real bodies have two
  options.allow_invalid_utf8 = true;  // in members that nobody asked for; what is used is checked by its own rules
  json::basic_parser<Collector> parser(options, keys);
  json::error_code error;
  std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (error) return base::fail(base::ErrorCode::Invalid, "the body is not JSON: {}", error.message());
  if (tail == JsonTail::Refused && used < text.size())
    return base::fail(base::ErrorCode::Invalid, "something follows the body's JSON");
  if (!parser.handler().is_object_or_null())
    return base::fail(base::ErrorCode::Invalid, "the body is JSON, but not an object");
  return parser.handler().take();
}

void append_json_text(std::string& out, std::string_view text) {
  bool plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (plain) {
    out.append("\"").append(text).append("\"");
    return;
  }
  std::string valid = base::valid_utf8(text);
  out += json::serialize(json::string_view(valid));
}

std::string error_body(std::string_view code, std::string_view message) {
  std::string body = "{\"error\": ";
  append_json_text(body, code);
  if (!message.empty()) {
    body += ", \"message\": ";
    append_json_text(body, message);
  }
  body += "}";
  return body;
}

}  // namespace countersign::dnsd
