#include "acme/transport/url.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

#include "base/handle.hpp"
#include "base/socket_address.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using CurlUrl = base::Handle<CURLU, curl_url_cleanup>;
using CurlText = base::Handle<char, curl_free>;

std::string part(const CurlUrl& url, CURLUPart which, unsigned flags = 0) {
  char* raw = nullptr;
  if (curl_url_get(url.get(), which, &raw, flags) != CURLUE_OK) return {};
  CurlText text(raw);
  return text.get();
}

constexpr std::size_t kShown = 300;  // of what is no URL

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  CurlUrl url(curl_url());
  std::string copy(text);
  // RFC 3986 §2. A URL that is taken is fit for a message, whoever gave it.
  bool plain = std::all_of(copy.begin(), copy.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!plain || curl_url_set(url.get(), CURLUPART_URL, copy.c_str(), 0) != CURLUE_OK)
    return fail(ErrorCode::Invalid, "\"{}\" is not an absolute http or https URL", base::printable(text, kShown));
  Url out;
  std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http")
    return fail(ErrorCode::Invalid, "\"{}\" is not an http or https URL", text);
  out.https_ = scheme == "https";
  if (!part(url, CURLUPART_USER).empty()) return fail(ErrorCode::Invalid, "the URL \"{}\" has a user name in it", text);
  out.host_ = part(url, CURLUPART_HOST);
  if (out.host_.starts_with('[')) out.host_ = out.host_.substr(1, out.host_.size() - 2);
  for (char& c : out.host_)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  if (out.host_.empty()) return fail(ErrorCode::Invalid, "the URL \"{}\" has no host", text);
  std::string port = part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), out.port_);
  if (problem != std::errc() || out.port_ == 0)
    return fail(ErrorCode::Invalid, "the URL \"{}\" has no usable port", text);
  out.path_ = part(url, CURLUPART_PATH);
  if (std::string query = part(url, CURLUPART_QUERY); !query.empty()) out.path_ += "?" + query;
  return out;
}

bool Url::is_loopback() const {
  if (host_ == "localhost") return true;
  auto address = base::SocketAddress::parse(host_, port_);
  if (!address) return false;
  return (address->family() == AF_INET && host_.starts_with("127.")) || address->address_text() == "::1";
}

std::string Url::origin() const {
  std::string shown = host_.find(':') == std::string::npos ? host_ : "[" + host_ + "]";
  return port_ == (https_ ? 443 : 80) ? shown : fmt::format("{}:{}", shown, port_);
}

}  // namespace countersign::acme
