#include "acme/commands/commands.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "acme/transport/interrupt.hpp"
#include "tests/support/catch.hpp"

using namespace countersign;
using namespace countersign::acme;
using std::chrono::milliseconds;

namespace {

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

// How a child ended that did `work`.
template <class Work>
int status_of_child(Work work) {
  pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

template <class T>
T parse_as(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  INFO((line ? std::string() : line.error().err));
  REQUIRE(line);
  REQUIRE(std::holds_alternative<T>(line->command));
  return std::get<T>(line->command);
}

Stop refused(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  REQUIRE_FALSE(line);
  CHECK(line.error().status == ExitStatus::Usage);
  CHECK(line.error().out == "");
  return line.error();
}

std::vector<base::Name> zones(std::initializer_list<const char*> texts) {
  std::vector<base::Name> names;
  for (const char* text : texts) names.push_back(base::Name::parse(text).value());
  return names;
}

}  // namespace

TEST_CASE("issue takes its names and options", "[acme][commands]") {
  auto issue = parse_as<IssueCommand>({"issue", "example.com", "*.example.com", "--ca", "letsencrypt-staging",
                                       "--key-type", "p384", "--cert-name", "web", "--agree-tos", "--force"});
  CHECK(issue.names == std::vector<std::string>{"example.com", "*.example.com"});
  CHECK(issue.options.ca == "letsencrypt-staging");
  CHECK(issue.options.key_type == conf::KeyType::P384);
  CHECK(issue.cert_name == "web");
  CHECK(issue.agree_tos);
  CHECK(issue.force);
  auto plain = parse_as<IssueCommand>({"issue", "example.com"});
  // What is not given is absent, so that the configuration and what is stored can say it.
  CHECK(plain.options == conf::CertificateOptions{});
  CHECK_FALSE(plain.force);
}

TEST_CASE("issue takes every option of a certificate", "[acme][commands]") {
  auto issue = parse_as<IssueCommand>({"issue",
                                       "a.test",
                                       "--fallback-ca",
                                       "zerossl",
                                       "--fallback-ca",
                                       "google",
                                       "--profile",
                                       "tlsserver",
                                       "--preferred-chain",
                                       "Root X1",
                                       "--challenge",
                                       "dns-account-01",
                                       "--drop-failed",
                                       "--reuse-key",
                                       "--group",
                                       "web",
                                       "--mode",
                                       "640",
                                       "--pkcs12-legacy",
                                       "--pkcs12-password-file",
                                       "/p",
                                       "--deploy-hook",
                                       "a b",
                                       "--deploy-hook",
                                       "c",
                                       "--not-before",
                                       "2027-01-01T00:00:00Z",
                                       "--server",
                                       "https://v.test",
                                       "--credentials",
                                       "/c",
                                       "--dry-run"});
  const conf::CertificateOptions& options = issue.options;
  CHECK(issue.names == std::vector<std::string>{"a.test"});
  CHECK(options.fallback_ca == std::vector<std::string>{"zerossl", "google"});
  CHECK(options.profile == "tlsserver");
  CHECK(options.preferred_chain == "Root X1");
  CHECK(options.challenge == conf::ChallengeType::DnsAccount01);
  CHECK(options.drop_failed == true);
  CHECK(options.reuse_key == true);
  CHECK(options.group == "web");
  CHECK(options.mode == 0640U);
  CHECK(options.pkcs12 == conf::Pkcs12::Legacy);
  CHECK(options.pkcs12_password_file == "/p");
  CHECK(options.deploy_hooks == std::vector<std::string>{"a b", "c"});
  CHECK(options.not_before == "2027-01-01T00:00:00Z");
  CHECK(options.server == "https://v.test");
  CHECK(options.credentials == "/c");
  CHECK(issue.dry_run);
  CHECK(parse_as<IssueCommand>({"issue", "a.test", "--reuse-key=false"}).options.reuse_key == false);
  CHECK(parse_as<IssueCommand>({"issue", "a.test", "--pkcs12=false"}).options.pkcs12 == conf::Pkcs12::None);
  // A renewal runs in another folder.
  CHECK(parse_as<IssueCommand>({"issue", "--csr", "f"}).options.csr ==
        (std::filesystem::current_path() / "f").string());
  CHECK(parse_as<IssueCommand>({"issue", "a.test", "--csr", ""}).options.csr == "");
  CHECK(parse_as<IssueCommand>({"issue", "--batch", "f", "--jobs", "3"}).jobs == 3);
}

TEST_CASE("options of issue that cannot be are refused", "[acme][commands]") {
  for (const char* mode : {"777", "0060", "0660", "x", "", "06400", "0100"})
    CHECK(contains(refused({"issue", "a.test", "--mode", mode}).err, "no mode for a key"));
  CHECK(contains(refused({"issue", "a.test", "--not-after", "tomorrow"}).err, "no time"));
  CHECK(contains(refused({"issue", "a.test", "--challenge", "http-01"}).err, "none of"));
  CHECK(contains(refused({"issue", "a.test", "--batch", "f"}).err, "of many"));
  CHECK(contains(refused({"issue", "a.test", "--jobs", "3"}).err, "is for --batch"));
  CHECK(contains(refused({"issue", "--batch", "f", "--jobs", "65"}).err, "--jobs"));
  CHECK(contains(refused({"issue", "a.test", "--deploy-hook", "caf\xe9"}).err, "no UTF-8"));
  CHECK(contains(refused({"issue", "a.test", "--not-after", "2020-01-01T00:00:00Z"}).err, "past"));
  CHECK(contains(
      refused({"issue", "a.test", "--not-before", "2099-01-02T00:00:00Z", "--not-after", "2099-01-01T00:00:00Z"}).err,
      "not after --not-before"));
  CHECK(contains(refused({"issue"}).err, "NAME"));
  CHECK(contains(refused({"issue", "--csr", "f", "--key-type", "p256"}).err, "not here"));
  CHECK(contains(refused({"revoke"}).err, "either"));
  CHECK(contains(refused({"revoke", "a", "--cert-file", "f"}).err, "either"));
  CHECK(contains(refused({"revoke", "a", "--reason", "certificateHold"}).err, "none of"));
  CHECK(contains(refused({"account", "register", "--eab-kid", "k"}).err, "--eab-hmac-key-file"));
  CHECK(contains(refused({"account", "update"}).err, "--contact"));
}

TEST_CASE("global options may stand before and behind the command", "[acme][commands]") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--config", "/tmp/c.toml", "--json", "-v", "--no-color", "status"},
        std::vector<std::string>{"status", "--config=/tmp/c.toml", "--json", "-v", "--no-color"},
        std::vector<std::string>{"txt", "list", "--json", "--config", "/tmp/c.toml", "--verbose", "--no-color"}}) {
    auto line = parse_command_line(arguments);
    REQUIRE(line);
    CHECK(line->global.config == "/tmp/c.toml");
    CHECK(line->global.json);
    CHECK(line->global.verbose);
    CHECK(line->global.no_color);
    CHECK_FALSE(line->global.quiet);
  }
  CHECK(contains(refused({"-q", "-v", "status"}).err, "excludes"));
}

