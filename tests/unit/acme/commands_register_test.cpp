#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>

#include "acme/commands/commands.hpp"
#include "acme/issue/credentials.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/acme/fake_control_socket.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using test::ControlRequest;
using test::FakeControlSocket;
using test::http_answer;
namespace json = boost::json;

namespace {

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

template <class T>
T parse_as(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  INFO((line ? std::string() : line.error().err));
  REQUIRE(line);
  REQUIRE(std::holds_alternative<T>(line->command));
  return std::get<T>(line->command);
}

std::string refused(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  REQUIRE_FALSE(line);
  CHECK(line.error().status == ExitStatus::Usage);
  return line.error().err;
}

constexpr const char* kUser = "0e9d4f2c-7c1b-4f43-9a35-0f1d6f0a6a11";
constexpr const char* kPassword = "htB9mR9DYgcu9bX_afHF62erXaH2TS7bg9KW3F7Z";

IssuedRegistration issued(std::vector<std::string> domains = {"example.com"}) {
  IssuedRegistration made;
  made.listed.username = kUser;
  made.listed.subdomain = "4b8c";
  made.listed.fulldomain = base::Name::parse("4b8c.auth.example.net").value();
  made.listed.allow_from = {"192.0.2.0/24"};
  made.listed.domains = std::move(domains);
  made.password = kPassword;
  made.zone = base::Name::parse("auth.example.net").value();
  return made;
}

std::string text(CredentialsFormat format, std::vector<std::string> domains = {"example.com"}) {
  auto made = credentials_text(issued(std::move(domains)), format, "https://v.example.net");
  REQUIRE(made);
  return *made;
}

// What the daemon answers to a POST.
std::string answer(const std::string& domains = R"(["example.com"])") {
  return fmt::format(
      R"({{"username":"{}","password":"{}","fulldomain":"4b8c.auth.example.net","subdomain":"4b8c","allowfrom":[],"zone":"auth.example.net","for":{},"label":"web","created":"2026-11-22T10:00:00Z"}})",
      kUser, kPassword, domains);
}

// Runs a command against a socket; both streams of the process are taken to files meanwhile.
struct Ran {
  ExitStatus status;
  std::string out, err;
};

template <class Command>
Ran run_with(FakeControlSocket& socket, const Command& command, bool as_json = false, conf::Api api = {},
             int other_stdout = -1) {
  tests::TemporaryFolder folder;
  auto redirect = [&](int stream, const char* name) {
    std::fflush(stream == STDOUT_FILENO ? stdout : stderr);
    int kept = ::dup(stream);
    int file = ::open((folder.path / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ::dup2(file, stream);
    ::close(file);
    return kept;
  };
  GlobalOptions options;
  options.json = as_json;
  conf::Config config;
  config.control_socket = socket.path();
  config.api = std::move(api);
  Context context{options, config, Terminal(options)};
  int kept_out = redirect(STDOUT_FILENO, "out");
  int kept_err = redirect(STDERR_FILENO, "err");
  if (other_stdout >= 0) ::dup2(other_stdout, STDOUT_FILENO);
  Ran ran{run(context, command), "", ""};
  std::fflush(stdout);
  std::fflush(stderr);
  ::dup2(kept_out, STDOUT_FILENO);
  ::dup2(kept_err, STDERR_FILENO);
  ::close(kept_out);
  ::close(kept_err);
  ran.out = base::read_file(folder.path / "out").value();
  ran.err = base::read_file(folder.path / "err").value();
  return ran;
}

}  // namespace

TEST_CASE("register takes its options", "[acme][commands]") {
  auto command =
      parse_as<RegisterCommand>({"register", "--name", "example.com", "--for", "a.test", "--for", "b.test", "--label",
                                 "web server", "--allow-from", "192.0.2.0/24", "--allow-from", "2001:db8::/32",
                                 "--format", "acme.sh", "--server-url", "https://v.test:8443/api/", "--output", "f"});
  CHECK(command.name == "example.com");
  CHECK(command.domains == std::vector<std::string>{"a.test", "b.test"});
  CHECK(command.label == "web server");
  CHECK(command.allow_from == std::vector<std::string>{"192.0.2.0/24", "2001:db8::/32"});
  CHECK(command.output.format == CredentialsFormat::AcmeSh);
  CHECK(command.output.server_url == "https://v.test:8443/api");
  CHECK(command.output.output == "f");
  CHECK_FALSE(parse_as<RegisterCommand>({"register"}).output.format);
  for (const auto& [word, format] : credentials_formats())
    CHECK(parse_as<RegisterCommand>({"register", "--format", word}).output.format == format);
  auto rotate = parse_as<RegistrationsRotateCommand>({"registrations", "rotate", kUser, "--format", "lego"});
  CHECK(rotate.username == kUser);
  CHECK(rotate.output.format == CredentialsFormat::Lego);
  CHECK(parse_as<RegistrationsRemoveCommand>({"registrations", "remove", kUser}).username == kUser);
  CHECK(parse_as<RegistrationsShowCommand>({"registrations", "show", kUser}).username == kUser);
  CHECK(std::holds_alternative<RegistrationsListCommand>(parse_command_line({"registrations", "list"})->command));
}

TEST_CASE("register and registrations refuse what cannot be", "[acme][commands]") {
  CHECK(contains(refused({"register", "--format", "traefik"}),
                 "\"traefik\" is none of acme-dns, acme.sh, cert-manager, certbot, lego"));
  for (const char* url : {"", "v.test", "ftp://v.test", "https://v.test/?a=b", "https://v.test/#x",
                          "https://u:p@v.test", "https://v.test/a b", "https://v.test/\n"})
    CHECK(contains(refused({"register", "--server-url", url}), "--server-url"));
  CHECK(contains(refused({"register", "example.com"}), "unknown argument \"example.com\""));
  CHECK(contains(refused({"registrations"}), "registrations --help"));
  CHECK(contains(refused({"registrations", "show"}), "USERNAME"));
  // DELETE of "/v1/registrations/" would be of something else.
  for (const char* verb : {"show", "rotate", "remove"})
    CHECK(contains(refused({"registrations", verb, ""}), "USERNAME"));
  CHECK(contains(refused({"registrations", "list", "x"}), "unknown argument"));
  CHECK(contains(refused({"registrations", "rotat", "x"}), "did you mean rotate?"));
}

TEST_CASE("names of registrations are turned to A-labels, and a domain's name serves the domain", "[acme][commands]") {
  RegisterCommand command;
  command.name =
      "B\xc3\xbc"
      "cher.Example.";
  command.domains = {"WWW.example.com.",
                     "stra\xc3\x9f"
                     "e.test",
                     "www.example.com"};
  command.label = "x";
  auto wishes = registration_wishes(command);
  REQUIRE(wishes);
  CHECK(wishes->name == "xn--bcher-kva.example");
  CHECK(wishes->domains == std::vector<std::string>{"xn--bcher-kva.example", "www.example.com", "xn--strae-oqa.test"});
  CHECK(wishes->label == "x");
  // One label is a name, though no domain.
  for (auto [given, name] : {std::pair("Web1", "web1"), std::pair("b\xc3\xbc"
                                                                  "cher",
                                                                  "xn--bcher-kva")}) {
    command.name = given;
    command.domains = {};
    auto lone = registration_wishes(command);
    REQUIRE(lone);
    CHECK(lone->name == name);
    CHECK(lone->domains.empty());
  }
}

TEST_CASE("every bad name of a registration is told at once", "[acme][commands]") {
  RegisterCommand command;
  command.name = "*.example.com";
  command.domains = {"*.shop.example.com", "a..b", "192.0.2.1", "_acme-challenge.example.com", "fine.example", "com"};
  auto wishes = registration_wishes(command);
  REQUIRE_FALSE(wishes);
  CHECK(wishes.error().code == ErrorCode::Invalid);
  CHECK(contains(wishes.error().message, "--name: \"*.example.com\" is a wildcard; give example.com"));
  CHECK(contains(wishes.error().message, "--for: \"*.shop.example.com\" is a wildcard; give shop.example.com"));
  for (const char* bad : {"\"a..b\"", "\"192.0.2.1\"", "\"_acme-challenge.example.com\"", "\"com\""})
    CHECK(contains(wishes.error().message, bad));
  CHECK(wishes.error().message.find("fine.example") == std::string::npos);
  for (const char* name : {"a b", "-", "a/b", "*", "\xff"}) {
    RegisterCommand odd;
    odd.name = name;
    INFO(name);
    CHECK_FALSE(registration_wishes(odd));
  }
}

TEST_CASE("each format is what its program reads", "[acme][commands]") {
  const std::string kAnswer = fmt::format(
      R"({{"username":"{}","password":"{}","fulldomain":"4b8c.auth.example.net","subdomain":"4b8c","allowfrom":["192.0.2.0/24"],"zone":"auth.example.net"}})",
      kUser, kPassword);
  CHECK(text(CredentialsFormat::AcmeDns) == kAnswer);
  CHECK(text(CredentialsFormat::Certbot) == "{\"example.com\":" + kAnswer + "}");
  const std::string kAccount = fmt::format(
      R"({{"fulldomain":"4b8c.auth.example.net","subdomain":"4b8c","username":"{}","password":"{}","server_url":"https://v.example.net","zone":"auth.example.net"}})",
      kUser, kPassword);
  CHECK(text(CredentialsFormat::Lego) == "{\"example.com\":" + kAccount + "}");
  // Each domain is asked for by its own name.
  CHECK(text(CredentialsFormat::Lego, {"a.test", "b.test"}) ==
        "{\"a.test\":" + kAccount + ",\"b.test\":" + kAccount + "}");
  CHECK(text(CredentialsFormat::CertManager) ==
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: acme-dns\ntype: Opaque\nstringData:\n  acmedns.json: |\n    "
        "{\"example.com\":" +
            kAccount + "}");
  CHECK(text(CredentialsFormat::AcmeSh) ==
        fmt::format("export ACMEDNS_BASE_URL='https://v.example.net'\nexport ACMEDNS_USERNAME='{}'\n"
                    "export ACMEDNS_PASSWORD='{}'\nexport ACMEDNS_SUBDOMAIN='4b8c'",
                    kUser, kPassword));
}

TEST_CASE("what a shell would run stands in quotes", "[acme][commands]") {
  IssuedRegistration made = issued();
  made.password = "a'$(reboot)'`x`\\";
  auto lines = credentials_text(made, CredentialsFormat::AcmeSh, "https://v.example.net/a'b");
  REQUIRE(lines);
  CHECK(contains(*lines, R"(export ACMEDNS_PASSWORD='a'\''$(reboot)'\''`x`\')"));
  CHECK(contains(*lines, R"(export ACMEDNS_BASE_URL='https://v.example.net/a'\''b')"));
}

TEST_CASE("a format that goes by domain needs one, and acme.sh the API's address", "[acme][commands]") {
  for (auto format : {CredentialsFormat::Lego, CredentialsFormat::CertManager, CredentialsFormat::Certbot}) {
    auto without = credentials_text(issued({}), format, "https://v.example.net");
    REQUIRE_FALSE(without);
    CHECK(without.error().code == ErrorCode::Usage);
    CHECK(contains(without.error().message, "--for"));
    CHECK(credentials_text(issued(), format, ""));
  }
  CHECK(credentials_text(issued({}), CredentialsFormat::AcmeDns, ""));
  auto nowhere = credentials_text(issued(), CredentialsFormat::AcmeSh, "");
  REQUIRE_FALSE(nowhere);
  CHECK(contains(nowhere.error().message, "--server-url"));
}

TEST_CASE("the API's address is told by the configuration only where it can be", "[acme][commands]") {
  auto url = [](std::initializer_list<const char*> listen, const char* certificate = "") {
    conf::Api api;
    for (const char* address : listen) api.listen.push_back(*base::SocketAddress::parse(address));
    api.tls_certificate = certificate;
    return server_url_of(api);
  };
  CHECK(url({}) == "");
  CHECK(url({"0.0.0.0:80", "[::]:80"}) == "");
  CHECK(url({"0.0.0.0:80", "192.0.2.1:8080"}) == "http://192.0.2.1:8080");
  CHECK(url({"192.0.2.1:80"}) == "http://192.0.2.1");
  CHECK(url({"[2001:db8::1]:80"}) == "http://[2001:db8::1]");
  CHECK(url({"[2001:db8::1]:8080"}) == "http://[2001:db8::1]:8080");
  // Its certificate is for a name.
  CHECK(url({"192.0.2.1:443"}, "/etc/cert.pem") == "");
}

TEST_CASE("issue and delegate read what register writes", "[acme][commands]") {
  for (auto format : {CredentialsFormat::AcmeDns, CredentialsFormat::Lego, CredentialsFormat::Certbot}) {
    auto credentials = Credentials::parse(text(format));
    REQUIRE(credentials);
    const Registration* found = credentials->find("example.com");
    REQUIRE(found != nullptr);
    CHECK(found->username == kUser);
    CHECK(found->password == kPassword);
    CHECK(found->fulldomain.text() == "4b8c.auth.example.net");
    CHECK(found->zone.text() == "auth.example.net");
  }
}

TEST_CASE("register prints the credentials on stdout, and the records for people", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(201, answer()); });
  RegisterCommand command;
  command.domains = {"example.com"};
  command.label = "web";
  Ran ran = run_with(socket, command);
  CHECK(ran.status == ExitStatus::Done);
  CHECK(json::parse(ran.out).at("password").as_string() == kPassword);
  CHECK(ran.out.find('\n') == ran.out.size() - 1);
  CHECK(contains(ran.err, "_acme-challenge.example.com. IN CNAME 4b8c.auth.example.net."));
  CHECK(ran.err.find(kPassword) == std::string::npos);
  REQUIRE(socket.log().size() == 1);
  CHECK(socket.log()[0].method == "POST");
  CHECK(socket.log()[0].target == "/v1/registrations");
  CHECK(socket.log()[0].body == R"({"for":["example.com"],"label":"web"})");
  // For programs: all that the daemon says.
  CHECK(run_with(socket, command, true).out == answer() + "\n");
  command.output.format = CredentialsFormat::Lego;
  CHECK(json::parse(run_with(socket, command, true).out).as_object().contains("example.com"));
}

