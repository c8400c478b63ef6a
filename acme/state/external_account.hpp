// The external account binding that the configuration names.
#pragma once

#include <functional>
#include <string>

#include "acme/protocol/eab.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// AccountStore::Consent::binding: reads the file when a new account is made. Empty where `account` has no kid. `warn`
// is told when others may read the file. Error: Usage (no file named), NotFound, Denied, Invalid.
[[nodiscard]] std::function<base::Result<ExternalAccountBinding>()> binding_of(
    const conf::ExternalAccount& account, std::function<void(const std::string&)> warn = {},
    ExternalAccountBinding::Mac mac = ExternalAccountBinding::Mac::Hs256);

}  // namespace countersign::acme
