#include "acme/transport/http_error.hpp"

#include <cerrno>

#include "base/files.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;

// What newer releases of libcurl say of a long header line, where 7.88 has no memory.
constexpr auto kTooLarge = static_cast<CURLcode>(100);

}  // namespace

base::Error transfer_error(CURL* handle, CURLcode code, std::string reason, const std::string& url,
                           const std::string& origin) {
  if (reason.empty()) reason = curl_easy_strerror(code);
  reason = base::printable(reason);
  long os_error = 0;
  curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &os_error);
  long sent = 0;  // then something answered, and what libcurl complains about is that
  curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &sent);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {
          ErrorCode::Unavailable,
          fmt::format("cannot find an address of {}: {}; check the name and this machine's resolver", origin, reason)};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorCode::Unavailable,
              fmt::format("cannot reach {} through the proxy: {}; check https_proxy", origin, reason)};
    case CURLE_COULDNT_CONNECT:
      if (os_error != 0) reason = base::system_reason(static_cast<int>(os_error));
      return {os_error == EACCES || os_error == EPERM ? ErrorCode::Denied : ErrorCode::Unavailable,
              fmt::format("cannot connect to {}: {}", origin, reason)};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {
          ErrorCode::Unavailable,
          fmt::format("{} has a certificate that is not trusted: {}; if it is a private CA's, set acme.ca_bundle to "
                      "the file with its root",
                      origin, reason)};
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::Usage,
              fmt::format("cannot use the trusted certificates for {}: {}; check acme.ca_bundle", origin, reason)};
    case CURLE_SSL_CONNECT_ERROR:
      return {ErrorCode::Unavailable, fmt::format("no TLS connection to {}: {}; is it an HTTPS port?", origin, reason)};
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorCode::Timeout, fmt::format("no answer from {} to {} in time: {}", origin, url, reason)};
    case CURLE_OUT_OF_MEMORY:
    case kTooLarge:
      if (sent > 0)
        return {ErrorCode::Protocol, fmt::format("the answer of {} to {} has a header that is too long", origin, url)};
      return {ErrorCode::Unavailable, fmt::format("the request to {} failed: {}", url, reason)};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      // Without a status line libcurl takes it for HTTP/0.9.
      if (sent > 0) return {ErrorCode::Protocol, fmt::format("the answer of {} to {} is no HTTP", origin, url)};
      return {ErrorCode::Invalid, fmt::format("\"{}\" is not an http or https URL", url)};
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return {ErrorCode::Unavailable, fmt::format("the answer of {} to {} is cut short: {}", origin, url, reason)};
    case CURLE_WEIRD_SERVER_REPLY:
      return {ErrorCode::Protocol, fmt::format("the answer of {} to {} is no HTTP: {}", origin, url, reason)};
    default:
      return {ErrorCode::Unavailable, fmt::format("the request to {} failed: {}", url, reason)};
  }
}

}  // namespace countersign::acme
