#include "acme/commands/commands.hpp"
#include "acme/state/account_store.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;

namespace {

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

std::vector<base::Name> zones(const std::vector<std::string>& texts) {
  std::vector<base::Name> names;
  for (const std::string& text : texts) names.push_back(base::Name::parse(text).value());
  return names;
}

}  // namespace

TEST_CASE("delegate knows the places of every challenge type", "[acme][commands]") {
  tests::TemporaryFolder folder;
  conf::Config config;
  config.state_dir = folder.path;
  config.acme.ca = "https://ca.example.test/directory";
  Context context{{}, config, Terminal(GlobalOptions{})};
  DelegateCommand command{{"*.example.com", "example.com"}, std::nullopt, "", "", RecordFormat::Text};
  auto record = [&] {
    auto places = delegation_places(context, command);
    if (!places) return places.error().message;
    return delegation_records(*places, zones({"auth.example.net"}), RecordFormat::Bind).value();
  };
  CHECK(record() == "_acme-challenge.example.com. IN CNAME example.com.auth.example.net.");
  command.challenge = conf::ChallengeType::DnsPersist01;
  CHECK(record() == "_validation-persist.example.com. IN CNAME _validation-persist.example.com.auth.example.net.");

  // The account's label needs an account.
  command.challenge = conf::ChallengeType::DnsAccount01;
  CHECK(
      contains(record(), "there is none at https://ca.example.test/directory yet; run `countersign account register`"));
  command.ca = "https://other.example.test/directory";
  CHECK(contains(record(), "account register --ca https://other.example.test/directory`"));
  command.ca.clear();
  StoredAccount account;
  account.url = "https://example.com/acme/acct/ExampleAccount";
  account.directory = config.acme.ca;
  auto store = AccountStore::open(folder.path / "acme", config.acme.ca).value();
  REQUIRE(base::make_directories(store.folder(), 0700));
  REQUIRE(base::create_file(store.folder() / "account.json", account_document(account), 0600));
  // The draft's own test vector.
  CHECK(record() ==
        "_ujmmovf2vn55tgye._acme-challenge.example.com. IN CNAME _ujmmovf2vn55tgye.example.com.auth.example.net.");
  REQUIRE(base::replace_file(store.folder() / "account.json", "{", 0600));
  CHECK(delegation_places(context, command).error().code == base::ErrorCode::Invalid);
  // What is chosen on the command line counts, then the configuration.
  command.challenge.reset();
  context.config.acme.challenge = conf::ChallengeType::DnsPersist01;
  CHECK(contains(record(), "_validation-persist.example.com."));
}

TEST_CASE("delegate with credentials names the registration's own name", "[acme][commands]") {
  tests::TemporaryFolder folder;
  auto file = folder.path / "credentials.json";
  REQUIRE(base::create_file(file,
                            R"({"example.com":{"username":"u","password":"p","fulldomain":"4b8c.auth.example.net"},
                               "shop.example.com":{"username":"v","password":"q","fulldomain":"77aa.auth.example.net"}})",
                            0600));
  Context context{{}, {}, Terminal(GlobalOptions{})};
  DelegateCommand command{{"*.example.com", "shop.example.com"}, std::nullopt, "", file.string(), RecordFormat::Text};
  auto places = delegation_places(context, command);
  REQUIRE(places);
  // No zone is needed here: it is the remote daemon's.
  CHECK(delegation_records(*places, {}, RecordFormat::Bind).value() ==
        "_acme-challenge.example.com. IN CNAME 4b8c.auth.example.net.\n"
        "_acme-challenge.shop.example.com. IN CNAME 77aa.auth.example.net.");
  command.names = {"other.test", "*.other.test", "example.com", "third.test"};
  auto unknown = delegation_places(context, command);
  REQUIRE_FALSE(unknown);
  CHECK(contains(unknown.error().message, "no registration for other.test, third.test;"));
  command.names = {"example.com"};
  command.challenge = conf::ChallengeType::DnsPersist01;
  CHECK(delegation_places(context, command).error().code == base::ErrorCode::Usage);
  command.challenge.reset();
  command.credentials = (folder.path / "nothing.json").string();
  CHECK(delegation_places(context, command).error().code == base::ErrorCode::NotFound);
  context.config.acme.credentials = file.string();
  command.credentials.clear();
  CHECK(contains(delegation_records(*delegation_places(context, command), {}, RecordFormat::Bind).value(), "4b8c"));
}

TEST_CASE("delegate takes credentials on its command line", "[acme][commands]") {
  auto line = parse_command_line({"delegate", "example.com", "--credentials", "/etc/x.json", "--challenge", "dns-01"});
  REQUIRE(line);
  auto* command = std::get_if<DelegateCommand>(&line->command);
  REQUIRE(command != nullptr);
  CHECK(command->credentials == "/etc/x.json");
  CHECK(command->challenge == conf::ChallengeType::Dns01);
}