TEST_CASE("txt sets, lists and removes", "[acme][commands]") {
  auto set = parse_as<TxtSetCommand>({"txt", "set", "a.auth.example.net", "value", "--lifetime", "10m"});
  CHECK(set.name == "a.auth.example.net");
  CHECK(set.value == "value");
  CHECK(set.lifetime == milliseconds(600'000));
  CHECK(parse_as<TxtSetCommand>({"txt", "set", "--lifetime", "0", "a.b", "--", "-value"}).lifetime == milliseconds(0));
  CHECK(parse_as<TxtSetCommand>({"txt", "set", "a.b", "--", "-value"}).value == "-value");
  CHECK_FALSE(parse_as<TxtSetCommand>({"txt", "set", "a.b", "x"}).lifetime);
  CHECK_FALSE(parse_as<TxtRemoveCommand>({"txt", "remove", "a.b"}).value);
  CHECK(parse_as<TxtRemoveCommand>({"txt", "remove", "a.b", "x"}).value == "x");
  CHECK(parse_as<TxtRemoveCommand>({"txt", "remove", "a.b", ""}).value == "");
  CHECK(parse_as<TxtListCommand>({"txt", "list"}).name == "");
  CHECK(parse_as<TxtListCommand>({"txt", "list", "a.b"}).name == "a.b");
}

TEST_CASE("bad usage ends with 2 and says what was meant", "[acme][commands]") {
  CHECK(contains(refused({"isue", "example.com"}).err, "unknown command \"isue\"; did you mean issue?"));
  CHECK(contains(refused({"issue", "example.com", "--cert-nam", "x"}).err,
                 "unknown option \"--cert-nam\"; did you mean --cert-name?"));
  CHECK(contains(refused({"issue", "example.com", "--jsn"}).err, "did you mean --json?"));
  CHECK(contains(refused({"txt", "sett", "a", "b"}).err, "did you mean set?"));
  CHECK(contains(refused({"status", "now"}).err, "unknown argument \"now\""));
  CHECK(contains(refused({"watch"}).err, "unknown command \"watch\""));
  CHECK(contains(refused({"issue"}).err, "NAME"));
  CHECK(contains(refused({"issue", "example.com", "--key-type", "dsa"}).err,
                 "\"dsa\" is none of p256, p384, rsa2048, rsa3072, rsa4096"));
  CHECK(contains(refused({"txt", "set", "a.b", "x", "--lifetime", "soon"}).err, "not a duration"));
  CHECK(contains(refused({"delegate", "example.com", "--format", "yaml"}).err, "bind, json, text"));
  CHECK_FALSE(refused({"isue", "example.com", "example.net"}).err.find("example") != std::string::npos);
  CHECK(contains(refused({"txt"}).err, "see countersign txt --help"));
  CHECK(contains(refused({}).err, "countersign"));
  CHECK(contains(refused({"txt", "set", "a.b"}).err, "VALUE"));
}

TEST_CASE("help and version go to stdout and are no failure", "[acme][commands]") {
  auto help = parse_command_line({"--help"});
  REQUIRE_FALSE(help);
  CHECK(help.error().status == ExitStatus::Done);
  for (const char* word :
       {"issue", "delegate", "txt", "status", "certificates", "--config", "--json", "--no-color", "--version"})
    CHECK(contains(help.error().out, word));
  auto issue = parse_command_line({"issue", "--help"});
  REQUIRE_FALSE(issue);
  CHECK(issue.error().status == ExitStatus::Done);
  for (const char* word : {"--ca", "--key-type", "--cert-name", "--agree-tos", "--force", "NAME"})
    CHECK(contains(issue.error().out, word));
  auto version = parse_command_line({"--version"});
  REQUIRE_FALSE(version);
  CHECK(version.error().out == std::string("countersign ") + COUNTERSIGN_VERSION + "\n");
}

TEST_CASE("delegate prints one record for a name and its wildcard", "[acme][commands]") {
  auto names = dns01_places(parse_identifiers({"example.com", "*.example.com", "*.shop.example.com"}).value());
  auto ours = zones({"_acme-challenge.x.example.com", "auth.example.net"});
  CHECK(delegation_records(names, ours, RecordFormat::Bind).value() ==
        "_acme-challenge.example.com. IN CNAME example.com.auth.example.net.\n"
        "_acme-challenge.shop.example.com. IN CNAME shop.example.com.auth.example.net.");
  CHECK(
      delegation_records(dns01_places(parse_identifiers({"example.com"}).value()), ours, RecordFormat::Json).value() ==
      R"([{"name":"_acme-challenge.example.com.","type":"CNAME","value":"example.com.auth.example.net.",)"
      R"("record":"_acme-challenge.example.com. IN CNAME example.com.auth.example.net."}])");
}

TEST_CASE("delegate refuses what cannot be delegated", "[acme][commands]") {
  auto names = dns01_places(parse_identifiers({"example.com"}).value());
  auto nowhere = delegation_records(names, {}, RecordFormat::Text);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == base::ErrorCode::NotFound);
  std::string label(60, 'a');
  auto longest = parse_identifiers({label + "." + label + "." + label + "." + std::string(48, 'b') + ".test"}).value();
  auto too_long = delegation_records(dns01_places(longest), zones({"auth.example.test"}), RecordFormat::Text);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().code == base::ErrorCode::Invalid);
  CHECK(contains(too_long.error().message, "register"));
}

