// A registration: the credentials of a stranger's ACME client, and the one name they may change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/name.hpp"

namespace countersign::zones {

struct Registration {
  static constexpr std::size_t kDigestSize = 32;

  std::string username;  // a UUID in lower case with dashes (RFC 9562 §4)
  // SHA-256 of the password, 32 octets; or a bcrypt hash "$2a$10$..." that was imported, until its first success.
  std::string secret;
  base::Name name;                      // the fulldomain
  std::string subdomain;                // its labels before the zone, as the client was told
  std::vector<std::string> allow_from;  // CIDRs as they were given; none = from anywhere
  std::vector<base::Name> domains;      // that it serves besides: `_acme-challenge.` of each stands for `name`
  std::string label;                    // for people; printable
  std::int64_t created = 0;             // milliseconds since 1970
  std::int64_t used = 0;                // the same, to the hour or so; 0 = never

  // A digest may begin with any octet: one in 256 with this one.
  [[nodiscard]] bool is_bcrypt() const { return secret.size() != kDigestSize && secret.starts_with('$'); }
  // Of its values: "registration:USERNAME".
  [[nodiscard]] std::string owner() const { return "registration:" + username; }

  friend bool operator==(const Registration&, const Registration&) = default;
};

// How the store writes it, and the registry packs it. Lists are joined by blanks: neither CIDRs nor names have any.
[[nodiscard]] std::string join_words(const std::vector<std::string>& words);
[[nodiscard]] std::vector<std::string> split_words(std::string_view text);
[[nodiscard]] std::string join_names(const std::vector<base::Name>& names);
// What is no name is left out: it was written by hand.
[[nodiscard]] std::vector<base::Name> split_names(std::string_view text);

}  // namespace countersign::zones
