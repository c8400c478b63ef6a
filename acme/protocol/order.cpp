#include "acme/protocol/order.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <set>

#include "acme/protocol/json.hpp"
#include "acme/protocol/reply_headers.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxChain = 1U << 20U;                             // octets
constexpr const char* kChainType = "application/pem-certificate-chain";  // RFC 8555 §7.4.2
constexpr std::size_t kMostAlternates = 16;  // real CAs have one to three; each costs a request

OrderStatus parse_status(const JsonObject& object) {
  std::string text = object.text("status");
  if (text == "pending") return OrderStatus::Pending;
  if (text == "ready") return OrderStatus::Ready;
  if (text == "processing") return OrderStatus::Processing;
  if (text == "valid") return OrderStatus::Valid;
  // Pebble 2.4 calls an order with a deactivated authorization "deactivated"; RFC 8555 §7.1.6 has "invalid".
  if (text != "invalid" && text != "deactivated")
    object.reject("status", fmt::format("is \"{}\", no order status of RFC 8555 §7.1.6", base::printable(text, 40)));
  return OrderStatus::Invalid;
}

// In their order.
std::vector<std::string> unique(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  std::set<std::string_view> seen;
  for (const std::string& text : texts)
    if (seen.insert(text).second) out.push_back(text);
  return out;
}

Result<Order> read_order(const HttpResponse& response, const std::string& url, const char* what) {
  auto document = JsonDocument::parse(response.body, fmt::format("{} ({})", what, url));
  if (!document) return fail(document.error());
  JsonObject root = document->root();
  Order order;
  order.url = url;
  order.status = parse_status(root);
  for (const JsonObject& identifier : root.objects("identifiers"))
    order.identifiers.push_back(identifier.text("value"));
  order.authorizations = unique(root.texts("authorizations"));
  order.finalize = root.text("finalize");
  if (order.status == OrderStatus::Valid) order.certificate = root.text("certificate");
  if (auto checked = document->check(); !checked) return fail(checked.error());
  // Nothing could be done but wait, and nothing would come of it.
  if (order.status == OrderStatus::Pending && order.authorizations.empty())
    return fail(ErrorCode::Protocol, "{} ({}): the order is pending, but has no authorizations", what, url);
  // RFC 8555 §7.1.3 has one for each identifier, fewer where one covers several. Each costs a request.
  if (order.authorizations.size() > order.identifiers.size())
    return fail(ErrorCode::Protocol, "{} ({}): {} authorizations for {} identifiers", what, url,
                order.authorizations.size(), order.identifiers.size());
  // After the check: what a CA says beyond RFC 8555 must not make its order unusable.
  order.profile = root.optional_text("profile");
  order.replaces = root.optional_text("replaces");
  order.expires = root.optional_text("expires");
  if (auto error = root.optional_object("error")) order.error = problem_of(*error);
  order.retry_after = retry_after(response);
  return order;
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::transform(names.begin(), names.end(), names.begin(), lower_case);
  std::sort(names.begin(), names.end());
  return names;
}

Result<Download> read_download(const Session& session, Result<HttpResponse> response, const std::string& url) {
  if (!response) return fail(response.error());
  if (media_type(*response) != kChainType)
    return fail(ErrorCode::Protocol, "certificate ({}): the answer is \"{}\", not {}", url,
                base::printable(media_type(*response)), kChainType);
  Download download;
  // A chain that cannot be asked for is none: the one that was ordered is here.
  for (std::string& alternate : unique(links(*response, "alternate"))) {
    if (alternate != url && download.alternates.size() < kMostAlternates &&
        check_resource_url(alternate, session.directory()))
      download.alternates.push_back(std::move(alternate));
  }
  download.pem = std::move(response->body);
  return download;
}

}  // namespace

Result<Order> new_order(Session& session, const NewOrder& wanted, Problem* problem) {
  boost::json::array identifiers;
  for (const std::string& name : wanted.names)
    identifiers.push_back(boost::json::object{{"type", "dns"}, {"value", name}});
  boost::json::object payload{{"identifiers", std::move(identifiers)}};
  // Only what was asked for: a CA may refuse an order for a member that it does not know.
  auto add = [&](const char* member, const std::string& value) {
    if (!value.empty()) payload[member] = value;
  };
  add("profile", wanted.profile);
  add("notBefore", wanted.not_before);
  add("notAfter", wanted.not_after);
  add("replaces", wanted.replaces);
  const std::string& url = session.directory().new_order;
  auto response = session.post(
      Post{url, boost::json::serialize(payload), "newOrder", "", Post::Signer::Account, kMaxJson, problem});
  if (!response) return fail(response.error());
  std::string location = response->header("location");
  if (location.empty())
    return fail(ErrorCode::Protocol, "newOrder ({}): the answer has no Location (RFC 8555 §7.4)", url);
  if (auto checked = check_resource_url(location, session.directory()); !checked)
    return fail(ErrorCode::Protocol, "newOrder ({}): Location: {}", url, checked.error().message);
  auto order = read_order(*response, location, "newOrder");
  if (order && sorted(order->identifiers) != sorted(wanted.names))
    return fail(ErrorCode::Protocol, "newOrder ({}): the order is for other names than were asked for", url);
  return order;
}

Result<Order> fetch_order(Session& session, const std::string& url, Problem* problem) {
  Post post{url, "", "order", "", Post::Signer::Account};
  post.problem = problem;
  auto response = session.post(post);
  if (!response) return fail(response.error());
  return read_order(*response, url, "order");
}

Result<Order> finalize_order(Session& session, const Order& order, const std::string& csr, Problem* problem) {
  boost::json::object payload{{"csr", base::base64url_encode(base::as_bytes(csr))}};
  auto response = session.post(
      Post{order.finalize, boost::json::serialize(payload), "finalize", "", Post::Signer::Account, kMaxJson, problem});
  if (!response) return fail(response.error());
  // The answer is the order; its own URL stays newOrder's Location, which not every CA repeats here.
  return read_order(*response, order.url, "finalize");
}

Result<Download> fetch_certificate(Session& session, const std::string& url) {
  return std::move(fetch_certificates(session, {url}).front());
}

std::vector<Result<Download>> fetch_certificates(Session& session, const std::vector<std::string>& urls) {
  std::vector<Post> posts;
  posts.reserve(urls.size());
  for (const std::string& url : urls)
    posts.push_back(Post{url, "", "certificate", kChainType, Post::Signer::Account, kMaxChain});
  auto responses = session.post(posts);
  std::vector<Result<Download>> downloads;
  downloads.reserve(urls.size());
  for (std::size_t i = 0; i < urls.size(); ++i)
    downloads.push_back(read_download(session, std::move(responses[i]), urls[i]));
  return downloads;
}

}  // namespace countersign::acme
