#include "acme/issue/cause.hpp"

#include <algorithm>

namespace countersign::acme {

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return out;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool has_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) { return has(text, part); });
}

namespace {

bool is_of_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '*';
}

// Domain names are words of strangers: that _acme-challenge.dnssec-lab.example does not exist says nothing of DNSSEC.
// Whatever has a dot inside goes, because CAs also speak of parents and of name servers; of `names` those without, too;
// and addresses of web pages.
std::string without_names(const std::string& text, const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (std::string_view(text).substr(at).starts_with("https://")) {
      at = std::min(text.find_first_of(" \t\r\n\"'", at), text.size());
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_of_name(text[end])) ++end;
    if (end == at) {
      out += text[at++];
      continue;
    }
    std::string word = text.substr(at, end - at);
    at = end;
    while (word.ends_with('.')) word.pop_back();
    bool is_name = word.find('.') != std::string::npos || std::find(names.begin(), names.end(), word) != names.end();
    if (!is_name) out += word;
  }
  return out;
}

// Pebble's numbers: `DNS lookup for "x" returned an unsuccessful response: '\x03'`, or "3".
bool says_rcode(const std::string& text, unsigned rcode) {
  std::size_t at = text.find("unsuccessful response:");
  if (at == std::string::npos) return false;
  std::string_view rest = std::string_view(text).substr(at);
  return has(rest, fmt::format("x0{}", rcode)) || has(rest, fmt::format("\"{}", rcode)) ||
         has(rest, fmt::format(": {}", rcode)) || has(rest, fmt::format("'{}", rcode));
}

Cause dns_cause(const std::string& text) {
  if (has_any(text, {"dnssec", "bogus", "rrsig", "dnskey", "nsec missing", "signature expired", "validation failure"}))
    return Cause::Dnssec;
  if (has_any(text, {"nxdomain", "no such domain", "no such host"}) || says_rcode(text, 3)) return Cause::NoSuchName;
  // EDE 22, 23: no reachable authority, network error (RFC 8914 §4).
  if (has_any(text, {"timed out", "timeout", "deadline exceeded", "no reachable authority"})) return Cause::Timeout;
  if (has_any(text, {"servfail", "server failure"}) || says_rcode(text, 2)) return Cause::ServFail;
  if (has(text, "query refused") || has(text, "problem: refused") || says_rcode(text, 5)) return Cause::Refused;
  if (has_any(text, {"network", "connection refused", "connection reset", "unreachable"})) return Cause::Network;
  return Cause::Unknown;
}

Cause unauthorized_cause(const std::string& text) {
  if (has_any(text,
              {"accounturi", "persistuntil", "issuer-domain-name", "policy=wildcard", "no valid txt record found"}))
    return Cause::Persist;
  if (has(text, "no txt record")) return Cause::NoRecord;
  if (has_any(text, {"incorrect txt record", "correct value not found", "did not match"})) return Cause::OtherValue;
  // Pebble calls a failed lookup so.
  if (has_any(text, {"error retrieving txt", "dns lookup", "dns problem"})) return dns_cause(text);
  if (has(text, "account")) return Cause::Account;
  return Cause::Unknown;
}

}  // namespace

std::string words_of(const Problem& problem, const std::vector<std::string>& names) {
  return without_names(lowered(problem.detail.empty() ? problem.title : problem.detail), names);
}

Cause cause_of(const Problem& problem, const std::vector<std::string>& names) {
  std::string text = words_of(problem, names);
  if (problem.is("rateLimited")) return Cause::RateLimited;
  if (problem.is("caa")) return Cause::Caa;
  if (has_any(text, {"looking up caa", "while processing caa", "rechecking caa"}))
    return has(text, "prevents issuance") ? Cause::Caa : Cause::CaaLookup;
  if (problem.is("dns")) {
    Cause cause = dns_cause(text);
    return cause == Cause::Unknown ? unauthorized_cause(text) : cause;
  }
  if (problem.is("unauthorized")) return unauthorized_cause(text);
  if (problem.is("incorrectResponse")) return Cause::OtherValue;
  if (problem.is("connection")) return has_any(text, {"timeout", "timed out"}) ? Cause::Timeout : Cause::Network;
  if (problem.is("rejectedIdentifier") || problem.is("unsupportedIdentifier")) return Cause::Rejected;
  if (problem.is("malformed") && has_any(text, {"accounturi", "persistuntil", "issue-value"})) return Cause::Persist;
  if (problem.is("accountDoesNotExist") || problem.is("externalAccountRequired") || problem.is("userActionRequired") ||
      problem.is("badPublicKey") || problem.is("invalidContact") || problem.is("unsupportedContact") ||
      problem.is("agreementRequired"))
    return Cause::Account;
  if (problem.is("serverInternal") || problem.status >= 500) return Cause::Busy;
  return Cause::Unknown;
}

}  // namespace countersign::acme
