#include "acme/protocol/problem.hpp"

#include "acme/protocol/reply_headers.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

constexpr std::string_view kPrefix = "urn:ietf:params:acme:error:";
constexpr std::size_t kExcerpt = 200;  // octets of a page that is no problem document

std::string_view short_type(std::string_view type) {
  return type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : type;
}

std::string type_and_detail(std::string_view type, std::string_view detail) {
  std::string name = base::printable(short_type(type), kExcerpt);
  if (detail.empty()) return name;
  return name.empty() ? base::printable(detail) : name + ": " + base::printable(detail);
}

std::string local_time(std::chrono::milliseconds from_now) {
  return base::format_rfc3339(base::SystemClock().wall() + from_now);
}

}  // namespace

bool Problem::is(std::string_view name) const {
  return type.starts_with(kPrefix) && short_type(type) == name;
}

base::ErrorCode Problem::code() const {
  if (is("accountDoesNotExist")) return base::ErrorCode::NotFound;
  if (is("rateLimited") || is("serverInternal") || status == 429 || status >= 500) return base::ErrorCode::Unavailable;
  return base::ErrorCode::Refused;
}

std::string Problem::describe() const {
  std::string out = type_and_detail(type, detail.empty() ? title : detail);
  if (out.empty()) out = "no reason given";
  if (status != 0) out += fmt::format(" (HTTP {})", status);
  for (const Subproblem& sub : subproblems) {
    out += sub.identifier.empty() ? "; " : fmt::format("; \"{}\": ", base::printable(sub.identifier, kExcerpt));
    out += type_and_detail(sub.type, sub.detail);
  }
  if (retry_after) out += "; try again after " + local_time(*retry_after);
  if (is("userActionRequired") && !instance.empty()) out += "; visit " + base::printable(instance, kExcerpt);
  if (!terms_url.empty()) out += "; terms of service: " + base::printable(terms_url, kExcerpt);
  if (!help_url.empty()) out += "; see " + base::printable(help_url, kExcerpt);
  return out;
}

Problem problem_of(const JsonObject& object) {
  Problem problem;
  problem.type = object.optional_text("type");
  problem.title = object.optional_text("title");
  problem.detail = object.optional_text("detail");
  problem.instance = object.optional_text("instance");
  problem.status = static_cast<long>(object.optional_number("status").value_or(0));
  for (const JsonObject& item : object.optional_objects("subproblems")) {
    auto identifier = item.optional_object("identifier");
    problem.subproblems.push_back({item.optional_text("type"), item.optional_text("detail"),
                                   identifier ? identifier->optional_text("value") : std::string()});
  }
  return problem;
}

Problem problem_of(const HttpResponse& response) {
  Problem problem;
  auto document = JsonDocument::parse(response.body, "problem document");
  std::string type = media_type(response);
  // An object that is labelled plainly as JSON is taken for one too.
  if (document && (type == "application/problem+json" || type == "application/json")) {
    problem = problem_of(document->root());
  } else if (response.status >= 300 && response.status < 400) {
    problem.detail = fmt::format("it redirects to {}, which ACME does not allow; set acme.ca to the right URL",
                                 base::printable(response.header("location"), kExcerpt));
  } else if (!response.body.empty()) {
    problem.detail =
        fmt::format("{} instead of a problem document: {}", type.empty() ? "untyped text" : base::printable(type, 60),
                    base::printable(response.body, kExcerpt));
  }
  problem.status = response.status;
  problem.retry_after = retry_after(response);
  auto first = [&](std::string_view relation) {
    auto found = links(response, relation);
    return found.empty() ? std::string() : found.front();
  };
  problem.help_url = first("help");
  problem.terms_url = first("terms-of-service");
  return problem;
}

}  // namespace countersign::acme
