// A domain name (RFC 1035 §3.1): absolute, at most 255 octets, compared without case (RFC 4343).
// Kept as uncompressed wire data in lower case: a name's spelling matters only in the question, which is never copied.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/wire.hpp"

namespace countersign::base {

inline constexpr std::size_t kMaxNameLength = 255;  // octets on the wire, the root's included (RFC 1035 §2.3.4)
inline constexpr std::size_t kMaxLabelLength = 63;

class Name {
 public:
  Name() : wire_(1, '\0') {}  // the root

  // Master-file text (RFC 1035 §5.1): `\DDD` and `\X` escapes; the final dot may be absent. Error: Invalid.
  [[nodiscard]] static Result<Name> parse(std::string_view text);
  // Exactly one uncompressed name, nothing behind it. Error: Invalid.
  [[nodiscard]] static Result<Name> from_wire(Bytes wire);

  [[nodiscard]] std::string_view wire() const { return wire_; }
  // Without the final dot; "." for the root. Octets outside [!-~] and special ones are escaped.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] bool is_root() const { return wire_.size() == 1; }
  [[nodiscard]] std::size_t label_count() const;  // the root has none
  // The first label's octets, in lower case, without its length. Empty for the root.
  [[nodiscard]] std::string_view first_label() const;
  // Without the first label; the root's parent is the root.
  [[nodiscard]] Name parent() const;
  // True also for the name itself.
  [[nodiscard]] bool is_within(const Name& ancestor) const;
  // This name with `label` in front. Error: Invalid, when the label is empty or longer than 63, or the name too long.
  [[nodiscard]] Result<Name> child(std::string_view label) const;
  // `prefix`.this: prefix's labels in front of this name's. Error: Invalid, when the name gets too long.
  [[nodiscard]] Result<Name> prepend(const Name& prefix) const;

  friend bool operator==(const Name&, const Name&) = default;
  // Any fixed order, for maps. Not the canonical order of RFC 4034.
  friend std::strong_ordering operator<=>(const Name&, const Name&) = default;

 private:
  explicit Name(std::string wire) : wire_(std::move(wire)) {}
  std::string wire_;
};

}  // namespace countersign::base

template <>
struct std::hash<countersign::base::Name> {
  std::size_t operator()(const countersign::base::Name& name) const noexcept {
    return std::hash<std::string_view>{}(name.wire());
  }
};
