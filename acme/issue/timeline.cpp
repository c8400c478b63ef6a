#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "acme/issue/steps.hpp"
#include "acme/issue/verdict.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

struct Moment {
  const SeenQuery* query = nullptr;
  std::optional<base::WallTime> time;
};

// RFC 3339 with the milliseconds, which base::parse_rfc3339() drops.
std::optional<base::WallTime> moment_of(const std::string& text) {
  auto time = base::parse_rfc3339(text);
  if (!time) return std::nullopt;
  std::size_t dot = text.find('.');
  if (dot == std::string::npos) return *time;
  unsigned fraction = 0;
  unsigned worth = 100;
  for (std::size_t i = dot + 1; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, worth /= 10)
    fraction += static_cast<unsigned>(text[i] - '0') * worth;
  return *time + milliseconds(fraction);
}

std::string since(const Moment& moment, base::WallTime triggered) {
  if (!moment.time) return "?";
  // The clock may have been set back meanwhile.
  auto passed = std::max(*moment.time - triggered, milliseconds(0));
  if (passed < milliseconds(10'000)) return fmt::format("+{} ms", passed.count());
  return fmt::format("+{:.1f} s", static_cast<double>(passed.count()) / 1000);
}

// Names that share a target (x and *.x) share its queries.
std::vector<Moment> moments_of(const Attempt& attempt) {
  std::vector<Moment> moments;
  std::set<base::Name> told;
  for (const NameAttempt& name : attempt.names) {
    if (!told.insert(name.target).second) continue;
    for (const SeenQuery& query : name.queries) moments.push_back({&query, moment_of(query.time)});
  }
  std::vector<std::size_t> order(moments.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(moments[a].time, a) < std::pair(moments[b].time, b);
  });
  std::vector<Moment> sorted;
  sorted.reserve(moments.size());
  for (std::size_t i : order) sorted.push_back(moments[i]);
  return sorted;
}

std::string answer_text(const SeenQuery& query) {
  std::string rcode = base::printable(query.rcode, 20);
  if (query.rcode != "NOERROR") return rcode;
  return query.values == 0 ? "NOERROR, no value" : fmt::format("NOERROR, {}", counted(query.values, "value"));
}

json::string text(const std::string& value) {
  return json::string(base::valid_utf8(value));
}

json::value problem_value(const std::optional<Problem>& problem) {
  if (!problem) return nullptr;
  json::array subproblems;
  for (const Subproblem& sub : problem->subproblems)
    subproblems.push_back(
        {{"type", text(sub.type)}, {"detail", text(sub.detail)}, {"identifier", text(sub.identifier)}});
  json::object object{{"type", text(problem->type)}, {"detail", text(problem->detail)}};
  if (!problem->title.empty()) object["title"] = text(problem->title);
  if (problem->status != 0) object["status"] = problem->status;
  if (!subproblems.empty()) object["subproblems"] = std::move(subproblems);
  if (!problem->instance.empty()) object["instance"] = text(problem->instance);
  if (!problem->help_url.empty()) object["help"] = text(problem->help_url);
  return object;
}

json::object query_value(const SeenQuery& query) {
  return {{"time", text(query.time)},  {"client", text(query.client)}, {"transport", text(query.transport)},
          {"name", query.name.text()}, {"type", text(query.type)},     {"rcode", text(query.rcode)},
          {"values", query.values}};
}

json::object name_value(const Attempt& attempt, const NameAttempt& name) {
  json::array queries;
  for (const SeenQuery& query : name.queries) queries.push_back(query_value(query));
  return {{"name", text(name.name)},
          {"target", name.target.is_root() ? std::string() : name.target.text()},
          {"status", text(name.status)},
          {"verdict", text(verdict_of(attempt, name))},
          {"problem", problem_value(name.problem)},
          {"queries", std::move(queries)}};
}

}  // namespace

std::vector<std::string> timeline_of(const Attempt& attempt, std::size_t limit) {
  std::vector<std::string> lines;
  auto moments = moments_of(attempt);
  for (const Moment& moment : moments) {
    if (lines.size() == limit) {
      lines.push_back(fmt::format("and {} more", moments.size() - limit));
      break;
    }
    const SeenQuery& query = *moment.query;
    lines.push_back(fmt::format("{}  {} {}  {}. {}  {}", since(moment, attempt.triggered),
                                base::printable(query.client, 60), base::printable(query.transport, 10),
                                query.name.text(), base::printable(query.type, 20), answer_text(query)));
  }
  return lines;
}

std::string attempt_document(const Attempt& attempt) {
  json::array names;
  for (const NameAttempt& name : attempt.names) names.push_back(name_value(attempt, name));
  json::object object{
      {"ca", text(attempt.ca)},    {"succeeded", attempt.succeeded},       {"watched", attempt.watched},
      {"names", std::move(names)}, {"verdict", text(verdict_of(attempt))}, {"problem", problem_value(attempt.problem)},
      {"try_again", nullptr}};
  if (attempt.try_again) object["try_again"] = base::format_rfc3339(*attempt.try_again);
  return json::serialize(object);
}

}  // namespace countersign::acme
