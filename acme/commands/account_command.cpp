// `account register|update|rollover|deactivate|import`: what changes an account.
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <iostream>

#include "acme/commands/ca.hpp"
#include "acme/state/account_import.hpp"
#include "acme/state/external_account.hpp"

namespace countersign::acme {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

ExitStatus failed(const Context& context, const base::Error& error) {
  return fail_with(context.terminal, context.options, error);
}

// Says what was done, and what the account is now.
ExitStatus tell(const Context& context, const AccountStore& store, const std::string& done, const std::string& words) {
  auto view = view_account(store);
  if (!view) return failed(context, view.error());
  view->from_ca = true;
  context.terminal.note(context.terminal.shade(Shade::Bold, words));
  context.terminal.result(context.options.json ? account_json(*view, done) : account_text(*view));
  return ExitStatus::Done;
}

AccountStore::Consent consent_of(const Context& context, const AccountRegisterCommand& command,
                                 const std::string& directory_url) {
  const conf::Acme& acme = context.config.acme;
  AccountStore::Consent consent;
  consent.contact = command.contact.empty() ? acme.contact : command.contact;
  consent.terms = command.agree_tos || acme.agree_tos ? Terms::Agreed : Terms::NotAgreed;
  consent.key_type = command.key_type;
  auto warn = [&context](const std::string& text) { context.terminal.warning(text); };
  bool given = !command.eab_kid.empty();
  conf::ExternalAccount eab = given ? conf::ExternalAccount{command.eab_kid, command.eab_hmac_key_file} : acme.eab;
  // The configured one is acme.ca's.
  auto configured = chosen_directory(context, "");
  if (given || (configured && *configured == directory_url)) consent.binding = binding_of(eab, warn, command.eab_mac);
  consent.bind = given ? AccountStore::Bind::Always : AccountStore::Bind::WhereRequired;
  return consent;
}

// It cannot be undone: a person types the word, a program says --yes.
Result<void> confirm(const std::string& account) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1)
    return fail(ErrorCode::Usage,
                "deactivating {} cannot be undone: no certificate of it can be revoked or renewed by it any more; say "
                "--yes",
                account);
  std::fprintf(stderr,
               "Deactivating %s cannot be undone: no certificate can be renewed or revoked by it any more.\n"
               "Type the word deactivate to go on: ",
               harmless(account).c_str());
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != "deactivate") return fail(ErrorCode::Interrupted, "not confirmed; nothing was done");
  return {};
}

std::string unusable(const AccountStore::Used& used, const std::string& why) {
  return fmt::format(
      "the stored account {}: {}; where it is lost, `countersign account deactivate --yes` puts it aside, so that a "
      "new "
      "one can be made",
      used.url, why);
}

std::string unknown_key(const ForeignAccount& foreign, const base::Error& error) {
  if (foreign.url.empty()) return error.message;
  return fmt::format("{}; its files say that it is {}", error.message, foreign.url);
}

}  // namespace

ExitStatus run(const Context& context, const AccountRegisterCommand& command) {
  auto ca = open_ca(context, command.ca);
  if (!ca) return failed(context, ca.error());
  auto consent = consent_of(context, command, ca->directory_url);
  auto used = ca->store.obtain(ca->session, consent);
  if (!used) return failed(context, used.error());
  bool made = used->how == AccountStore::How::New;
  // Also says whether a stored account is still one.
  auto account = fetch_account(ca->session);
  if (!account && account.error().code == ErrorCode::NotFound) {
    if (auto again = ca->store.make_again(ca->session, consent); !again) return failed(context, again.error());
    made = true;
    account = fetch_account(ca->session);
  }
  if (!account) return failed(context, {account.error().code, unusable(*used, account.error().message)});
  if (auto noted = ca->store.note(ca->session, *account); !noted) return failed(context, noted.error());
  if (account->status != "valid")
    return failed(context, {ErrorCode::Refused, unusable(*used, "it is " + account->status)});
  return tell(context, ca->store, made ? "registered" : "existing",
              made ? "the account is made" : "the account is there already; `account update` changes its contacts");
}

ExitStatus run(const Context& context, const AccountUpdateCommand& command) {
  auto ca = open_account(context, command.ca);
  if (!ca) return failed(context, ca.error());
  auto account = update_contact(ca->session, command.contact);
  if (!account) return failed(context, account.error());
  if (auto noted = ca->store.note(ca->session, *account); !noted) return failed(context, noted.error());
  // RFC 8555 §7.3.2 lets a CA ignore it; some keep no contacts any more.
  if (account->contact != command.contact)
    context.terminal.warning(account->contact.empty() ? "the CA keeps no contacts"
                                                      : "the CA keeps other contacts than it was given");
  return tell(context, ca->store, "updated", "the account is updated");
}

ExitStatus run(const Context& context, const AccountRolloverCommand& command) {
  auto ca = open_ca(context, command.ca);
  if (!ca) return failed(context, ca.error());
  if (auto done = ca->store.roll_over(ca->session, command.key_type); !done) return failed(context, done.error());
  return tell(context, ca->store, "rolled_over", "the account has a new key; the CA has confirmed it");
}

ExitStatus run(const Context& context, const AccountDeactivateCommand& command) {
  auto url = chosen_directory(context, command.ca);
  if (!url) return failed(context, url.error());
  auto store = open_accounts(context, *url);
  if (!store) return failed(context, store.error());
  auto stored = store->stored();
  std::string account = stored ? stored->url : "the account at " + *url;
  if (auto confirmed = command.yes ? Result<void>() : confirm(account); !confirmed)
    return failed(context, confirmed.error());
  auto session = open_session(context, *url);
  if (!session) return failed(context, session.error());
  if (auto done = store->deactivate(*session); !done) return failed(context, done.error());
  context.terminal.note(context.terminal.shade(Shade::Bold, "the account is deactivated") +
                        fmt::format(": {}; its key is kept in {}", harmless(account), store->folder().string()));
  if (context.options.json)
    context.terminal.result(boost::json::serialize(
        boost::json::object{{"done", "deactivated"}, {"url", stored ? boost::json::value(stored->url) : nullptr}}));
  return ExitStatus::Done;
}

ExitStatus run(const Context& context, const AccountImportCommand& command) {
  auto foreign = read_foreign_account(command.path);
  if (!foreign) return failed(context, foreign.error());
  if (std::string text = foreign->warning(); !text.empty()) context.terminal.warning(text);
  auto ca = open_ca(context, command.ca);
  if (!ca) return failed(context, ca.error());
  auto imported = ca->store.import(ca->session, std::move(foreign->key));
  bool there = !imported && imported.error().code == ErrorCode::Exists;
  if (!imported && imported.error().code == ErrorCode::NotFound)
    return failed(context, {ErrorCode::NotFound, unknown_key(*foreign, imported.error())});
  if (!imported && !there) return failed(context, imported.error());
  std::string from = foreign->program.empty() ? "" : " of " + foreign->program;
  return tell(context, ca->store, there ? "existing" : "imported",
              there ? fmt::format("the account{} is the one in use already", from)
                    : fmt::format("the account{} is taken over; both programs may use it", from));
}

}  // namespace countersign::acme
