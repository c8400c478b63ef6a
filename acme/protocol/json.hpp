// JSON of a peer, read member by member with a sticky error that names the member and where the text came from.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace countersign::acme {

// A view of one object; valid as long as its JsonDocument. A member that is null counts as absent. A wrong type is
// always an error, a missing member only where it is required; both yield an empty value and set the document's error.
class JsonObject {
 public:
  [[nodiscard]] bool has(std::string_view member) const;
  std::string text(std::string_view member) const;
  std::string optional_text(std::string_view member) const;  // "" when absent
  bool optional_flag(std::string_view member) const;         // false when absent
  std::optional<std::int64_t> optional_number(std::string_view member) const;
  std::vector<std::string> texts(std::string_view member) const;
  std::vector<std::string> optional_texts(std::string_view member) const;
  // An object whose members are texts; a member of another type gets "".
  std::map<std::string, std::string> optional_text_map(std::string_view member) const;
  std::vector<JsonObject> objects(std::string_view member) const;
  std::vector<JsonObject> optional_objects(std::string_view member) const;
  JsonObject object(std::string_view member) const;
  std::optional<JsonObject> optional_object(std::string_view member) const;
  // Says that a member's value is none that the protocol allows.
  void reject(std::string_view member, std::string_view why) const;

 private:
  friend class JsonDocument;
  struct Root;
  JsonObject(Root* root, const boost::json::object* object, std::string path)
      : root_(root), object_(object), path_(std::move(path)) {}
  const boost::json::value* find(std::string_view member) const;
  const boost::json::value* require(std::string_view member, std::string_view type) const;

  Root* root_;
  const boost::json::object* object_;
  std::string path_;  // "challenges[0]." in front of a member's name
};

class JsonDocument {
 public:
  // `source` is named in every error: a URL or a file. Error: Protocol, when it is no JSON object.
  [[nodiscard]] static base::Result<JsonDocument> parse(std::string_view text, std::string source);
  ~JsonDocument();
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;

  [[nodiscard]] JsonObject root() const;
  // The first problem that any view met. Error: Protocol.
  [[nodiscard]] base::Result<void> check() const;

 private:
  JsonDocument();
  std::unique_ptr<JsonObject::Root> root_;
};

}  // namespace countersign::acme
