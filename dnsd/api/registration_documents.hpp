// Registrations as JSON on the control socket (API.md), as text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "dnsd/api/registrar.hpp"

namespace countersign::dnsd {

// {"name","for","label","allow_from"} of a POST, all of them optional; "" = none of them. Names are judged and domains
// are without their duplicates; the zone's own rules are the registrar's. Error: Invalid.
[[nodiscard]] base::Result<RegistrationWishes> parse_registration_wishes(std::string_view body);

// With its password: for the one who made or rotated it.
[[nodiscard]] std::string issued_document(const IssuedRegistration& issued);
[[nodiscard]] std::string registration_document(const zones::Registration& registration);
[[nodiscard]] std::string registrations_document(const std::vector<zones::Registration>& registrations);

}  // namespace countersign::dnsd
