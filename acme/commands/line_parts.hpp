// What the parts of the command line's parser share: one file for each family of commands.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>

#include "acme/commands/command_line.hpp"

namespace countersign::acme {

// Everything that CLI11 fills in; the chosen command is picked out afterwards.
struct LineDraft {
  GlobalOptions global;
  IssueCommand issue;
  RenewCommand renew;
  RevokeCommand revoke;
  AccountShowCommand account_show;
  AccountRegisterCommand account_register;
  AccountUpdateCommand account_update;
  AccountRolloverCommand account_rollover;
  AccountDeactivateCommand account_deactivate;
  AccountImportCommand account_import;
  AccountOrdersCommand account_orders;
  DelegateCommand delegate;
  RegisterCommand registering;
  RegistrationsShowCommand registration_show;
  RegistrationsRotateCommand registration_rotate;
  RegistrationsRemoveCommand registration_remove;
  TxtListCommand list;
  TxtSetCommand set;
  TxtRemoveCommand remove;
  std::string remove_value;
  std::optional<Command> chosen;
};

[[nodiscard]] CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& help);

void add_issue(CLI::App& app, LineDraft& draft);
void add_renew(CLI::App& app, LineDraft& draft);
void add_revoke(CLI::App& app, LineDraft& draft);
void add_account(CLI::App& app, LineDraft& draft);
// `register` and `registrations`.
void add_registration_commands(CLI::App& app, LineDraft& draft);

// The words that stand for values: parser and help come from the one table.
[[nodiscard]] const std::map<std::string, conf::KeyType>& key_type_words();
[[nodiscard]] const std::map<std::string, conf::ChallengeType>& challenge_words();

template <class Map>
[[nodiscard]] std::string words_of(const Map& table) {
  std::string out;
  for (const auto& [word, value] : table) out += (out.empty() ? "" : ", ") + word;
  return out;
}

template <class Value, class Target>
void add_word_option(CLI::App& app, const std::string& flag, const std::string& type, Target& target,
                     const std::map<std::string, Value>& table, const std::string& help) {
  app.add_option_function<std::string>(
         flag,
         [&target, &table, flag](const std::string& word) {
           auto found = table.find(word);
           if (found == table.end())
             throw CLI::ValidationError(flag, fmt::format("\"{}\" is none of {}", word, words_of(table)));
           target = found->second;
         },
         fmt::format("{}: {}", help, words_of(table)))
      ->type_name(type);
}

}  // namespace countersign::acme
