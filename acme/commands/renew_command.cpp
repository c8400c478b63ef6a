#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "acme/commands/commands.hpp"
#include "acme/commands/issue_report.hpp"
#include "acme/renew/pause.hpp"
#include "acme/renew/renew.hpp"
#include "conf/load.hpp"

namespace countersign::acme {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using base::ErrorCode;
using base::Result;
using Status = RenewItem::Status;

constexpr std::size_t kShownItems = 20;  // that are not due; -v and --json give all

const char* status_word(Status status) {
  switch (status) {
    case Status::Due:
      return "due";
    case Status::Renewed:
      return "renewed";
    case Status::Deployed:
      return "deployed";
    case Status::Failed:
      return "failed";
    case Status::NotDue:
      return "not_due";
    case Status::HeldBack:
      return "held_back";
    case Status::Busy:
      return "busy";
    case Status::Nothing:
      break;
  }
  return "nothing";
}

const char* due_word(const RenewItem& item) {
  return item.request && item.request->when_valid == WhenValid::RunHooks ? "runs its hooks again" : "due";
}

struct Counts {
  std::size_t renewed = 0, deployed = 0, failed = 0, not_due = 0, held_back = 0;
  std::size_t stuck = 0;  // of those held back: due, and not renewed because they failed
  bool interrupted = false;
  std::size_t hook_failures = 0;
};

Counts counts_of(const std::vector<RenewItem>& items) {
  Counts counts;
  for (const RenewItem& item : items) {
    counts.renewed += item.status == Status::Renewed ? 1 : 0;
    counts.deployed += item.status == Status::Deployed ? 1 : 0;
    counts.failed += item.status == Status::Failed ? 1 : 0;
    counts.not_due += item.status == Status::NotDue ? 1 : 0;
    counts.held_back += item.status == Status::HeldBack ? 1 : 0;
    counts.stuck += item.status == Status::HeldBack && !item.can_wait ? 1 : 0;
    if (!item.result) continue;
    if (item.status == Status::Renewed && !(*item.result)->hook_failure.empty()) ++counts.hook_failures;
    if (!*item.result && item.result->error().code == ErrorCode::Interrupted) counts.interrupted = true;
  }
  return counts;
}

ExitStatus exit_status_of(const Counts& counts) {
  if (counts.interrupted) return ExitStatus::Interrupted;
  // What failed lately and is not tried now fails as before: whoever watches over it must not see it well in between.
  std::size_t bad = counts.failed + counts.hook_failures + counts.stuck;
  if (bad == 0) return ExitStatus::Done;
  std::size_t all = counts.renewed + counts.deployed + counts.failed + counts.stuck;
  return bad < all ? ExitStatus::SomeFailed : ExitStatus::Failed;
}

const char* outcome_word(ExitStatus status) {
  switch (status) {
    case ExitStatus::Done:
      return "done";
    case ExitStatus::SomeFailed:
      return "some failed";
    case ExitStatus::Interrupted:
      return "interrupted";
    case ExitStatus::Failed:
    case ExitStatus::Usage:
      break;
  }
  return "failed";
}

// Later rounds of a run that stays say only what is new.
enum class Telling { All, News };

// One look at all, and what comes of it.
class Round {
 public:
  Round(const Context& context, const RenewRequest& request, Renewer& renewer, Telling telling)
      : context_(context), request_(request), renewer_(renewer), telling_(telling) {}

  // Error: as Renewer::plan().
  [[nodiscard]] Result<ExitStatus> run(const conf::Config& config);
  [[nodiscard]] base::WallTime next() const { return next_; }
  // Something was issued, or failed.
  [[nodiscard]] bool has_news() const;

 private:
  void tell_plan();
  void tell_explanation(const RenewItem& item);
  void tell_end(const Counts& counts);
  [[nodiscard]] json::object document(const Counts& counts, const IssueReport& report) const;

