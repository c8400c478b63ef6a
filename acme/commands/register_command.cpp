#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "acme/commands/commands.hpp"
#include "base/address_range.hpp"
#include "base/files.hpp"
#include "base/text.hpp"

namespace countersign::acme {
namespace {

namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

// `--name`: a domain, or one label. In A-labels.
Result<std::string> own_name(const std::string& text) {
  // A lone label gets no certificate, but is as good a name as any.
  constexpr std::string_view kPlaceholder = ".example";
  bool lone = text.find('.') == std::string::npos;
  auto identifier = DnsIdentifier::parse(lone ? text + std::string(kPlaceholder) : text);
  if (!identifier) return fail(ErrorCode::Invalid, "--name: {}", identifier.error().message);
  if (identifier->is_wildcard())
    return fail(ErrorCode::Invalid, "--name: \"{}\" is a wildcard; give {}, whose challenge name is the same", text,
                identifier->base_text());
  std::string name = identifier->text();
  if (lone) name.resize(name.size() - kPlaceholder.size());
  return name;
}

Result<std::string> served_domain(const std::string& text) {
  auto identifier = DnsIdentifier::parse(text);
  if (!identifier) return fail(ErrorCode::Invalid, "--for: {}", identifier.error().message);
  if (identifier->is_wildcard())
    return fail(ErrorCode::Invalid, "--for: \"{}\" is a wildcard; give {}, whose challenge name is the same", text,
                identifier->base_text());
  return identifier->text();
}

// `--label`, by the daemon's rules (dnsd/api/API.md).
Result<std::string> own_label(const std::string& text) {
  constexpr std::size_t kMaxLabel = 200;
  if (text.size() > kMaxLabel)
    return fail(ErrorCode::Invalid, "--label: it is {} octets long; {} at most are kept", text.size(), kMaxLabel);
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t length = base::utf8_length(rest);
    if (length == 0) return fail(ErrorCode::Invalid, "--label: \"{}\" is not UTF-8", base::printable(text));
    if (base::is_control(rest.substr(0, length)))
      return fail(ErrorCode::Invalid, "--label: \"{}\" has a control character in it; give one line of text",
                  base::printable(text));
    rest.remove_prefix(length);
  }
  return text;
}

Result<std::string> allowed_range(const std::string& text) {
  auto range = base::AddressRange::parse_or_address(text);
  if (!range) return fail(ErrorCode::Invalid, "--allow-from: {}", base::printable(range.error().message));
  return range->text();
}

std::string reason_text(int error) {
  return std::generic_category().message(error);
}

// Asked before anything is made or ended, as what is printed cannot be had again. A disk that is full shows later.
Result<void> check_stdout() {
  int error = ::write(STDOUT_FILENO, "", 0) < 0 ? errno : 0;
  pollfd reader{STDOUT_FILENO, POLLOUT, 0};
  if (error == 0 && ::poll(&reader, 1, 0) == 1 && (reader.revents & (POLLERR | POLLNVAL)) != 0) error = EPIPE;
  if (error == 0) return {};
  return fail(ErrorCode::Io, "stdout cannot be written ({}), where the credentials would go; give --output FILE",
              reason_text(error));
}

// The new file, made before there is anything to put into it: what cannot be written must not be lost.
class Output {
 public:
  [[nodiscard]] static Result<Output> open(const std::string& path) {
    Output output;
    if (path.empty()) {
      if (auto checked = check_stdout(); !checked) return fail(checked.error());
      return output;
    }
    if (auto made = base::create_file(path, "", 0600); !made) {
      if (made.error().code != ErrorCode::Exists) return fail(made.error());
      return fail(ErrorCode::Exists, "\"{}\" exists already; give --output a new file, or move the old one away", path);
    }
    output.path_ = path;
    return output;
  }
  Output(Output&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  Output& operator=(Output&&) = delete;
  ~Output() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  [[nodiscard]] bool is_file() const { return !path_.empty(); }
  [[nodiscard]] Result<void> keep(const std::string& text) {
    auto written = base::replace_file(path_, text + "\n", 0600);
    if (written) path_.clear();
    return written;
  }

 private:
  Output() = default;
  std::string path_;
};

// For --json beside a file: all but what the file is for.
std::string document_without_password(const IssuedRegistration& issued, const std::string& file) {
  boost::system::error_code error;
  json::value document = json::parse(issued.listed.document, error);
  json::object* object = error ? nullptr : document.if_object();
  if (object == nullptr) return issued.listed.document;
  object->erase("password");
  (*object)["file"] = base::valid_utf8(file);
  return json::serialize(*object);
}

void tell_records(const Context& context, const ListedRegistration& registration) {
  const Terminal& terminal = context.terminal;
  std::vector<std::string> domains = domains_of(registration);
  if (domains.empty()) {
    terminal.note(fmt::format("for each domain, add to the DNS, once: _acme-challenge.DOMAIN. IN CNAME {}.",
                              registration.fulldomain.text()));
    return;
  }
  terminal.note("add to the DNS, once:");
  for (const std::string& domain : domains)
    terminal.note(fmt::format("_acme-challenge.{}. IN CNAME {}.", harmless(domain), registration.fulldomain.text()));
}

std::string server_url(const Context& context, const CredentialsOutput& wanted) {
  return wanted.server_url.empty() ? server_url_of(context.config.api) : wanted.server_url;
}

// With --json alone: the daemon's own document, which has all of it.
Result<std::string> text_of(const Context& context, const IssuedRegistration& issued, const CredentialsOutput& wanted) {
  if (context.options.json && !wanted.format && wanted.output.empty()) return issued.listed.document;
  return credentials_text(issued, wanted.format.value_or(CredentialsFormat::AcmeDns), server_url(context, wanted));
}

Result<void> check(const Context& context, const CredentialsOutput& wanted, bool has_domain) {
  if (!wanted.format) return {};
  if (context.options.json && wanted.output.empty() && !is_json(*wanted.format))
    return fail(ErrorCode::Usage, "this format is not JSON; leave --json out, or write it to a file with --output");
  return check_format(*wanted.format, has_domain, server_url(context, wanted));
}

// False when they went to stderr instead.
bool print(const Context& context, const std::string& credentials) {
  if (context.terminal.result(credentials)) return true;
  context.terminal.error(fmt::format(
      "stdout cannot be written ({}); the credentials, which nobody can read again, are:", reason_text(errno)));
  context.terminal.rescue(credentials);
  return false;
}

// Hands the credentials over. From here on they must reach somebody: nobody can read them again.
ExitStatus deliver(const Context& context, const IssuedRegistration& issued, const CredentialsOutput& wanted,
                   Output& output) {
  auto text = text_of(context, issued, wanted);
  // The domains that the daemon tells may be others than were asked for.
  std::string credentials = text ? *text : issued.listed.document;
  ExitStatus status = ExitStatus::Done;
  if (!text) {
    context.terminal.error(text.error().message + "; the credentials are printed as the daemon gave them");
    status = ExitStatus::Failed;
  }
  if (!output.is_file()) {
    if (!print(context, credentials)) return ExitStatus::Failed;
  } else if (auto kept = output.keep(credentials); !kept) {
    context.terminal.error(kept.error().message + "; the credentials go to stdout instead");
    static_cast<void>(print(context, credentials));
    return ExitStatus::Failed;
  } else {
    if (context.options.json) context.terminal.result(document_without_password(issued, wanted.output));
    context.terminal.note(fmt::format("the credentials are in {}", harmless(wanted.output)));
  }
  if (wanted.format == CredentialsFormat::Lego || wanted.format == CredentialsFormat::CertManager)
    if (server_url(context, wanted).empty())
      context.terminal.warning("the API's address is not in the credentials; --server-url gives it");
  return status;
}

}  // namespace

Result<RegistrationWishes> registration_wishes(const RegisterCommand& command) {
  RegistrationWishes wishes;
  std::string problems;
  auto take = [&](Result<std::string> text, auto use) {
    if (text)
      use(*std::move(text));
    else
      problems += (problems.empty() ? "" : "; ") + text.error().message;
  };
  auto serve = [&](std::string domain) {
    if (std::find(wishes.domains.begin(), wishes.domains.end(), domain) == wishes.domains.end())
      wishes.domains.push_back(std::move(domain));
  };
  if (!command.name.empty()) {
    take(own_name(command.name), [&](std::string name) {
      wishes.name = std::move(name);
      // Whose name is a domain's answers for that domain: all that it gets by it is its own name.
      if (wishes.name.find('.') != std::string::npos) serve(wishes.name);
    });
  }
  for (const std::string& text : command.domains) take(served_domain(text), serve);
  take(own_label(command.label), [&](std::string label) { wishes.label = std::move(label); });
  for (const std::string& text : command.allow_from)
    take(allowed_range(text), [&](std::string range) { wishes.allow_from.push_back(std::move(range)); });
  if (!problems.empty()) return fail(ErrorCode::Invalid, "{}", problems);
  return wishes;
}

ExitStatus run(const Context& context, const RegisterCommand& command) {
  auto refuse = [&](const base::Error& error) {
    static_cast<void>(fail_with(context.terminal, context.options, error));
    return ExitStatus::Usage;
  };
  auto wishes = registration_wishes(command);
  if (!wishes) return refuse(wishes.error());
  if (auto checked = check(context, command.output, !wishes->domains.empty()); !checked) return refuse(checked.error());
  auto output = Output::open(command.output.output);
  if (!output) return fail_with(context.terminal, context.options, output.error());
  auto issued = Daemon(context.config.control_socket).make_registration(*wishes);
  if (!issued) return fail_with(context.terminal, context.options, issued.error());
  ExitStatus status = deliver(context, *issued, command.output, *output);
  tell_records(context, issued->listed);
  return status;
}

ExitStatus run(const Context& context, const RegistrationsRotateCommand& command) {
  Daemon daemon(context.config.control_socket);
  // Asked first, because nothing can be taken back afterwards.
  auto registration = daemon.registration(command.username);
  if (!registration) return fail_with(context.terminal, context.options, registration.error());
  if (auto checked = check(context, command.output, !domains_of(*registration).empty()); !checked)
    return fail_with(context.terminal, context.options, checked.error());
  auto output = Output::open(command.output.output);
  if (!output) return fail_with(context.terminal, context.options, output.error());
  auto issued = daemon.rotate_registration(command.username);
  if (!issued) return fail_with(context.terminal, context.options, issued.error());
  ExitStatus status = deliver(context, *issued, command.output, *output);
  context.terminal.note(
      fmt::format("the old password of {} is worth nothing any more", issued->listed.fulldomain.text()));
  return status;
}

}  // namespace countersign::acme