TEST_CASE("the daemon's status is shown with zones, counters and a failing store", "[acme][commands]") {
  DaemonStatus status;
  status.version = "0.1.0";
  status.zones.push_back({base::Name::parse("auth.example.net").value(), 7, 2, 3});
  status.listen.push_back(base::SocketAddress::parse("127.0.0.1:53").value());
  status.document =
      R"({"uptime_s":93784,"values":3,"registrations":0,"queries":{"answered":12,"refused":0},"store":{"ok":false,"error":"disk full\u001b[2J"}})";
  auto text = status_text(status);
  REQUIRE(text);
  CHECK(contains(*text, "auth.example.net  7       2      3"));
  CHECK(contains(*text, "1 d 2 h"));
  CHECK(contains(*text, "127.0.0.1:53"));
  CHECK(contains(*text, "FAILING: disk full\\x1b[2J"));
  CHECK(contains(*text, "answered"));
  CHECK_FALSE(text->find("refused") != std::string::npos);
}

TEST_CASE("values are listed as a table and as the daemon's document", "[acme][commands]") {
  std::vector<ServedValue> values{
      {base::Name::parse("a.auth.example.net").value(), "v\x1b", "control", ""},
      {base::Name::parse("bb.auth.example.net").value(), "w", "control", "2026-11-22T10:00:00Z"}};
  CHECK(values_text(values) ==
        "NAME                 VALUE  OWNER    EXPIRES\n"
        "a.auth.example.net   v\\x1b  control  never\n"
        "bb.auth.example.net  w      control  2026-11-22T10:00:00Z\n");
  CHECK(contains(values_document(values),
                 R"({"name":"a.auth.example.net","value":"v\u001b","owner":"control","expires":null})"));
}

TEST_CASE("times are short and control octets harmless", "[acme][commands]") {
  using std::chrono::microseconds;
  CHECK(time_text(microseconds(1234)) == "1.2 ms");
  CHECK(time_text(microseconds(123'456)) == "123 ms");
  CHECK(time_text(microseconds(1'234'567)) == "1.23 s");
  CHECK(harmless("b\xc3\xbc\xc2\x9b\x7f\tx") == "b\xc3\xbc\\xc2\\x9b\\x7f\\x09x");
  CHECK(harmless("a\nb\x9b") == "a\\x0ab\\x9b");
  CHECK(harmless("a\nb\r", LineEnds::Keep) == "a\nb\\x0d");
}

TEST_CASE("only wrong usage and configuration exit with 2", "[acme][commands]") {
  CHECK(exit_status(base::ErrorCode::Usage) == ExitStatus::Usage);
  CHECK(exit_status(base::ErrorCode::Interrupted) == ExitStatus::Interrupted);
  for (auto code : {base::ErrorCode::Invalid, base::ErrorCode::Exists, base::ErrorCode::NotFound, base::ErrorCode::Io})
    CHECK(exit_status(code) == ExitStatus::Failed);
}

TEST_CASE("a reader that went away does not end the program", "[acme][commands]") {
  CHECK(status_of_child([] {
          int fds[2];
          if (::pipe(fds) != 0) ::_exit(9);
          ::close(fds[0]);
          ::dup2(fds[1], STDOUT_FILENO);
          static_cast<void>(run_program({"--version"}));
          std::fflush(stdout);
        }) == 0);
}

TEST_CASE("a signal that comes twice at once insists on nothing, one a second later does", "[acme][commands]") {
  auto twice = [](int first, int second) {
    install_interrupt_handlers();
    ::raise(first);
    ::raise(second);
    if (!interrupted()) ::_exit(9);
  };
  CHECK(status_of_child([&] { twice(SIGTERM, SIGTERM); }) == 0);
  CHECK(status_of_child([&] { twice(SIGHUP, SIGINT); }) == 0);
  int late = status_of_child([&] {
    twice(SIGTERM, SIGTERM);
    ::usleep(1'100'000);
    ::raise(SIGTERM);
  });
  CHECK((WIFSIGNALED(late) && WTERMSIG(late) == SIGTERM));
}

TEST_CASE("a hangup that was inherited as ignored stays ignored", "[acme][commands]") {
  CHECK(status_of_child([] {
          ::signal(SIGHUP, SIG_IGN);
          install_interrupt_handlers();
          ::raise(SIGHUP);
          if (interrupted()) ::_exit(9);
        }) == 0);
}
