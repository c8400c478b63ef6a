// The commands of `countersign`, one file each.
#pragma once

#include <string>
#include <vector>

#include "acme/check/delegation.hpp"
#include "acme/commands/command_line.hpp"
#include "acme/commands/terminal.hpp"
#include "acme/control/daemon.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

struct Context {
  GlobalOptions options;
  conf::Config config;
  Terminal terminal;
};

[[nodiscard]] ExitStatus run(const Context& context, const IssueCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const DelegateCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const TxtListCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const TxtSetCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const TxtRemoveCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const StatusCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const CertificatesCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RenewCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RevokeCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountShowCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountRegisterCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountUpdateCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountRolloverCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountDeactivateCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountImportCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const AccountOrdersCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RegisterCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RegistrationsListCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RegistrationsShowCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RegistrationsRotateCommand& command);
[[nodiscard]] ExitStatus run(const Context& context, const RegistrationsRemoveCommand& command);

// What `delegate` is asked for: the challenge names, of the type and account that are chosen, each with the name that
// it must lead to where there are credentials. `label`s of dns-account-01 come from the stored account; nobody is
// asked. Error: Invalid (names), Usage, NotFound (no account yet, no registration for a name), and as of the files.
[[nodiscard]] base::Result<std::vector<ChallengePlace>> delegation_places(const Context& context,
                                                                          const DelegateCommand& command);
// The records of `delegate`, one for each challenge name. Error: Invalid (every name that cannot be
// delegated is named), NotFound (the configuration has no zone to delegate to).
[[nodiscard]] base::Result<std::string> delegation_records(const std::vector<ChallengePlace>& places,
                                                           const std::vector<base::Name>& zones, RecordFormat format);
// The daemon's status for people.
[[nodiscard]] base::Result<std::string> status_text(const DaemonStatus& status);
// Columns padded to their widest cell, two spaces between; each row ends in a newline.
[[nodiscard]] std::string table_text(const std::vector<std::vector<std::string>>& rows);
// The values for people, and as the daemon's own document.
[[nodiscard]] std::string values_text(const std::vector<ServedValue>& values);
[[nodiscard]] std::string values_document(const std::vector<ServedValue>& values);

// What the daemon is asked for by `register`: names in A-labels, and the domain that `--name` says among the domains.
// Error: Invalid, naming each that is wrong.
[[nodiscard]] base::Result<RegistrationWishes> registration_wishes(const RegisterCommand& command);
// The registrations for people.
[[nodiscard]] std::string registrations_text(const std::vector<ListedRegistration>& registrations);
[[nodiscard]] std::string registration_text(const ListedRegistration& registration);

// main() of the program, without the program's name.
[[nodiscard]] ExitStatus run_program(const std::vector<std::string>& arguments);

}  // namespace countersign::acme
