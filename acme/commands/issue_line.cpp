// The command line of `issue`, `renew` and `revoke`.
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "acme/commands/line_parts.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

constexpr unsigned kMostJobs = 64;

const std::map<std::string, RevocationReason> kReasons{
    {"unspecified", RevocationReason::Unspecified},
    {"keyCompromise", RevocationReason::KeyCompromise},
    {"superseded", RevocationReason::Superseded},
    {"cessationOfOperation", RevocationReason::CessationOfOperation}};

CLI::Option* add_text(CLI::App& command, const std::string& flag, const std::string& type,
                      std::optional<std::string>& target, const std::string& help) {
  return command.add_option_function<std::string>(
                    flag, [&target](const std::string& text) { target = text; }, help)
      ->type_name(type);
}

// Kept in CERT.json for renewals, which run somewhere else.
CLI::Option* add_path(CLI::App& command, const std::string& flag, std::optional<std::string>& target,
                      const std::string& help) {
  return command
      .add_option_function<std::string>(
          flag,
          [&target](const std::string& text) {
            target = text.empty() ? text : std::filesystem::absolute(text).lexically_normal().string();
          },
          help)
      ->type_name("FILE");
}

CLI::Option* add_switch(CLI::App& command, const std::string& flag, std::optional<bool>& target,
                        const std::string& help) {
  return command.add_flag_function(flag, [&target](std::int64_t count) { target = count > 0; }, help);
}

void add_jobs(CLI::App& command, unsigned& jobs, const std::string& help) {
  command.add_option("--jobs", jobs, help)->type_name("N")->check(CLI::Range(1U, kMostJobs));
}

// 0600, 640: the owner reads at least, and nobody executes.
unsigned parse_mode(const std::string& text) {
  unsigned mode = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  bool octal = error == std::errc() && end == text.data() + text.size() && !text.empty() && text.size() <= 4;
  if (!octal || (mode & 0400U) == 0 || (mode & ~0644U) != 0)
    throw CLI::ValidationError(
        "--mode", fmt::format("\"{}\" is no mode for a key; write 0600, 0640 or 0644; only the owner writes", text));
  return mode;
}

std::string parse_time(const std::string& flag, const std::string& text) {
  if (!base::parse_rfc3339(text))
    throw CLI::ValidationError(flag, fmt::format("\"{}\" is no time; write it as in 2027-01-31T00:00:00Z", text));
  return text;
}

void add_ca_options(CLI::App& command, conf::CertificateOptions& options) {
  add_text(command, "--ca", "CA", options.ca, "the CA: a well-known name or a directory URL (default: acme.ca)");
  command
      .add_option_function<std::vector<std::string>>(
          "--fallback-ca", [&options](const std::vector<std::string>& cas) { options.fallback_ca = cas; },
          "tried when the CA is down or refuses; several in turn")
      ->type_name("CA")
      ->allow_extra_args(false);
  add_text(command, "--profile", "NAME", options.profile, "the CA's certificate profile");
  add_text(command, "--preferred-chain", "CN", options.preferred_chain,
           "the chain with an issuer of that common name, if the CA offers one");
  add_word_option(command, "--challenge", "TYPE", options.challenge, challenge_words(),
                  "how to prove the names; the last two are experimental");
  add_switch(command, "--drop-failed", options.drop_failed,
             "go on without the names that the CA refuses or cannot validate");
  for (auto [flag, target] : {std::pair{"--not-before", &options.not_before}, {"--not-after", &options.not_after}}) {
    command
        .add_option_function<std::string>(
            flag, [flag, target](const std::string& text) { *target = parse_time(flag, text); },
            "ask for this limit of the validity (RFC 3339); few CAs grant it")
        ->type_name("TIME");
  }
}

void add_key_options(CLI::App& command, conf::CertificateOptions& options) {
  add_word_option(command, "--key-type", "TYPE", options.key_type, key_type_words(), "the certificate's key");
  add_switch(command, "--reuse-key", options.reuse_key, "keep the key of the certificate that is there");
  add_path(command, "--csr", options.csr, "a signing request (PEM or DER) whose key is somewhere else");
}

void add_file_options(CLI::App& command, conf::CertificateOptions& options) {
  add_text(command, "--group", "GROUP", options.group, "may read the files, as far as --mode says");
  command
      .add_option_function<std::string>(
          "--mode", [&options](const std::string& text) { options.mode = parse_mode(text); },
          "of privkey.pem and certificate.p12 (default: 0600, with --group 0640)")
      ->type_name("MODE");
  command.add_flag_function(
      "--pkcs12",
      [&options](std::int64_t count) { options.pkcs12 = count > 0 ? conf::Pkcs12::Modern : conf::Pkcs12::None; },
      "also write certificate.p12, key and chain in one file");
  command.add_flag_function(
      "--pkcs12-legacy",
      [&options](std::int64_t count) { options.pkcs12 = count > 0 ? conf::Pkcs12::Legacy : conf::Pkcs12::None; },
      "the same for Windows before 2019 (3DES)");
  add_path(command, "--pkcs12-password-file", options.pkcs12_password_file,
           "its first line is the password (default: an empty one)");
  command
      .add_option_function<std::vector<std::string>>(
          "--deploy-hook", [&options](const std::vector<std::string>& hooks) { options.deploy_hooks = hooks; },
          "run by /bin/sh -c after each issuance; may be given several times")
      ->type_name("CMD")
      ->allow_extra_args(false);
}

