// Registrations as the daemon tells of them on its control socket (dnsd/api/API.md).
#pragma once

#include <string>
#include <vector>

#include "base/name.hpp"

namespace countersign::acme {

struct RegistrationWishes {
  std::string name;  // what it owns below the zone; "" = a UUID of the daemon's
  std::vector<std::string> domains;
  std::string label;
  std::vector<std::string> allow_from;
};

struct ListedRegistration {
  std::string username;
  base::Name fulldomain;
  std::string subdomain;
  std::vector<std::string> allow_from;
  std::vector<std::string> domains;
  std::string label;
  std::string created;   // RFC 3339
  std::string used;      // the same; "" = never, or not told
  std::string document;  // the whole object, for --json
};

// Just made or rotated.
struct IssuedRegistration {
  ListedRegistration listed;
  std::string password;
  base::Name zone;  // the daemon's, which holds `fulldomain`
};

}  // namespace countersign::acme
