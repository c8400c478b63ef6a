// A registration's credentials for a remote daemon's HTTP API.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::acme {

// A registration as `countersign register` and acme-dns hand it out.
struct Registration {
  std::string username, password;
  base::Name fulldomain;  // the one name that it may change
  base::Name zone;        // the daemon's zone that holds `fulldomain`
};

// What a credentials file holds: one registration (acme-dns' answer to /register), for all names, or an object of them
// by domain (the storage file of lego's acme-dns provider).
class Credentials {
 public:
  // The letter case of members does not matter. `zone` may stand beside them; else it is `fulldomain` without its
  // `subdomain`, or its parent. Refuses a file that others than its owner and group may read or write. Error: NotFound,
  // Denied, Invalid (says what is wrong).
  [[nodiscard]] static base::Result<Credentials> load(const std::filesystem::path& file);
  [[nodiscard]] static base::Result<Credentials> parse(const std::string& text);

  // The registration of a domain without `*.`: its own, else the file's only one. nullptr: there is none.
  [[nodiscard]] const Registration* find(const std::string& domain) const;
  // That which may change `fulldomain`. nullptr: there is none.
  [[nodiscard]] const Registration* of(const base::Name& fulldomain) const;

 private:
  std::map<std::string, Registration> by_domain_;  // "" = for all
};

}  // namespace countersign::acme