  const Context& context_;
  const RenewRequest& request_;
  Renewer& renewer_;
  Telling telling_;
  std::vector<RenewItem> items_;
  base::WallTime next_;
  std::set<std::pair<std::string, std::string>> explained_;  // CERT and URL
};

Result<ExitStatus> Round::run(const conf::Config& config) {
  auto items = renewer_.plan(config, request_);
  if (!items) return base::fail(items.error());
  items_ = *std::move(items);
  tell_plan();
  std::vector<std::string> titles;
  for (const RenewItem& item : items_)
    if (item.status == Status::Due) titles.push_back(item.cert_name);
  IssueReport report(context_, titles);
  renewer_.carry_out(config, request_, items_, report.callbacks());
  next_ = renewer_.next_round(items_, base::SystemClock().wall());
  Counts counts = counts_of(items_);
  tell_end(counts);
  if (context_.options.json) context_.terminal.result(json::serialize(document(counts, report)));
  return exit_status_of(counts);
}

bool Round::has_news() const {
  return std::any_of(items_.begin(), items_.end(), [](const RenewItem& item) {
    return item.status == Status::Renewed || item.status == Status::Deployed || item.status == Status::Failed;
  });
}

// Once: that of a new certificate comes after the plan was told.
void Round::tell_explanation(const RenewItem& item) {
  if (item.explanation_url.empty() || !explained_.insert({item.cert_name, item.explanation_url}).second) return;
  context_.terminal.note(
      fmt::format("{}: the CA explains its suggestion at {}", item.cert_name, harmless(item.explanation_url)));
}

void Round::tell_plan() {
  const Terminal& terminal = context_.terminal;
  std::size_t shown = 0;
  for (const RenewItem& item : items_) {
    std::string reason = harmless(item.reason);
    tell_explanation(item);
    switch (item.status) {
      case Status::Due:
        terminal.note(fmt::format("{}: {}: {}", item.cert_name, due_word(item), reason));
        break;
      case Status::Failed:
        terminal.error(fmt::format("{}: {}", item.cert_name, harmless(item.reason, LineEnds::Keep)));
        break;
      case Status::HeldBack:
        terminal.warning(
            fmt::format("{}: not tried again before {}: {}", item.cert_name, base::format_rfc3339(*item.next), reason));
        break;
      case Status::NotDue:
        if (context_.options.verbose || (telling_ == Telling::All && ++shown <= kShownItems))
          terminal.note(
              fmt::format("{}: not due before {}: {}", item.cert_name, base::format_rfc3339(*item.next), reason));
        break;
      case Status::Renewed:
      case Status::Deployed:
      case Status::Busy:
      case Status::Nothing:
        if (telling_ == Telling::News || (++shown > kShownItems && !context_.options.verbose)) break;
        terminal.note(fmt::format("{}: {}", item.cert_name, reason));
    }
  }
}

void Round::tell_end(const Counts& counts) {
  const Terminal& terminal = context_.terminal;
  if (telling_ == Telling::News && !has_news() && !context_.options.verbose) return;
  if (items_.empty()) {
    terminal.note("no certificates are known; `countersign issue NAME...` obtains one, or a [[certificate]] does");
    return;
  }
  for (const RenewItem& item : items_) tell_explanation(item);
  std::string text = fmt::format("{} renewed, {} not due", counts.renewed, counts.not_due);
  if (counts.deployed > 0) text += fmt::format(", {} deployed", counts.deployed);
  if (counts.failed > 0) text += fmt::format(", {} failed", counts.failed);
  if (counts.held_back > 0) text += fmt::format(", {} held back", counts.held_back);
  terminal.note(terminal.shade(Shade::Bold, text));
}

json::object Round::document(const Counts& counts, const IssueReport& report) const {
  json::array certificates;
  std::size_t issued = 0;
  for (const RenewItem& item : items_) {
    json::object entry{{"name", item.cert_name}, {"status", status_word(item.status)}, {"reason", item.reason}};
    json::array names;
    for (const std::string& name : item.names) names.emplace_back(name);
    entry["names"] = std::move(names);
    entry["next"] = item.next ? json::value(base::format_rfc3339(*item.next)) : json::value();
    entry["explanation"] = item.explanation_url.empty() ? json::value() : json::value(item.explanation_url);
    entry["issuance"] = nullptr;
    if (item.request && item.result)
      entry["issuance"] = report.document(issued++, *item.result);
    else if (item.result && !*item.result)
      entry["error"] =
          json::object{{"code", code_text(item.result->error().code)}, {"message", item.result->error().message}};
    certificates.emplace_back(std::move(entry));
  }
  return {{"status", outcome_word(exit_status_of(counts))},
          {"renewed", counts.renewed},
          {"deployed", counts.deployed},
          {"failed", counts.failed},
          {"not_due", counts.not_due},
          {"held_back", counts.held_back},
          {"certificates", std::move(certificates)}};
}

// A configuration that is wrong now does not take the place of one that was right.
void reload(const Context& context, const fs::path& path, conf::Config& config) {
  conf::Loaded loaded = conf::load_file(path);
  for (const conf::Problem& problem : loaded.problems) context.terminal.error(conf::format_problem(path, problem));
  if (!loaded.problems.empty()) {
    context.terminal.warning("the configuration is not taken over; the one before stays in force");
    return;
  }
  config = std::move(loaded.config);
  context.terminal.note("the configuration was read again");
}

ExitStatus watch(const Context& context, RenewRequest request) {
  const Terminal& terminal = context.terminal;
  conf::Config config = context.config;
  const fs::path path = conf::config_path(context.options.config);
  Renewer renewer;
  Fingerprint configuration({path});
  request.presence = Presence::Stays;
  for (bool first = true;; first = false) {
    Round round(context, request, renewer, first ? Telling::All : Telling::News);
    auto done = round.run(config);
    base::WallTime next = round.next();
    if (!done) {
      // A CERT that nobody knows is a slip of the pen; a disk may come back.
      if (first || done.error().code == ErrorCode::Usage) return fail_with(terminal, context.options, done.error());
      terminal.error(done.error().message);
      next = base::SystemClock().wall() + std::chrono::minutes(5);
    } else if (*done == ExitStatus::Interrupted) {
      return ExitStatus::Interrupted;
    }
    request.trigger = Trigger::Schedule;
    if (first || round.has_news()) terminal.note(fmt::format("next look at {}", base::format_rfc3339(next)));
    // `issue` and `revoke` change what there is to keep current. The configuration may have changed in this round.
    const std::vector<fs::path> watched{path, config.state_dir / "acme/certificates"};
    const Fingerprint before(watched);
    if (Fingerprint({path}) == configuration && pause_until(next, watched, before) == Woken::Interrupted)
      return ExitStatus::Done;
    if (Fingerprint now({path}); now != configuration) {
      configuration = now;
      reload(context, path, config);
    }
  }
}

}  // namespace

ExitStatus run(const Context& context, const RenewCommand& command) {
  install_interrupt_handlers();
  RenewRequest request;
  request.certificates = command.certificates;
  request.trigger = command.force ? Trigger::Force : Trigger::Schedule;
  request.jobs = command.jobs;
  if (command.watch) return watch(context, request);
  Renewer renewer;
  auto done = Round(context, request, renewer, Telling::All).run(context.config);
  return done ? *done : fail_with(context.terminal, context.options, done.error());
}

}  // namespace countersign::acme