TEST_CASE("what cannot be printed is refused before there is a registration", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(201, answer("[]")); });
  RegisterCommand command;
  command.output.format = CredentialsFormat::Lego;
  CHECK(run_with(socket, command).status == ExitStatus::Usage);
  command.output.format = CredentialsFormat::AcmeSh;
  CHECK(run_with(socket, command).status == ExitStatus::Usage);
  command.output.server_url = "https://v.example.net";
  CHECK(run_with(socket, command, true).status == ExitStatus::Usage);
  command = {};
  command.domains = {"*.example.com"};
  Ran ran = run_with(socket, command, true);
  CHECK(ran.status == ExitStatus::Usage);
  CHECK(contains(ran.out, R"("code":"invalid")"));
  command = {};
  command.output.output = "/nonexistent/folder/file";
  CHECK(run_with(socket, command).status == ExitStatus::Failed);
  CHECK(socket.log().empty());
  CHECK(run_with(socket, RegisterCommand{}).status == ExitStatus::Done);
}

TEST_CASE("a bad label or range is wrong usage, and told with all else", "[acme][commands]") {
  RegisterCommand command;
  command.name = "a b";
  command.label = "two\nlines";
  command.allow_from = {"192.0.2.0/24", "nonsense", "192.0.2.0/33"};
  auto wishes = registration_wishes(command);
  REQUIRE_FALSE(wishes);
  for (const char* part : {"--name: ", "--label: ", "control character", "nonsense", "192.0.2.0/33"})
    CHECK(contains(wishes.error().message, part));
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(201, answer("[]")); });
  auto status_of = [&](const std::string& label, std::vector<std::string> allow_from) {
    RegisterCommand one;
    one.label = label;
    one.allow_from = std::move(allow_from);
    return run_with(socket, one).status;
  };
  for (const char* label : {"a\tb", "\x1b[2J", "\x7f", "\xc2\x85", "\xff"})
    CHECK(status_of(label, {}) == ExitStatus::Usage);
  CHECK(status_of(std::string(201, 'x'), {}) == ExitStatus::Usage);
  for (const char* range : {"", "example.com", "192.0.2.1 ", "::/129"})
    CHECK(status_of("", {"192.0.2.1", range}) == ExitStatus::Usage);
  CHECK(socket.log().empty());
  CHECK(status_of(std::string(200, 'x'), {"192.0.2.1", "2001:db8::/32"}) == ExitStatus::Done);
  CHECK(contains(socket.log().at(0).body, R"("allow_from":["192.0.2.1/32","2001:db8::/32"])"));
}

