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

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  return base::printable(out, kExcerpt);
}

// Boulder says it like so in `detail`: "... retry after 2026-01-01 00:00:00 UTC: see https://...".
std::optional<base::WallTime> time_in(std::string_view detail) {
  constexpr std::string_view kMark = "retry after ";
  constexpr std::size_t kDay = 10;   // octets of 2026-01-01
  constexpr std::size_t kClock = 8;  // and of 00:00:00
  for (std::size_t at = detail.find(kMark); at != std::string_view::npos; at = detail.find(kMark, at + 1)) {
    std::string_view text = detail.substr(at + kMark.size());
    if (text.size() < kDay + 1 + kClock) return std::nullopt;
    std::string_view zone = text.substr(kDay + 1 + kClock);
    if (!zone.starts_with(" UTC") && !zone.starts_with("Z")) continue;
    auto time = base::parse_rfc3339(fmt::format("{}T{}Z", text.substr(0, kDay), text.substr(kDay + 1, kClock)));
    if (time) return *time;
  }
  return std::nullopt;
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

std::string Problem::summary() const {
  std::string out = type_and_detail(type, detail.empty() ? title : detail);
  if (out.empty()) out = "no reason given";
  if (status != 0) out += fmt::format(" (HTTP {})", status);
  for (const Subproblem& sub : subproblems) {
    out += sub.identifier.empty() ? "; " : fmt::format("; \"{}\": ", base::printable(sub.identifier, kExcerpt));
    out += type_and_detail(sub.type, sub.detail);
  }
  if (!algorithms.empty()) out += "; the CA takes " + joined(algorithms);
  return out;
}

std::string Problem::describe() const {
  std::string out = summary();
  if (std::string text = advice(); !text.empty()) out += "; " + text;
  if (auto time = try_again(base::SystemClock().wall())) out += "; try again after " + base::format_rfc3339(*time);
  if (is("userActionRequired") && !instance.empty()) out += "; visit " + base::printable(instance, kExcerpt);
  if (!terms_url.empty()) out += "; terms of service: " + base::printable(terms_url, kExcerpt);
  if (!help_url.empty()) out += "; see " + base::printable(help_url, kExcerpt);
  return out;
}

std::optional<base::WallTime> Problem::try_again(base::WallTime now) const {
  constexpr std::chrono::hours kFurthest{24 * 366};  // beyond, it is a slip of the pen
  std::optional<base::WallTime> time;
  if (retry_after) time = now + *retry_after;
  auto told = time_in(detail);
  if (told && *told > time.value_or(now) && *told < now + kFurthest) time = told;
  return time;
}

Problem problem_of(const JsonObject& object) {
  Problem problem;
  problem.type = object.optional_text("type");
  problem.title = object.optional_text("title");
  problem.detail = object.optional_text("detail");
  problem.instance = object.optional_text("instance");
  problem.algorithms = object.optional_texts("algorithms");
  problem.of_resource = true;
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
    problem.of_resource = false;
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
  problem.location = response.header("location");
  return problem;
}

}  // namespace countersign::acme
