#include "conf/ca_directories.hpp"

#include <array>
#include <vector>

#include "base/socket_address.hpp"
#include "conf/texts.hpp"

namespace countersign::conf {
namespace {

using base::ErrorCode;
using base::fail;

// Authorities that issue to everybody. Buypass is absent: it issues no TLS certificates since October 2025.
constexpr std::array kDirectories{
    CaDirectory{"letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"},
    CaDirectory{"letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"},
    CaDirectory{"zerossl", "https://acme.zerossl.com/v2/DV90"},
    CaDirectory{"google", "https://dv.acme-v02.api.pki.goog/directory"},
    CaDirectory{"google-staging", "https://dv.acme-v02.test-api.pki.goog/directory"},
};

constexpr std::size_t kMaxUrlLength = 2048;

// Enough for a clear error here; libcurl judges the rest when it connects.
bool plausible_url(std::string_view url) {
  std::string_view rest = url.substr(url.find("//") + 2);
  if (rest.empty() || url.size() > kMaxUrlLength || std::string_view("/:?#@").find(rest[0]) != std::string_view::npos)
    return false;
  for (char c : rest)
    if (c <= ' ' || c > '~' || c == '"' || c == '#') return false;
  return true;
}

// A CA under test on this machine, which needs no certificate: http://127.0.0.1:14000/dir
bool loopback_http(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme) || url.find('@') != std::string_view::npos) return false;
  std::string_view rest = url.substr(kScheme.size());
  if (rest.starts_with("[::1]")) return true;
  std::string_view host = rest.substr(0, rest.find_first_of(":/?"));
  return host == "localhost" || (host.starts_with("127.") && base::SocketAddress::parse(host, 80));
}

}  // namespace

std::span<const CaDirectory> ca_directories() {
  return kDirectories;
}

base::Result<std::string> directory_url(std::string_view ca) {
  std::vector<std::string_view> names;
  for (const CaDirectory& directory : kDirectories) {
    if (directory.name == ca) return std::string(directory.url);
    names.push_back(directory.name);
  }
  if (ca.starts_with("https://") || loopback_http(ca)) {
    if (!plausible_url(ca))
      return fail(ErrorCode::Invalid, "{} is not a URL; write the CA's directory URL", in_quotes(ca));
    return std::string(ca);
  }
  // RFC 8555 §6.1: ACME is HTTPS only.
  if (ca.starts_with("http://"))
    return fail(ErrorCode::Invalid, "{} is not encrypted; write the CA's https:// directory URL", in_quotes(ca));
  return fail(ErrorCode::Invalid,
              "{} is not a known CA; the nearest one is \"{}\"; or write its https:// directory URL", in_quotes(ca),
              nearest(ca, names));
}

}  // namespace countersign::conf
