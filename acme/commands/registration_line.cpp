// The command line of `register` and `registrations`.
#include "acme/commands/line_parts.hpp"

namespace countersign::acme {
namespace {

void add_output(CLI::App& command, CredentialsOutput& output) {
  add_word_option(command, "--format", "FORMAT", output.format, credentials_formats(),
                  "for whom the credentials are (default: acme-dns, which `issue --credentials` reads, too)");
  command
      .add_option_function<std::string>(
          "--server-url",
          [&output](const std::string& text) {
            auto url = parse_server_url(text);
            if (!url) throw CLI::ValidationError("--server-url", url.error().message);
            output.server_url = *std::move(url);
          },
          "the API's address as those machines reach it (default: from api.listen, where that tells it)")
      ->type_name("URL");
  command.add_option("--output", output.output, "write them to this new file, for its owner alone, not to stdout")
      ->type_name("FILE");
}

void add_register(CLI::App& app, LineDraft& draft) {
  RegisterCommand& wanted = draft.registering;
  CLI::App* command = add_command(app, "register", "make credentials for a program on another machine");
  command->add_option("--name", wanted.name, "own NAME.ZONE, as in example.com (default: a random name)")
      ->type_name("NAME");
  command->add_option("--for", wanted.domains, "a domain whose challenge it may answer; may be given several times")
      ->type_name("DOMAIN")
      ->allow_extra_args(false);
  command->add_option("--label", wanted.label, "a note about it, for `registrations list`")->type_name("TEXT");
  command
      ->add_option("--allow-from", wanted.allow_from,
                   "an address or range that may use it; may be given several times (default: anywhere)")
      ->type_name("CIDR")
      ->allow_extra_args(false);
  add_output(*command, wanted.output);
  command->callback([&draft] { draft.chosen = draft.registering; });
}

CLI::App* add_verb(CLI::App& registrations, const std::string& name, const std::string& help, std::string& username) {
  CLI::App* command = add_command(registrations, name, help);
  command->add_option("USERNAME", username, "as `registrations list` shows it")->required();
  return command;
}

// An empty word would be the address of the whole list.
template <class Chosen>
void choose(CLI::App& command, LineDraft& draft, Chosen& chosen) {
  command.callback([&draft, &chosen] {
    if (chosen.username.empty()) throw CLI::ValidationError("USERNAME", "is empty");
    draft.chosen = chosen;
  });
}

}  // namespace

void add_registration_commands(CLI::App& app, LineDraft& draft) {
  add_register(app, draft);
  CLI::App* registrations = add_command(app, "registrations", "what has been registered at the daemon");
  registrations->require_subcommand(1);
  add_command(*registrations, "list", "all of them")->callback([&draft] { draft.chosen = RegistrationsListCommand{}; });
  CLI::App* show = add_verb(*registrations, "show", "one of them", draft.registration_show.username);
  choose(*show, draft, draft.registration_show);
  CLI::App* rotate = add_verb(*registrations, "rotate", "give it a new password; the old one ends at once",
                              draft.registration_rotate.username);
  add_output(*rotate, draft.registration_rotate.output);
  choose(*rotate, draft, draft.registration_rotate);
  CLI::App* remove = add_verb(*registrations, "remove", "remove it, and the values that it has published",
                              draft.registration_remove.username);
  choose(*remove, draft, draft.registration_remove);
}

}  // namespace countersign::acme
