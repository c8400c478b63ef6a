// A registration's credentials, as the programs that use them keep them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "acme/control/registrations.hpp"
#include "base/result.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

enum class CredentialsFormat { AcmeDns, Lego, AcmeSh, CertManager, Certbot };

// By the word of --format.
[[nodiscard]] const std::map<std::string, CredentialsFormat>& credentials_formats();
[[nodiscard]] bool is_json(CredentialsFormat format);

// What a registration is for, first the one that its own name says: the keys of the formats that go by domain.
[[nodiscard]] std::vector<std::string> domains_of(const ListedRegistration& registration);

// Without a newline at the end. `server_url` is "" when it is not known. Error: Usage (the format needs a domain, or
// the URL; says which option gives it).
[[nodiscard]] base::Result<std::string> credentials_text(const IssuedRegistration& issued, CredentialsFormat format,
                                                         const std::string& server_url);
// What would be wrong with it, before there is a registration.
[[nodiscard]] base::Result<void> check_format(CredentialsFormat format, bool has_domain, const std::string& server_url);

// Where other machines reach the daemon's API: http and an address that it listens at. "" when the configuration cannot
// tell it: no API, every address, or TLS, whose certificate has a name.
[[nodiscard]] std::string server_url_of(const conf::Api& api);
// Without the slashes at its end, which clients would double. Error: Invalid (no http or https URL, or with a query).
[[nodiscard]] base::Result<std::string> parse_server_url(const std::string& text);

}  // namespace countersign::acme
