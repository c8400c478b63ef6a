#include "acme/commands/commands.hpp"

namespace countersign::acme {
namespace {

std::string joined(const std::vector<std::string>& texts, const std::string& none) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : " ") + harmless(text);
  return out.empty() ? none : out;
}

std::string or_never(const std::string& time) {
  return time.empty() ? "never" : harmless(time);
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : harmless(text);
}

std::string list_document(const std::vector<ListedRegistration>& registrations) {
  std::string out = "[";
  for (const ListedRegistration& registration : registrations)
    out += (out.size() == 1 ? "" : ",") + registration.document;
  return out + "]";
}

}  // namespace

std::string registrations_text(const std::vector<ListedRegistration>& registrations) {
  std::vector<std::vector<std::string>> rows{{"USERNAME", "NAME", "FOR", "CREATED", "USED", "LABEL"}};
  for (const ListedRegistration& registration : registrations)
    rows.push_back({harmless(registration.username), registration.fulldomain.text(), joined(registration.domains, "-"),
                    or_dash(registration.created), or_never(registration.used), or_dash(registration.label)});
  return table_text(rows);
}

std::string registration_text(const ListedRegistration& registration) {
  return table_text({{"username", harmless(registration.username)},
                     {"name", registration.fulldomain.text()},
                     {"subdomain", or_dash(registration.subdomain)},
                     {"for", joined(registration.domains, "-")},
                     {"allowed from", joined(registration.allow_from, "anywhere")},
                     {"label", or_dash(registration.label)},
                     {"created", or_dash(registration.created)},
                     {"used", or_never(registration.used)}});
}

ExitStatus run(const Context& context, const RegistrationsListCommand&) {
  auto registrations = Daemon(context.config.control_socket).registrations();
  if (!registrations) return fail_with(context.terminal, context.options, registrations.error());
  if (context.options.json) {
    context.terminal.result(list_document(*registrations));
  } else if (registrations->empty()) {
    context.terminal.note("there are no registrations; `countersign register` makes one");
  } else {
    std::string text = registrations_text(*registrations);
    text.pop_back();
    context.terminal.result(text);
  }
  return ExitStatus::Done;
}

ExitStatus run(const Context& context, const RegistrationsShowCommand& command) {
  auto registration = Daemon(context.config.control_socket).registration(command.username);
  if (!registration) return fail_with(context.terminal, context.options, registration.error());
  std::string text = context.options.json ? registration->document : registration_text(*registration);
  if (text.ends_with('\n')) text.pop_back();
  context.terminal.result(text);
  return ExitStatus::Done;
}

ExitStatus run(const Context& context, const RegistrationsRemoveCommand& command) {
  Daemon daemon(context.config.control_socket);
  // What went is said: a UUID alone tells nobody whether it was the right one.
  auto registration = daemon.registration(command.username);
  // The daemon may know of more than it shows, when its store was slow: it is asked all the same.
  if (!registration && registration.error().code != base::ErrorCode::NotFound)
    return fail_with(context.terminal, context.options, registration.error());
  auto removed = daemon.remove_registration(command.username);
  if (!removed) return fail_with(context.terminal, context.options, removed.error());
  std::string what = harmless(command.username);
  if (registration) what = fmt::format("{} ({})", registration->fulldomain.text(), what);
  if (context.options.json) context.terminal.result(registration ? registration->document : "null");
  context.terminal.note(fmt::format("removed {}, and its values", what));
  return ExitStatus::Done;
}

}  // namespace countersign::acme
