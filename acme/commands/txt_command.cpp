#include <boost/json.hpp>

#include "acme/commands/commands.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::Result;

// Says what stands there now, with --json: what a program has to know after a change.
ExitStatus finish(const Context& context, Daemon& daemon, const base::Name& name, const std::string& words) {
  if (context.options.json) {
    auto values = daemon.list(name);
    if (!values) return fail_with(context.terminal, context.options, values.error());
    context.terminal.result(values_document(*values));
  }
  context.terminal.note(words);
  return ExitStatus::Done;
}

ExitStatus bad_usage(const Context& context, const base::Error& error) {
  static_cast<void>(fail_with(context.terminal, context.options, error));
  return ExitStatus::Usage;
}

}  // namespace

std::string values_document(const std::vector<ServedValue>& values) {
  json::array list;
  for (const ServedValue& value : values) {
    json::value expires = nullptr;
    if (!value.expires.empty()) expires = value.expires;
    list.push_back(
        {{"name", value.name.text()}, {"value", value.value}, {"owner", value.owner}, {"expires", std::move(expires)}});
  }
  return json::serialize(list);
}

std::string values_text(const std::vector<ServedValue>& values) {
  std::vector<std::vector<std::string>> rows{{"NAME", "VALUE", "OWNER", "EXPIRES"}};
  for (const ServedValue& value : values)
    rows.push_back({value.name.text(), harmless(value.value), harmless(value.owner),
                    value.expires.empty() ? "never" : harmless(value.expires)});
  return table_text(rows);
}

ExitStatus run(const Context& context, const TxtListCommand& command) {
  std::optional<base::Name> name;
  if (!command.name.empty()) {
    auto parsed = base::Name::parse(command.name);
    if (!parsed) return bad_usage(context, parsed.error());
    name = *std::move(parsed);
  }
  auto values = Daemon(context.config.control_socket).list(name);
  if (!values) return fail_with(context.terminal, context.options, values.error());
  if (context.options.json) {
    context.terminal.result(values_document(*values));
  } else if (values->empty()) {
    context.terminal.note("no values are served");
  } else {
    std::string text = values_text(*values);
    text.pop_back();
    context.terminal.result(text);
  }
  return ExitStatus::Done;
}

ExitStatus run(const Context& context, const TxtSetCommand& command) {
  auto name = base::Name::parse(command.name);
  if (!name) return bad_usage(context, name.error());
  Daemon daemon(context.config.control_socket);
  auto added = daemon.add({{*name, command.value}}, command.lifetime);
  if (!added) return fail_with(context.terminal, context.options, added.error());
  return finish(context, daemon, *name, fmt::format("{} has the value now", name->text()));
}

ExitStatus run(const Context& context, const TxtRemoveCommand& command) {
  auto name = base::Name::parse(command.name);
  if (!name) return bad_usage(context, name.error());
  Daemon daemon(context.config.control_socket);
  auto removed = command.value ? daemon.remove({{*name, *command.value}}) : daemon.remove_all(*name);
  if (!removed) return fail_with(context.terminal, context.options, removed.error());
  return finish(context, daemon, *name,
                command.value ? fmt::format("{} does not have the value any more", name->text())
                              : fmt::format("{} has no values any more", name->text()));
}

}  // namespace countersign::acme
