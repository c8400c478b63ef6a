#include "acme/protocol/renewal_info.hpp"

#include <algorithm>

#include "acme/protocol/json.hpp"
#include "acme/protocol/problem.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "acme/transport/url.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using std::chrono::milliseconds;

// RFC 9773 §4.3: limits that a client should set, and what to do where the CA says nothing.
constexpr milliseconds kShortest = std::chrono::minutes(1);
constexpr milliseconds kLongest = std::chrono::hours(24);
constexpr milliseconds kUsual = std::chrono::hours(6);
// No certificate lives as long. A window of the past, however far, is a way to say "now".
constexpr milliseconds kFarthest = std::chrono::years(10);
constexpr std::size_t kMaxBody = 16U << 10U;  // octets; a window and a URL have 200

Result<base::WallTime> read_time(const JsonObject& window, const char* member) {
  auto time = base::parse_rfc3339(window.text(member));
  if (!time) window.reject(member, "is no date-time of RFC 3339");
  return time;
}

// RFC 9773 §4.2: for a person to read; it is never fetched.
std::string explanation(const JsonObject& root) {
  std::string url = root.optional_text("explanationURL");
  return Url::parse(url) ? base::printable(url, 500) : "";
}

Result<RenewalInfo> read_renewal_info(const HttpResponse& response, const std::string& url) {
  auto document = JsonDocument::parse(response.body, fmt::format("renewalInfo ({})", url));
  if (!document) return fail(document.error());
  JsonObject window = document->root().object("suggestedWindow");
  auto start = read_time(window, "start");
  auto end = read_time(window, "end");
  if (start && end && *start >= *end) window.reject("end", "is not after \"start\"");
  if (end && *end > base::SystemClock().wall() + kFarthest) window.reject("end", "is more than ten years away");
  if (auto checked = document->check(); !checked) return fail(checked.error());
  RenewalInfo info;
  info.start = *start;
  info.end = *end;
  info.explanation_url = explanation(document->root());
  info.ask_again = std::clamp(retry_after(response).value_or(kUsual), kShortest, kLongest);
  return info;
}

}  // namespace

Result<RenewalInfo> fetch_renewal_info(Session& session, const std::string& certificate_id) {
  const Directory& directory = session.directory();
  if (directory.renewal_info.empty())
    return fail(ErrorCode::NotFound, "the CA {} offers no renewal information (RFC 9773)", directory.url);
  if (certificate_id.empty())
    return fail(ErrorCode::NotFound,
                "no renewal information (RFC 9773) can be asked for: the certificate has no authority key identifier");
  HttpRequest request;
  request.url = directory.renewal_info;
  if (request.url.ends_with('/')) request.url.pop_back();
  request.url += "/" + certificate_id;
  request.max_body = kMaxBody;
  request.headers = {{"Accept", "application/json"}, {"Accept-Language", "en"}};
  if (auto checked = check_resource_url(request.url, directory); !checked)
    return fail(ErrorCode::Protocol, "renewalInfo: {}", checked.error().message);
  auto response = session.http().perform(request);
  if (!response) return fail(response.error().code, "renewalInfo: {}", response.error().message);
  if (response->status != 200) {
    Problem problem = problem_of(*response);
    return fail(problem.code(), "renewalInfo ({}): {}", request.url, problem.describe());
  }
  return read_renewal_info(*response, request.url);
}

}  // namespace countersign::acme
