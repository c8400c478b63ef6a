#include "acme/protocol/json.hpp"

#include <boost/json/parse.hpp>

namespace countersign::acme {

using base::ErrorCode;
using base::fail;
using base::Result;
namespace json = boost::json;

struct JsonObject::Root {
  json::value value;
  std::string source;
  std::optional<std::string> problem;
};

const json::value* JsonObject::find(std::string_view member) const {
  const json::value* value = object_ == nullptr ? nullptr : object_->if_contains(member);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json::value* JsonObject::require(std::string_view member, std::string_view type) const {
  const json::value* value = find(member);
  if (value == nullptr) reject(member, fmt::format("is missing, expected {}", type));
  return value;
}

void JsonObject::reject(std::string_view member, std::string_view why) const {
  if (!root_->problem) root_->problem = fmt::format("{}: member \"{}{}\" {}", root_->source, path_, member, why);
}

bool JsonObject::has(std::string_view member) const {
  return find(member) != nullptr;
}

std::string JsonObject::text(std::string_view member) const {
  if (require(member, "text") == nullptr) return {};
  std::string value = optional_text(member);
  if (value.empty()) reject(member, "is empty text");
  return value;
}

std::string JsonObject::optional_text(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    reject(member, "is not text");
    return {};
  }
  return {value->get_string().data(), value->get_string().size()};
}

bool JsonObject::optional_flag(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return false;
  if (!value->is_bool()) reject(member, "is neither true nor false");
  return value->is_bool() && value->get_bool();
}

std::optional<std::int64_t> JsonObject::optional_number(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return std::nullopt;
  json::error_code problem;
  auto number = value->to_number<std::int64_t>(problem);
  if (!problem) return number;
  reject(member, "is not a whole number");
  return std::nullopt;
}

std::vector<std::string> JsonObject::texts(std::string_view member) const {
  static_cast<void>(require(member, "a list of texts"));
  return optional_texts(member);
}

std::vector<std::string> JsonObject::optional_texts(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    reject(member, "is not a list");
    return {};
  }
  std::vector<std::string> out;
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) {
      reject(member, "has an item that is not text");
      return {};
    }
    out.emplace_back(item.get_string().data(), item.get_string().size());
  }
  return out;
}

std::map<std::string, std::string> JsonObject::optional_text_map(std::string_view member) const {
  std::map<std::string, std::string> out;
  auto object = optional_object(member);
  if (!object) return out;
  for (const auto& item : *object->object_) {
    const json::string* text = item.value().if_string();
    out[std::string(item.key())] = text == nullptr ? std::string() : std::string(text->data(), text->size());
  }
  return out;
}

std::vector<JsonObject> JsonObject::objects(std::string_view member) const {
  static_cast<void>(require(member, "a list of objects"));
  return optional_objects(member);
}

std::vector<JsonObject> JsonObject::optional_objects(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    reject(member, "is not a list");
    return {};
  }
  std::vector<JsonObject> out;
  for (const json::value& item : value->get_array()) {
    if (!item.is_object()) {
      reject(member, "has an item that is not an object");
      return {};
    }
    out.push_back(JsonObject(root_, &item.get_object(), fmt::format("{}{}[{}].", path_, member, out.size())));
  }
  return out;
}

JsonObject JsonObject::object(std::string_view member) const {
  static_cast<void>(require(member, "an object"));
  return optional_object(member).value_or(JsonObject(root_, nullptr, fmt::format("{}{}.", path_, member)));
}

std::optional<JsonObject> JsonObject::optional_object(std::string_view member) const {
  const json::value* value = find(member);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) {
    reject(member, "is not an object");
    return std::nullopt;
  }
  return JsonObject(root_, &value->get_object(), fmt::format("{}{}.", path_, member));
}

JsonDocument::JsonDocument() : root_(std::make_unique<JsonObject::Root>()) {}
JsonDocument::~JsonDocument() = default;
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;

Result<JsonDocument> JsonDocument::parse(std::string_view text, std::string source) {
  JsonDocument document;
  json::error_code problem;
  document.root_->value = json::parse(text, problem);
  if (problem) return fail(ErrorCode::Protocol, "{}: not JSON: {}", source, problem.message());
  if (!document.root_->value.is_object()) return fail(ErrorCode::Protocol, "{}: not a JSON object", source);
  document.root_->source = std::move(source);
  return document;
}

JsonObject JsonDocument::root() const {
  return {root_.get(), &root_->value.get_object(), ""};
}

Result<void> JsonDocument::check() const {
  if (root_->problem) return fail(ErrorCode::Protocol, "{}", *root_->problem);
  return {};
}

}  // namespace countersign::acme
