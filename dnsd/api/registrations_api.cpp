#include "dnsd/api/registrations_api.hpp"

#include <algorithm>
#include <charconv>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dnsd/api/registration_documents.hpp"

namespace countersign::dnsd {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// An answer of half a megabyte, which the control thread writes without keeping others waiting.
constexpr std::size_t kMaxListed = 1000;
constexpr std::size_t kShown = 100;  // of a username that is none
// Who asked, in the lines that tell of changes.
constexpr const char* kWho = "control";

struct Page {
  std::string after;
  std::size_t limit = kMaxListed;
};

Result<std::size_t> parse_limit(const std::string& text) {
  std::size_t limit = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit < 1 || limit > kMaxListed)
    return fail(ErrorCode::Invalid, "limit \"{}\" is not a whole number from 1 to {}", base::printable(text, kShown),
                kMaxListed);
  return limit;
}

Result<Page> parse_page(const RequestTarget& target) {
  Page page;
  bool has_after = false;
  bool has_limit = false;
  for (const auto& [key, value] : target.query) {
    bool& seen = key == "after" ? has_after : has_limit;
    if (key != "after" && key != "limit")
      return fail(ErrorCode::Invalid, "unknown parameter \"{}\"; there are \"after\" and \"limit\" here",
                  base::printable(key, kShown));
    if (seen) return fail(ErrorCode::Invalid, "parameter \"{}\" is there twice", key);
    seen = true;
    if (key == "after") {
      page.after = value;
      continue;
    }
    auto limit = parse_limit(value);
    if (!limit) return fail(limit.error());
    page.limit = *limit;
  }
  return page;
}

// Nothing that a query's parameter cannot have in it: usernames are UUIDs.
std::string link_of(const std::string& username, std::size_t limit) {
  return fmt::format("</v1/registrations?after={}&limit={}>; rel=\"next\"", username, limit);
}

void log_change(std::string_view event, const zones::Registration& registration) {
  base::log::info(event, {{"who", kWho},
                          {"by", kWho},
                          {"username", registration.username},
                          {"name", registration.name.text()},
                          {"label", registration.label}});
}

}  // namespace

asio::awaitable<ApiResponse> RegistrationsApi::create(RequestTarget target, std::string body) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  auto wishes = parse_registration_wishes(body);
  if (!wishes) co_return error_response(wishes.error());
  Result<IssuedRegistration> issued = co_await registrar_.create(std::move(*wishes));
  if (!issued) co_return error_response(issued.error());
  log_change("registration made", issued->registration);
  co_return ApiResponse(201, issued_document(*issued));
}

asio::awaitable<ApiResponse> RegistrationsApi::list(RequestTarget target) {
  auto page = parse_page(target);
  if (!page) co_return error_response(page.error());
  std::size_t limit = page->limit;
  // One more than is told, to know whether the list goes on.
  Result<std::vector<zones::Registration>> found = co_await registrar_.list(std::move(page->after), limit + 1);
  if (!found) co_return error_response(found.error());
  bool goes_on = found->size() > limit;
  if (goes_on) found->resize(limit);
  // The store is told of use only now and then.
  for (zones::Registration& registration : *found) {
    std::optional<zones::Registration> current = registrar_.find(registration.username);
    if (current) registration.used = std::max(registration.used, current->used);
  }
  ApiResponse response(200, registrations_document(*found));
  if (goes_on) response.link = link_of(found->back().username, limit);
  co_return response;
}

ApiResponse RegistrationsApi::show(const RequestTarget& target) const {
  auto none = target.only_parameter("");
  if (!none) return error_response(none.error());
  auto registration = registrar_.find(target.path[2]);
  if (!registration)
    return error_response(404, "not_found",
                          fmt::format("there is no registration \"{}\"; `countersign registrations list` has them all",
                                      base::printable(target.path[2], kShown)));
  return ApiResponse(200, registration_document(*registration));
}

asio::awaitable<ApiResponse> RegistrationsApi::remove(RequestTarget target) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  std::string username = target.path[2];
  // For the log: it is gone afterwards. The registrar knows of more than it finds, when the store was slow.
  zones::Registration registration = registrar_.find(username).value_or(zones::Registration());
  if (registration.username.empty()) registration.username = base::printable(username, kShown);
  Result<void> removed = co_await registrar_.remove(std::move(username));
  if (!removed) co_return error_response(removed.error());
  log_change("registration removed", registration);
  co_return ApiResponse(204);
}

asio::awaitable<ApiResponse> RegistrationsApi::rotate(RequestTarget target) {
  auto none = target.only_parameter("");
  if (!none) co_return error_response(none.error());
  std::string username = target.path[2];
  Result<IssuedRegistration> issued = co_await registrar_.rotate(std::move(username));
  if (!issued) co_return error_response(issued.error());
  log_change("password rotated", issued->registration);
  co_return ApiResponse(200, issued_document(*issued));
}

}  // namespace countersign::dnsd
