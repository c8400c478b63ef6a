// A DNS identifier as ACME has it (RFC 8555 §7.1.4): lower-case A-labels, perhaps with a leading `*.`.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "base/name.hpp"
#include "base/result.hpp"

namespace countersign::acme {

class DnsIdentifier {
 public:
  // Text as people type it: any case, U-labels (converted by IDNA 2008), a final dot is dropped.
  // Error: Invalid, with the reason: not a domain name, an IP address (dns-01 cannot prove it, RFC 8738), a wildcard
  // that is not one whole leftmost label, .onion (RFC 9799), a single label, too long with `_acme-challenge.` in front.
  [[nodiscard]] static base::Result<DnsIdentifier> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }  // "*.example.com"
  [[nodiscard]] bool is_wildcard() const { return text_.starts_with("*."); }
  [[nodiscard]] std::string base_text() const;                                        // without "*."
  [[nodiscard]] const base::Name& challenge_name() const { return challenge_name_; }  // _acme-challenge.BASE

  friend bool operator==(const DnsIdentifier& a, const DnsIdentifier& b) { return a.text_ == b.text_; }
  friend auto operator<=>(const DnsIdentifier& a, const DnsIdentifier& b) { return a.text_ <=> b.text_; }

 private:
  std::string text_;
  base::Name challenge_name_;
};

// Parses all; duplicates are dropped, the first spelling's place kept. Every bad one is named in one error.
[[nodiscard]] base::Result<std::vector<DnsIdentifier>> parse_identifiers(const std::vector<std::string>& texts);

}  // namespace countersign::acme
