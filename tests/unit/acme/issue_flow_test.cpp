// A whole run, with a real CA and a publisher that keeps what it is given.
#include "acme/issue/issue_flow.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pebble.hpp"
#include "tests/unit/acme/issue_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using base::ErrorCode;
using tests::Pebble;
using tests::Setting;

namespace {

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

std::size_t archived(const Setting& setting, const std::string& name) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(setting.folder() / "archive" / name), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("a name and its wildcard become one certificate, and nothing stays published", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  IssueOutcome outcome = setting.succeed({"example.test", "*.example.test"});
  REQUIRE(outcome.cert_name == "example.test");
  REQUIRE_FALSE(outcome.left_alone);
  REQUIRE(setting.steps == std::vector<std::string>{"delegation", "account", "order", "publish", "fence", "trigger",
                                                    "validate", "cleanup", "finalize", "download", "install"});
  REQUIRE(setting.warnings.empty());
  // Two values at one name, both there before the first trigger.
  REQUIRE(setting.publisher.all_published.size() == 2);
  REQUIRE(setting.publisher.all_published[0].name == setting.publisher.all_published[1].name);
  REQUIRE(setting.publisher.all_published[0].name.text() == "example.test.auth.test");
  REQUIRE(setting.publisher.all_published[0].value != setting.publisher.all_published[1].value);
  REQUIRE(setting.publisher.all_published[0].value.size() == 43);
  REQUIRE(setting.publisher.calls == std::vector<std::string>{"locate", "publish", "fence", "watch", "withdraw"});
  REQUIRE(setting.publisher.fenced_zones == std::vector<base::Name>{setting.publisher.zone});
  REQUIRE(setting.publisher.served.empty());

  fs::path live = outcome.directory;
  REQUIRE(live == setting.folder() / "live/example.test");
  REQUIRE(fs::is_symlink(live));
  REQUIRE(mode_of(live / "privkey.pem") == 0600);
  for (const char* file : {"cert.pem", "chain.pem", "fullchain.pem"}) REQUIRE(fs::file_size(live / file) > 0);
  REQUIRE(mode_of(setting.folder()) == 0700);
  REQUIRE(mode_of(setting.config.state_dir) == 0755);
  REQUIRE(mode_of(setting.folder() / "certificates/example.test.json") == 0600);
  CertificateRecord record = setting.record("example.test");
  REQUIRE(record.names == std::vector<std::string>{"example.test", "*.example.test"});
  REQUIRE(record.published.empty());
  REQUIRE(record.not_after == outcome.not_after);
}

TEST_CASE("a valid certificate is left alone, force issues again, and old ones go", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  static_cast<void>(setting.succeed({"b.test", "a.test"}));
  std::string first = fs::read_symlink(setting.folder() / "live/b.test").string();
  IssueOutcome again = setting.succeed({"a.test", "b.test"}, WhenValid::LeaveAlone, "b.test");
  REQUIRE(again.left_alone);
  REQUIRE(setting.publisher.called("publish") == 1);
  REQUIRE_FALSE(again.not_after.empty());
  REQUIRE_FALSE(again.issuer.empty());
  for (std::size_t i = 0; i < CertificateStore::kKept + 1; ++i)
    static_cast<void>(setting.succeed({"a.test", "b.test"}, WhenValid::IssueAgain, "b.test"));
  REQUIRE(archived(setting, "b.test") == CertificateStore::kKept);
  REQUIRE_FALSE(fs::exists(setting.folder() / "live" / first));
  REQUIRE(fs::exists(setting.folder() / "live/b.test/privkey.pem"));
}

TEST_CASE("a certificate with a lost or foreign key is not left alone", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(base::replace_file(setting.folder() / "live/a.test/privkey.pem",
                             *PrivateKey::generate(conf::KeyType::P256)->to_pem(), 0600));
  REQUIRE_FALSE(setting.succeed({"a.test"}).left_alone);
  fs::remove(setting.folder() / "live/a.test");
  REQUIRE_FALSE(setting.succeed({"a.test"}).left_alone);
}

TEST_CASE("other names under an existing certificate are refused unless asked for", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  static_cast<void>(setting.succeed({"a.test"}));
  auto refused = setting.run({"a.test", "b.test"});
  REQUIRE(refused.error().code == ErrorCode::Usage);
  REQUIRE(refused.error().message.find("--cert-name") != std::string::npos);
  REQUIRE(setting.publisher.called("locate") == 1);
  REQUIRE(setting.succeed({"a.test", "b.test"}, WhenValid::LeaveAlone, "a.test").names.size() == 2);
  REQUIRE(setting.succeed({"a.test", "c.test"}, WhenValid::IssueAgain).names.size() == 2);
  REQUIRE(setting.succeed({"a.test"}, WhenValid::LeaveAlone, "other").cert_name == "other");
  auto bad_name = setting.run({"a.test"}, WhenValid::LeaveAlone, "../a");
  REQUIRE(bad_name.error().code == ErrorCode::Usage);
}

TEST_CASE("a missing delegation stops before anything is ordered, with the record of each name", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.publisher.undelegated = "b.test";
  auto refused = setting.run({"a.test", "b.test", "*.b.test"});
  REQUIRE(refused.error().code == ErrorCode::NotFound);
  INFO(refused.error().message);
  REQUIRE(refused.error().message.find("\n_acme-challenge.b.test. IN CNAME b.test.auth.test.") != std::string::npos);
  REQUIRE(refused.error().message.find("nothing was ordered") != std::string::npos);
  REQUIRE(setting.publisher.calls == std::vector<std::string>{"locate"});
  REQUIRE_FALSE(fs::exists(setting.folder() / "accounts"));
  REQUIRE_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
}

TEST_CASE("values are withdrawn whatever fails after they were published", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.publisher.publish_result = base::fail(ErrorCode::Full, "the name holds 16 values");
  REQUIRE(setting.run({"a.test"}).error().code == ErrorCode::Full);
  REQUIRE(setting.publisher.served.empty());
  setting.publisher.publish_result = {};
  setting.publisher.fence_result = base::fail(ErrorCode::Protocol, "ns1 answers NXDOMAIN");
  REQUIRE(setting.run({"a.test"}).error().message.find("ns1 answers") != std::string::npos);
  REQUIRE(setting.publisher.served.empty());
  // Nothing was issued, so nothing is remembered.
  REQUIRE_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
  setting.publisher.fence_result = {};
  static_cast<void>(setting.succeed({"a.test"}));
}

TEST_CASE("a validation that fails is told by name with the CA's reason, and cleaned up", "[acme]") {
  // Pebble asks a resolver that is not there.
  Pebble pebble(tests::Environment{{"PEBBLE_VA_ALWAYS_VALID", ""}}, "", "127.0.0.1:1");
  Setting setting(pebble);
  auto refused = setting.run({"a.test", "*.a.test"});
  REQUIRE(refused.error().code == ErrorCode::Refused);
  INFO(refused.error().message);
  REQUIRE(refused.error().message.find("could not validate") != std::string::npos);
  REQUIRE(refused.error().message.find("a.test\": ") != std::string::npos);
  REQUIRE(setting.publisher.served.empty());
  REQUIRE(setting.publisher.called("withdraw") == 1);
  REQUIRE(setting.warnings.empty());
}

TEST_CASE("values that cannot be withdrawn are noted and swept by the next run", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.publisher.withdraw_result = base::fail(ErrorCode::Unavailable, "the daemon is gone");
  IssueOutcome outcome = setting.succeed({"a.test"});
  REQUIRE(outcome.warnings.size() == 1);
  REQUIRE(outcome.warnings.front().find("may still be served") != std::string::npos);
  REQUIRE(setting.publisher.served.size() == 1);
  REQUIRE(setting.record("a.test").published.size() == 1);
  setting.publisher.withdraw_result = {};
  REQUIRE(setting.succeed({"a.test"}).left_alone);
  REQUIRE(setting.publisher.served.empty());
  REQUIRE(setting.record("a.test").published.empty());
}

TEST_CASE("what a killed run published is known to the next one", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  pid_t child = ::fork();
  if (child == 0) {
    setting.publisher.on_publish = [] { ::raise(SIGKILL); };
    static_cast<void>(setting.run({"a.test"}));
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CertificateRecord left = setting.record("a.test");
  REQUIRE(left.published.size() == 1);
  REQUIRE(left.pending);
  setting.publisher.served = left.published;
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(setting.publisher.served.empty());
  REQUIRE(setting.publisher.called("withdraw") == 2);
}

TEST_CASE("Ctrl-C while the CA validates cleans up and says so", "[acme]") {
  Pebble pebble(
      tests::Environment{{"PEBBLE_VA_NOSLEEP", ""}, {"PEBBLE_VA_ALWAYS_VALID", ""}, {"PEBBLE_VA_SLEEPTIME", "600"}});
  Setting setting(pebble);
  setting.budgets.validation = 60s;
  fs::path report = setting.state.path / "report";
  pid_t child = ::fork();
  if (child == 0) {
    install_interrupt_handlers();
    setting.publisher.on_publish = [] { ::raise(SIGINT); };
    auto refused = setting.run({"a.test"});
    std::ofstream(report) << (refused                                          ? "issued"
                              : refused.error().code == ErrorCode::Interrupted ? "interrupted"
                                                                               : refused.error().message)
                          << " " << setting.publisher.served.size() << " " << setting.publisher.called("withdraw");
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  REQUIRE(base::read_file(report) == "interrupted 0 1");
}

TEST_CASE("a CA that lost its memory gets the account again", "[acme]") {
  tests::TemporaryFolder state;
  Pebble pebble;
  Setting setting(pebble);
  static_cast<void>(setting.succeed({"a.test"}));
  std::string file = (setting.folder() / "accounts").string();
  fs::path account;
  for (const auto& entry : fs::recursive_directory_iterator(file))
    if (entry.path().filename() == "account.json") account = entry.path();
  std::string text = *base::read_file(account);
  std::size_t at = text.find("my-account/");
  text.insert(at + 11, "f00");
  REQUIRE(base::replace_file(account, text, 0600));
  static_cast<void>(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  REQUIRE(setting.warnings.size() == 1);
  REQUIRE(setting.warnings.front().find("does not know the account") != std::string::npos);
}

TEST_CASE("many names and refused nonces go through in one run", "[acme]") {
  Pebble pebble(tests::Environment{{"PEBBLE_WFE_NONCEREJECT", "50"}});
  Setting setting(pebble);
  std::vector<std::string> names;
  for (int i = 0; i < 25; ++i) names.push_back("n" + std::to_string(i) + ".example.test");
  REQUIRE(setting.succeed(names).names.size() == 25);
  REQUIRE(setting.publisher.all_published.size() == 25);
}

TEST_CASE("a CA that is not there is told by its address, and nothing is published", "[acme]") {
  Setting setting("https://127.0.0.1:1/dir");
  auto refused = setting.run({"a.test"});
  REQUIRE(refused.error().code == ErrorCode::Unavailable);
  REQUIRE(refused.error().message ==
          "the CA https://127.0.0.1:1/dir cannot be reached: cannot connect to 127.0.0.1:1: connection refused; check "
          "acme.ca, or name a second CA in acme.fallback_ca");
  REQUIRE(setting.publisher.called("publish") == 0);
}
