// The command line of `account`.
#include "acme/commands/line_parts.hpp"
#include "conf/texts.hpp"

namespace countersign::acme {
namespace {

using Mac = ExternalAccountBinding::Mac;

const std::map<std::string, Mac> kMacs{{"HS256", Mac::Hs256}, {"HS384", Mac::Hs384}, {"HS512", Mac::Hs512}};

CLI::App* add_verb(CLI::App& account, const std::string& name, const std::string& help, std::string& ca) {
  CLI::App* command = add_command(account, name, help);
  command->add_option("--ca", ca, "the CA: a well-known name or a directory URL (default: acme.ca)")->type_name("CA");
  return command;
}

void add_contact(CLI::App& command, std::vector<std::string>& contact, const std::string& help) {
  command
      .add_option_function<std::vector<std::string>>(
          "--contact",
          [&contact](const std::vector<std::string>& addresses) {
            for (const std::string& address : addresses) {
              if (address.empty()) continue;
              std::string url = address.starts_with("mailto:") ? address : "mailto:" + address;
              if (auto good = conf::check_contact(url); !good)
                throw CLI::ValidationError("--contact", good.error().message);
              contact.push_back(std::move(url));
            }
          },
          help)
      ->type_name("MAIL")
      ->allow_extra_args(false);
}

template <class Chosen>
void choose(CLI::App& command, LineDraft& draft, Chosen& chosen) {
  command.callback([&draft, &chosen] { draft.chosen = chosen; });
}

void add_register(CLI::App& account, LineDraft& draft) {
  AccountRegisterCommand& wanted = draft.account_register;
  CLI::App* command = add_verb(account, "register", "make the account, or find it again by its key", wanted.ca);
  add_contact(*command, wanted.contact, "may be given several times (default: acme.contact)");
  command->add_flag("--agree-tos", wanted.agree_tos, "agree to the CA's terms of service");
  command->add_option("--eab-kid", wanted.eab_kid, "external account binding: the key's name that the CA gave")
      ->type_name("KID");
  command->add_option("--eab-hmac-key-file", wanted.eab_hmac_key_file, "and the file with the key, base64url")
      ->type_name("FILE");
  add_word_option(*command, "--eab-mac", "ALG", wanted.eab_mac, kMacs, "and its algorithm");
  add_word_option(*command, "--key-type", "TYPE", wanted.key_type, key_type_words(), "the account's key");
  command->callback([&draft] {
    const AccountRegisterCommand& given = draft.account_register;
    if (given.eab_kid.empty() != given.eab_hmac_key_file.empty())
      throw CLI::ValidationError("--eab-kid", "needs --eab-hmac-key-file, and the other way round");
    draft.chosen = given;
  });
}

void add_deactivate(CLI::App& account, LineDraft& draft) {
  AccountDeactivateCommand& wanted = draft.account_deactivate;
  CLI::App* command = add_verb(account, "deactivate", "give the account up for ever", wanted.ca);
  command->add_flag("--yes", wanted.yes, "do it; it cannot be undone");
  choose(*command, draft, wanted);
}

}  // namespace

void add_account(CLI::App& app, LineDraft& draft) {
  CLI::App* account = add_command(app, "account", "the ACME account");
  account->require_subcommand(1);
  CLI::App* show = add_verb(*account, "show", "what is known of it here and at the CA", draft.account_show.ca);
  show->add_flag("--caa", draft.account_show.caa, "print the CAA records that tie a domain to it (RFC 8657)");
  choose(*show, draft, draft.account_show);
  add_register(*account, draft);
  CLI::App* update = add_verb(*account, "update", "change its contacts", draft.account_update.ca);
  add_contact(*update, draft.account_update.contact, "may be given several times; \"\" removes all");
  update->get_option("--contact")->required();
  choose(*update, draft, draft.account_update);
  CLI::App* rollover = add_verb(*account, "rollover", "give it a new key", draft.account_rollover.ca);
  add_word_option(*rollover, "--key-type", "TYPE", draft.account_rollover.key_type, key_type_words(), "the new key");
  choose(*rollover, draft, draft.account_rollover);
  add_deactivate(*account, draft);
  CLI::App* import =
      add_verb(*account, "import", "use the account of certbot, lego or acme.sh, or of a key", draft.account_import.ca);
  import->add_option("PATH", draft.account_import.path, "its folder or file, or a PEM or JWK private key")->required();
  choose(*import, draft, draft.account_import);
  CLI::App* orders = add_verb(*account, "orders", "its orders, where the CA keeps a list", draft.account_orders.ca);
  choose(*orders, draft, draft.account_orders);
}

}  // namespace countersign::acme
