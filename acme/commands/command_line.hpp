// The command line of `countersign`, read into types: what leaves here is complete and plausible.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "acme/commands/credentials_text.hpp"
#include "acme/protocol/eab.hpp"
#include "acme/protocol/revocation.hpp"
#include "conf/config.hpp"

namespace countersign::acme {

// Exit status of the program; a contract with scripts.
enum class ExitStatus { Done = 0, Failed = 1, Usage = 2, SomeFailed = 3, Interrupted = 130 };

enum class RecordFormat { Text, Bind, Json };

struct GlobalOptions {
  std::string config;  // "" = $COUNTERSIGN_CONFIG or the default
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  bool no_color = false;
};

struct IssueCommand {
  std::vector<std::string> names;
  std::string cert_name;
  conf::CertificateOptions options;
  bool agree_tos = false;
  bool force = false;
  bool dry_run = false;
  std::string batch;  // a file with the names of one certificate a line; "-" = stdin; "" = no
  unsigned jobs = 8;
};
struct RenewCommand {
  std::vector<std::string> certificates;  // empty = all
  bool force = false;
  unsigned jobs = 8;
  bool watch = false;
};
struct RevokeCommand {
  std::string certificate;       // a CERT; "" with `certificate_file`
  std::string certificate_file;  // PEM
  std::optional<RevocationReason> reason;
  bool with_certificate_key = false;
  std::string key_file;  // with `certificate_file` and `with_certificate_key`
  std::string ca;
};
// All of the account at `ca` ("" = as configured).
struct AccountShowCommand {
  std::string ca;
  bool caa = false;
};
struct AccountRegisterCommand {
  std::string ca;
  std::vector<std::string> contact;
  bool agree_tos = false;
  std::string eab_kid, eab_hmac_key_file;
  ExternalAccountBinding::Mac eab_mac = ExternalAccountBinding::Mac::Hs256;
  conf::KeyType key_type = conf::KeyType::P256;
};
struct AccountUpdateCommand {
  std::string ca;
  std::vector<std::string> contact;  // empty = removed
};
struct AccountRolloverCommand {
  std::string ca;
  conf::KeyType key_type = conf::KeyType::P256;
};
struct AccountDeactivateCommand {
  std::string ca;
  bool yes = false;  // it cannot be undone
};
struct AccountImportCommand {
  std::string ca;
  std::string path;  // a key (PEM, JWK), or the account's file or folder of certbot, lego, acme.sh
};
struct AccountOrdersCommand {
  std::string ca;
};
struct DelegateCommand {
  std::vector<std::string> names;
  std::optional<conf::ChallengeType> challenge;  // absent = acme.challenge
  std::string ca;                                // whose account dns-account-01 is about
  std::string credentials;                       // of a remote daemon; "" = acme.credentials
  RecordFormat format = RecordFormat::Text;
};
struct TxtListCommand {
  std::string name;  // "" = all
};
struct TxtSetCommand {
  std::string name;
  std::string value;
  std::optional<std::chrono::milliseconds> lifetime;  // absent = as configured; 0 = for ever
};
struct TxtRemoveCommand {
  std::string name;
  std::optional<std::string> value;  // absent = all of the name's
};
// Where a registration's credentials go, and as what.
struct CredentialsOutput {
  std::optional<CredentialsFormat> format;  // absent = acme-dns'; with --json: all that the daemon answers
  std::string server_url;                   // "" = what the configuration tells
  std::string output;                       // a new file; "" = stdout
};
struct RegisterCommand {
  std::string name;  // "" = a UUID
  std::vector<std::string> domains;
  std::string label;
  std::vector<std::string> allow_from;
  CredentialsOutput output;
};
struct RegistrationsListCommand {};
struct RegistrationsShowCommand {
  std::string username;
};
struct RegistrationsRotateCommand {
  std::string username;
  CredentialsOutput output;
};
struct RegistrationsRemoveCommand {
  std::string username;
};
struct StatusCommand {};
struct CertificatesCommand {};

using Command =
    std::variant<IssueCommand, DelegateCommand, TxtListCommand, TxtSetCommand, TxtRemoveCommand, StatusCommand,
                 CertificatesCommand, RenewCommand, RevokeCommand, AccountShowCommand, AccountRegisterCommand,
                 AccountUpdateCommand, AccountRolloverCommand, AccountDeactivateCommand, AccountImportCommand,
                 AccountOrdersCommand, RegisterCommand, RegistrationsListCommand, RegistrationsShowCommand,
                 RegistrationsRotateCommand, RegistrationsRemoveCommand>;

struct CommandLine {
  GlobalOptions global;
  Command command;
};

// Nothing is to be run: help or version was asked for, or the line is wrong.
struct Stop {
  ExitStatus status = ExitStatus::Done;
  std::string out;  // for stdout
  std::string err;  // for stderr
};

// `arguments` without the program's name.
[[nodiscard]] tl::expected<CommandLine, Stop> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace countersign::acme