// They are kept as JSON, which has no other octets.
void check_text(const std::optional<std::string>& text) {
  if (text && base::valid_utf8(*text) != *text)
    throw CLI::ValidationError("issue", fmt::format("\"{}\" is no UTF-8 text", base::printable(*text)));
}

void check_issue(const IssueCommand& issue) {
  const conf::CertificateOptions& options = issue.options;
  for (const auto* text : {&options.ca, &options.profile, &options.preferred_chain, &options.csr, &options.group,
                           &options.pkcs12_password_file, &options.server, &options.credentials})
    check_text(*text);
  for (const auto* list : {&options.fallback_ca, &options.deploy_hooks})
    for (const std::string& text : list->value_or(std::vector<std::string>())) check_text(text);
  auto time = [](const std::optional<std::string>& text) {
    return text ? base::parse_rfc3339(*text) : base::parse_rfc3339("");
  };
  auto from = time(options.not_before), until = time(options.not_after);
  if (until && *until <= (from ? *from : base::SystemClock().wall()))
    throw CLI::ValidationError("--not-after", from ? "it is not after --not-before" : "that time is past");
  if (!issue.batch.empty() && (!issue.names.empty() || !issue.cert_name.empty() || options.csr))
    throw CLI::ValidationError("--batch", "names, --cert-name and --csr are of one certificate, the file is of many");
  if (issue.batch.empty() && issue.names.empty() && !options.csr) throw CLI::RequiredError("NAME");
  if (options.csr && !options.csr->empty() &&
      (options.key_type || options.reuse_key.value_or(false) ||
       options.pkcs12.value_or(conf::Pkcs12::None) != conf::Pkcs12::None))
    throw CLI::ValidationError("--csr",
                               "the key of a signing request is not here: no --key-type, --reuse-key, --pkcs12");
}

}  // namespace

void add_issue(CLI::App& app, LineDraft& draft) {
  IssueCommand& issue = draft.issue;
  CLI::App* command = add_command(app, "issue", "obtain one certificate for the names, or many with --batch");
  command->add_option("NAME", issue.names, "domain names, *.example.com for a wildcard");
  command->add_option("--cert-name", issue.cert_name, "keep it under this name instead of the first NAME")
      ->type_name("CERT");
  add_ca_options(*command, issue.options);
  add_key_options(*command, issue.options);
  add_file_options(*command, issue.options);
  add_text(*command, "--server", "URL", issue.options.server,
           "publish through this remote countersignd instead of the one on this machine");
  add_path(*command, "--credentials", issue.options.credentials, "the registration for --server");
  command->add_option("--batch", issue.batch, "issue many: the names of one certificate on each line; - = stdin")
      ->type_name("FILE");
  add_jobs(*command, issue.jobs, "with --batch: certificates at a time, up to 64 (default: 8)");
  command->add_flag("--agree-tos", issue.agree_tos, "agree to the CA's terms of service");
  command->add_flag("--force", issue.force, "even if a valid certificate is there, or one with other names");
  command->add_flag("--dry-run", issue.dry_run, "check, publish and look for a test value, and order nothing");
  command->footer(
      "The options of a certificate are kept with it, for its renewals and for the next `issue`; --FLAG=false and\n"
      "--OPTION \"\" take one back. With -v, who asked and what they got is shown after a success, too.\n" +
      command->get_footer());
  command->callback([&draft, command] {
    check_issue(draft.issue);
    if (draft.issue.batch.empty() && command->count("--jobs") > 0)
      throw CLI::ValidationError("--jobs", "is for --batch");
    draft.chosen = draft.issue;
  });
}

void add_renew(CLI::App& app, LineDraft& draft) {
  CLI::App* command = add_command(app, "renew", "renew the certificates that are due");
  command->add_option("CERT", draft.renew.certificates, "only these (default: all)");
  command->add_flag("--force", draft.renew.force, "also those that are not due");
  add_jobs(*command, draft.renew.jobs, "certificates at a time, up to 64 (default: 8)");
  command->add_flag("--watch", draft.renew.watch, "stay, and renew each when it is due");
  command->footer(
      "--watch sees a change of the configuration within half a minute; SIGTERM ends it, with 0 unless it was "
      "issuing.\n" +
      command->get_footer());
  command->callback([&draft] { draft.chosen = draft.renew; });
}

void add_revoke(CLI::App& app, LineDraft& draft) {
  RevokeCommand& revoke = draft.revoke;
  CLI::App* command = add_command(app, "revoke", "revoke a certificate");
  command->add_option("CERT", revoke.certificate, "one of `countersign certificates`");
  command->add_option("--cert-file", revoke.certificate_file, "or a PEM file")->type_name("FILE");
  add_word_option(*command, "--reason", "REASON", revoke.reason, kReasons, "why (default: none is given)");
  command->add_flag("--with-certificate-key", revoke.with_certificate_key,
                    "sign with the certificate's key instead of the account's; CAs note the key as compromised");
  command->add_option("--key-file", revoke.key_file, "the key, where it is not in the store")->type_name("FILE");
  command->add_option("--ca", revoke.ca, "the CA that issued it (default: as stored, else acme.ca)")->type_name("CA");
  command->callback([&draft] {
    const RevokeCommand& given = draft.revoke;
    if (given.certificate.empty() == given.certificate_file.empty())
      throw CLI::ValidationError("revoke", "give either a CERT or --cert-file");
    if (!given.key_file.empty() && !given.with_certificate_key)
      throw CLI::ValidationError("--key-file", "is for --with-certificate-key");
    draft.chosen = given;
  });
}

}  // namespace countersign::acme