namespace {

// From now on nothing can be written to stdout; run_with() puts the test's own back.
void break_stdout() {
  int unwritable = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(unwritable, STDOUT_FILENO);
  ::close(unwritable);
}

}  // namespace

TEST_CASE("credentials that stdout does not take go to stderr, and are no success", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest& request) {
    if (request.method == "POST") break_stdout();
    return http_answer(request.target == "/v1/registrations" ? 201 : 200, answer());
  });
  auto check = [](const Ran& ran) {
    CHECK(ran.status == ExitStatus::Failed);
    CHECK(ran.out.empty());
    CHECK(contains(ran.err, "stdout cannot be written (Bad file descriptor)"));
    CHECK(contains(ran.err, fmt::format(R"("password":"{}")", kPassword)));
  };
  check(run_with(socket, RegisterCommand{}));
  check(run_with(socket, RegisterCommand{}, true));
  check(run_with(socket, RegistrationsRotateCommand{kUser, {}}));
  // What was not taken does not come later.
  CHECK(run_with(socket, RegistrationsShowCommand{kUser}).out.find(kPassword) == std::string::npos);
}

TEST_CASE("a stdout that cannot be written is refused before anything is made or ended", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest& request) {
    return http_answer(request.target == "/v1/registrations" ? 201 : 200, answer());
  });
  auto with_stdout = [&](int descriptor, const auto& command) {
    return run_with(socket, command, false, {}, descriptor);
  };
  int unwritable = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::array<int, 2> pipe_ends{};
  REQUIRE(::pipe(pipe_ends.data()) == 0);
  ::close(pipe_ends[0]);  // nobody reads
  for (int descriptor : {unwritable, pipe_ends[1]}) {
    for (const Ran& ran :
         {with_stdout(descriptor, RegisterCommand{}), with_stdout(descriptor, RegistrationsRotateCommand{kUser, {}})}) {
      CHECK(ran.status == ExitStatus::Failed);
      CHECK(contains(ran.err, "give --output FILE"));
    }
  }
  for (const ControlRequest& request : socket.log()) CHECK(request.method == "GET");
  CHECK(socket.log().size() == 2);
  // A file takes them all the same.
  tests::TemporaryFolder folder;
  RegisterCommand command;
  command.output.output = (folder.path / "credentials.json").string();
  CHECK(with_stdout(unwritable, command).status == ExitStatus::Done);
  ::close(unwritable);
  ::close(pipe_ends[1]);
}

