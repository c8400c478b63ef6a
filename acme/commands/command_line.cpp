#include "acme/commands/command_line.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "acme/commands/line_parts.hpp"
#include "base/duration.hpp"
#include "conf/texts.hpp"

namespace countersign::acme {
namespace {

const std::map<std::string, RecordFormat> kFormats{
    {"text", RecordFormat::Text}, {"bind", RecordFormat::Bind}, {"json", RecordFormat::Json}};

constexpr const char* kFooter =
    "Exit status: 0 done or nothing to do, 1 failed, 2 bad usage or configuration, 3 some of several certificates\n"
    "failed, 130 interrupted.\n"
    "`countersign COMMAND --help` tells about one command.";
constexpr const char* kCommandFooter =
    "The options of every command (--config, --json, -q, -v, --no-color): countersign --help";

void add_delegate(CLI::App& app, LineDraft& draft) {
  CLI::App* command =
      add_command(app, "delegate", "print the DNS records that delegate the names' challenges to the daemon");
  command->add_option("NAME", draft.delegate.names, "domain names")->required();
  add_word_option(*command, "--challenge", "TYPE", draft.delegate.challenge, challenge_words(),
                  "for this type of challenge (default: acme.challenge)");
  command->add_option("--ca", draft.delegate.ca, "with dns-account-01: the CA whose account it is for")
      ->type_name("CA");
  command
      ->add_option("--credentials", draft.delegate.credentials,
                   "to the name of this registration at a remote daemon (default: acme.credentials)")
      ->type_name("FILE");
  add_word_option(*command, "--format", "FORMAT", draft.delegate.format, kFormats, "how to print them");
  command->callback([&draft] { draft.chosen = draft.delegate; });
}

void add_txt(CLI::App& app, LineDraft& draft) {
  CLI::App* txt = add_command(app, "txt", "the values served now, by hand");
  txt->require_subcommand(1);
  CLI::App* list = add_command(*txt, "list", "list the values");
  list->add_option("NAME", draft.list.name, "only those of this name");
  list->callback([&draft] { draft.chosen = draft.list; });

  CLI::App* set = add_command(*txt, "set", "add a value; the same value again renews its lifetime");
  set->add_option("NAME", draft.set.name, "absolute name inside a zone of the daemon")->required();
  set->add_option("VALUE", draft.set.value, "the TXT value; put -- before one that begins with -")->required();
  set->add_option_function<std::string>(
         "--lifetime",
         [&draft](const std::string& text) {
           auto lifetime = base::parse_duration(text);
           if (!lifetime) throw CLI::ValidationError("--lifetime", lifetime.error().message);
           draft.set.lifetime = *lifetime;
         },
         "remove it after this time, as in 10m; 0 = never (default: challenge.lifetime)")
      ->type_name("DURATION");
  set->callback([&draft] { draft.chosen = draft.set; });

  CLI::App* remove = add_command(*txt, "remove", "remove a value, or all of a name");
  remove->add_option("NAME", draft.remove.name, "absolute name inside a zone of the daemon")->required();
  CLI::Option* value = remove->add_option("VALUE", draft.remove_value, "only this value");
  remove->callback([&draft, value] {
    if (value->count() > 0) draft.remove.value = draft.remove_value;
    draft.chosen = draft.remove;
  });
}

void add_plain(CLI::App& app, LineDraft& draft) {
  add_command(app, "status", "the daemon: zones, addresses, values, query and error counts, uptime")
      ->callback([&draft] { draft.chosen = StatusCommand{}; });
  add_command(app, "certificates", "the certificates there are: names, CA, expiry, files")->callback([&draft] {
    draft.chosen = CertificatesCommand{};
  });
}

void add_global(CLI::App& app, GlobalOptions& global) {
  app.add_option("--config", global.config,
                 "configuration file (default: $COUNTERSIGN_CONFIG, else /etc/countersign/countersign.toml)")
      ->type_name("FILE");
  app.add_flag("--json", global.json, "one JSON document on stdout; everything for people goes to stderr");
  CLI::Option* quiet = app.add_flag("-q,--quiet", global.quiet, "errors only");
  app.add_flag("-v,--verbose", global.verbose, "say all of it, and log what is done")->excludes(quiet);
  app.add_flag("--no-color", global.no_color, "no colours ($NO_COLOR does the same)");
  app.set_version_flag("--version", std::string("countersign ") + COUNTERSIGN_VERSION);
}

// What could have been meant by each word that is not known.
std::vector<std::string> known_words(const CLI::App& app, bool flags) {
  std::vector<std::string> words;
  for (const CLI::App* level = &app; level != nullptr; level = level->get_parent()) {
    if (flags) {
      for (const CLI::Option* option : level->get_options()) {
        for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
        for (const std::string& name : option->get_snames()) words.push_back("-" + name);
      }
    } else if (level == &app) {
      for (const CLI::App* command : level->get_subcommands({})) words.push_back(command->get_name());
    }
  }
  return words;
}

// The innermost command that was given.
const CLI::App& innermost(const CLI::App& app) {
  auto given = app.get_subcommands();
  return given.empty() ? app : innermost(*given.front());
}

std::string unknown_words(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App& place = innermost(app);
  std::string out;
  bool command_named = false;
  for (const std::string& word : words) {
    bool flag = word.starts_with('-');
    // What follows an unknown command was meant for it.
    if (!flag && std::exchange(command_named, true)) continue;
    auto known = known_words(place, flag);
    std::string kind = flag ? "option" : known.empty() ? "argument" : "command";
    out += fmt::format("countersign: unknown {} \"{}\"", kind, word);
    std::vector<std::string_view> candidates(known.begin(), known.end());
    if (!candidates.empty())
      out += fmt::format("; did you mean {}?", conf::nearest(word.substr(0, word.find('=')), candidates));
    out += "\n";
  }
  return out;
}

Stop stop_for(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  const CLI::App& place = innermost(app);
  if (dynamic_cast<const CLI::CallForHelp*>(&error) != nullptr) return {ExitStatus::Done, app.help(), ""};
  if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr)
    return {ExitStatus::Done, std::string(error.what()) + "\n", ""};
  std::string command = "countersign";
  for (const CLI::App* level = &place; level->get_parent() != nullptr; level = level->get_parent())
    command = "countersign " + level->get_name() + command.substr(std::string_view("countersign").size());
  std::string hint = fmt::format("see {} --help\n", command);
  // Words that nobody took say more than that a command is missing.
  auto extras = app.remaining(true);
  if (!extras.empty()) return {ExitStatus::Usage, "", unknown_words(app, extras) + hint};
  if (arguments.empty()) return {ExitStatus::Usage, "", app.help()};
  return {ExitStatus::Usage, "", fmt::format("countersign: {}\n{}", error.what(), hint)};
}

}  // namespace

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* command = app.add_subcommand(name, help);
  command->footer(kCommandFooter);
  return command;
}

