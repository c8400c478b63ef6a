// base::Name from text and from the wire: round trips, and ldns' opinion where both accept.
#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/handle.hpp"
#include "base/name.hpp"

// Behind the standard headers: its macros do not get along with Clang in them.
#include <ldns/ldns.h>

namespace {

using countersign::base::as_bytes;
using countersign::base::Handle;
using countersign::base::Name;

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

void check_name(const Name& name) {
  require(!name.wire().empty() && name.wire().size() <= countersign::base::kMaxNameLength, "length");
  require(Name::from_wire(as_bytes(name.wire())) == name, "wire round trip");
  require(Name::parse(name.text()) == name, "text round trip");
  require(name.text().find_first_of(std::string("\0\n ", 3)) == std::string::npos, "text not escaped");
  require(name.is_within(name) && name.is_within(name.parent()) && name.is_within(Name()), "ancestry");
  if (name.is_root()) return;
  require(name.parent().label_count() + 1 == name.label_count(), "labels");
  require(!name.parent().is_within(name), "ancestry upside down");
  require(name.parent().child(name.first_label()) == name, "child of its parent");
  auto label = Name().child(name.first_label());
  require(label && name.parent().prepend(*label) == name, "prepend");
}

void compare_with_ldns(const std::string& text, const Name& name) {
  using Field = Handle<ldns_rdf, ldns_rdf_deep_free>;
  ldns_rdf* raw = nullptr;
  if (text.find('\0') != std::string::npos || ldns_str2rdf_dname(&raw, text.c_str()) != LDNS_STATUS_OK) return;
  Field field(raw);
  ldns_dname2canonical(raw);
  std::string_view wire(reinterpret_cast<const char*>(ldns_rdf_data(raw)), ldns_rdf_size(raw));
  require(wire == name.wire(), "ldns reads another name");
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer gives the name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (auto name = Name::parse(text)) {
    check_name(*name);
    compare_with_ldns(text, *name);
  }
  if (auto name = Name::from_wire(as_bytes(text))) check_name(*name);
  return 0;
}