TEST_CASE("register writes a new file for its owner alone, and never over another", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(201, answer()); });
  tests::TemporaryFolder folder;
  RegisterCommand command;
  command.domains = {"example.com"};
  command.output.output = (folder.path / "credentials.json").string();
  Ran ran = run_with(socket, command, true);
  CHECK(ran.status == ExitStatus::Done);
  // The password is in the file, and nowhere else.
  CHECK((ran.out + ran.err).find(kPassword) == std::string::npos);
  CHECK(json::parse(ran.out).at("file").as_string() == command.output.output);
  struct stat status{};
  REQUIRE(::stat(command.output.output.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777U) == 0600U);
  auto credentials = Credentials::load(command.output.output);
  REQUIRE(credentials);
  CHECK(credentials->find("example.com")->password == kPassword);
  std::string before = base::read_file(command.output.output).value();

  Ran again = run_with(socket, command);
  CHECK(again.status == ExitStatus::Failed);
  CHECK(contains(again.err, "exists already"));
  CHECK(base::read_file(command.output.output).value() == before);
  CHECK(socket.log().size() == 1);
}

TEST_CASE("a registration that fails leaves no file", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest&) {
    return http_answer(409, R"({"error":{"code":"exists","message":"example.com.auth.example.net is another's"}})");
  });
  tests::TemporaryFolder folder;
  RegisterCommand command;
  command.name = "example.com";
  command.output.output = (folder.path / "credentials.json").string();
  Ran ran = run_with(socket, command, true);
  CHECK(ran.status == ExitStatus::Failed);
  CHECK(contains(ran.out, R"("code":"exists")"));
  CHECK(contains(ran.err, "is another's"));
  CHECK_FALSE(std::filesystem::exists(command.output.output));
}