const std::map<std::string, conf::KeyType>& key_type_words() {
  static const std::map<std::string, conf::KeyType> kWords{{"p256", conf::KeyType::P256},
                                                           {"p384", conf::KeyType::P384},
                                                           {"rsa2048", conf::KeyType::Rsa2048},
                                                           {"rsa3072", conf::KeyType::Rsa3072},
                                                           {"rsa4096", conf::KeyType::Rsa4096}};
  return kWords;
}

const std::map<std::string, conf::ChallengeType>& challenge_words() {
  static const std::map<std::string, conf::ChallengeType> kWords{{"dns-01", conf::ChallengeType::Dns01},
                                                                 {"dns-account-01", conf::ChallengeType::DnsAccount01},
                                                                 {"dns-persist-01", conf::ChallengeType::DnsPersist01}};
  return kWords;
}

tl::expected<CommandLine, Stop> parse_command_line(const std::vector<std::string>& arguments) {
  CLI::App app("Obtains certificates by ACME dns-01 through challenges delegated to countersignd.", "countersign");
  app.fallthrough();
  app.footer(kFooter);
  app.require_subcommand(1);
  LineDraft draft;
  add_global(app, draft.global);
  add_issue(app, draft);
  add_renew(app, draft);
  add_revoke(app, draft);
  add_account(app, draft);
  add_delegate(app, draft);
  add_registration_commands(app, draft);
  add_txt(app, draft);
  add_plain(app, draft);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return tl::unexpected(stop_for(app, error, arguments));
  }
  if (!draft.chosen) return tl::unexpected(Stop{ExitStatus::Usage, "", app.help()});
  return CommandLine{std::move(draft.global), *std::move(draft.chosen)};
}

}  // namespace countersign::acme