TEST_CASE("rotate asks who it is first, and prints as register does", "[acme][commands]") {
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(200, answer()); });
  RegistrationsRotateCommand command{kUser, {}};
  command.output.format = CredentialsFormat::Lego;
  Ran ran = run_with(socket, command);
  CHECK(ran.status == ExitStatus::Done);
  CHECK(json::parse(ran.out).at("example.com").at("password").as_string() == kPassword);
  REQUIRE(socket.log().size() == 2);
  CHECK(socket.log()[0].method == "GET");
  CHECK(socket.log()[1].method == "POST");
  CHECK(socket.log()[1].target == fmt::format("/v1/registrations/{}/rotate", kUser));

  FakeControlSocket nameless([](const ControlRequest&) { return http_answer(200, answer("[]")); });
  CHECK(run_with(nameless, command).status == ExitStatus::Usage);
  // The old password is worth what it was.
  CHECK(nameless.log().size() == 1);
}

TEST_CASE("the list is a table for people and the daemon's own document for programs", "[acme][commands]") {
  std::string first =
      R"({"username":"a","fulldomain":"a.auth.test","subdomain":"a","allowfrom":[],"for":["x.test","y.test"],"label":"web\u001b[2J","created":"2026-11-22T10:00:00Z","used":null})";
  std::string second =
      R"({"username":"b","fulldomain":"b.auth.test","subdomain":"b","allowfrom":["192.0.2.0/24"],"for":[],"label":"","created":"2026-11-22T10:00:00Z","used":"2026-11-22T11:00:00Z"})";
  FakeControlSocket socket([&](const ControlRequest& request) {
    if (request.target != "/v1/registrations") return http_answer(200, "[" + second + "]");
    std::string page = http_answer(200, "[" + first + "]");
    page.insert(page.find("Content-Type"), "Link: </v1/registrations?after=a&limit=1>; rel=\"next\"\r\n");
    return page;
  });
  Ran people = run_with(socket, RegistrationsListCommand{});
  CHECK(people.status == ExitStatus::Done);
  CHECK(contains(people.out,
                 "USERNAME  NAME         FOR            CREATED               USED                  LABEL\n"));
  CHECK(contains(people.out,
                 "a         a.auth.test  x.test y.test  2026-11-22T10:00:00Z  never                 "
                 "web\\x1b[2J\n"));
  CHECK(contains(people.out, "b         b.auth.test  -              2026-11-22T10:00:00Z  2026-11-22T11:00:00Z  -\n"));
  Ran programs = run_with(socket, RegistrationsListCommand{}, true);
  CHECK(json::parse(programs.out) == json::parse("[" + first + "," + second + "]"));
  CHECK(socket.log()[1].target == "/v1/registrations?after=a&limit=1");

  FakeControlSocket none([](const ControlRequest&) { return http_answer(200, "[]"); });
  CHECK(run_with(none, RegistrationsListCommand{}).out == "");
  CHECK(run_with(none, RegistrationsListCommand{}, true).out == "[]\n");
}

TEST_CASE("show and remove tell of the registration, or that there is none", "[acme][commands]") {
  std::string one =
      R"({"username":"a","fulldomain":"a.auth.test","subdomain":"a","allowfrom":["192.0.2.0/24"],"for":[],"label":"","created":"2026-11-22T10:00:00Z","used":null})";
  FakeControlSocket socket([&](const ControlRequest& request) {
    if (request.method == "DELETE") return std::string("HTTP/1.1 204 No Content\r\n\r\n");
    return http_answer(200, one);
  });
  Ran shown = run_with(socket, RegistrationsShowCommand{"a"});
  CHECK(contains(shown.out, "allowed from  192.0.2.0/24\n"));
  CHECK(contains(shown.out, "used          never\n"));
  CHECK(run_with(socket, RegistrationsShowCommand{"a"}, true).out == one + "\n");
  Ran removed = run_with(socket, RegistrationsRemoveCommand{"a/../b?c"});
  CHECK(removed.status == ExitStatus::Done);
  CHECK(contains(removed.err, "a.auth.test"));
  CHECK(socket.log().back().target == "/v1/registrations/a%2F..%2Fb%3Fc");

  FakeControlSocket none([](const ControlRequest&) {
    return http_answer(404, R"({"error":{"code":"not_found","message":"there is no registration \"a\""}})");
  });
  for (Ran ran : {run_with(none, RegistrationsShowCommand{"a"}), run_with(none, RegistrationsRemoveCommand{"a"}),
                  run_with(none, RegistrationsRotateCommand{"a", {}})}) {
    CHECK(ran.status == ExitStatus::Failed);
    CHECK(contains(ran.err, "there is no registration"));
  }
  for (const ControlRequest& request : none.log()) CHECK(request.method != "POST");
}
