// What fails once the CA has the request is gone on with by the next run, with the same key.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/files.hpp"
#include "tests/unit/acme/issue_setting.hpp"
#include "tests/unit/acme/order_ca.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using base::ErrorCode;
using tests::fails_with;
using tests::MockCa;
using tests::MockReply;
using tests::MockRequest;
using tests::OrderCa;
using tests::Setting;

namespace {

// The issuances of a.test, complete or not.
std::vector<fs::path> issuances(const Setting& setting) {
  std::vector<fs::path> folders;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(setting.folder() / "archive/a.test", none))
    folders.push_back(entry.path());
  return folders;
}

// Everything was asked for once, and the certificate is there, with the key that was sent first.
void require_resumed(const Setting& setting, const OrderCa& ca) {
  REQUIRE(ca.server().count("/order") == 1);
  REQUIRE(setting.publisher.called("publish") == 1);
  REQUIRE(issuances(setting).size() == 1);
  REQUIRE(setting.record("a.test").archive == issuances(setting).front().filename().string());
  REQUIRE_FALSE(setting.record("a.test").pending);
  REQUIRE(CertificateStore::open(setting.folder())->live_chain("a.test"));
}

MockReply broken() {
  return MockCa::problem(500, "serverInternal", "out of order");
}

}  // namespace

TEST_CASE("the key and what it is for are on the disk before the CA gets the request", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  bool key_there = false, noted = false;
  ca.replies["/finalize"] = [&, before = ca.replies["/finalize"]](const MockRequest& request) {
    auto folders = issuances(setting);
    key_there = folders.size() == 1 && fs::exists(folders.front() / "privkey.pem");
    auto record = setting.record("a.test");
    noted = key_there && record.pending && record.pending->url == ca.url("/order/1") &&
            record.pending->archive == folders.front().filename();
    return before(request);
  };
  IssueOutcome outcome = setting.succeed({"a.test"});
  REQUIRE(key_there);
  REQUIRE(noted);
  // An issuer with a line end in its name cannot forge lines.
  REQUIRE(outcome.issuer == "Mock CA");
  require_resumed(setting, ca);
}

TEST_CASE("a key that cannot be kept stops the run before the CA gets the request", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  REQUIRE(CertificateStore::open(setting.folder()));
  REQUIRE(base::create_file(setting.folder() / "archive/a.test", "in the way", 0600));
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Exists, "a file has that name"));
  REQUIRE(ca.server().count("/finalize") == 0);
  REQUIRE_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
}

TEST_CASE("a certificate that could not be fetched is fetched by the next run", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply("/certificate", broken());
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "run it again to go on"));
  REQUIRE(setting.publisher.served.empty());
  // Still broken: nothing is lost by trying.
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "out of order"));
  ca.issue_certificates();
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(setting.steps == std::vector<std::string>{"account", "order", "finalize", "download", "install"});
  REQUIRE(ca.requests.size() == 1);
  require_resumed(setting, ca);
}

TEST_CASE("a certificate that could not be installed is installed by the next run", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  REQUIRE(CertificateStore::open(setting.folder()));
  fs::path in_the_way = setting.folder() / "live/a.test";
  fs::create_directories(in_the_way / "x");
  auto refused = setting.run({"a.test"});
  REQUIRE_FALSE(refused);
  REQUIRE(refused.error().message.find("issued but cannot be installed") != std::string::npos);
  REQUIRE(setting.record("a.test").pending);
  fs::remove_all(in_the_way);
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(ca.requests.size() == 1);
  require_resumed(setting, ca);
}

TEST_CASE("a run that is killed while the CA makes the certificate is gone on with", "[acme]") {
  Setting setting("");
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  // Before the CA's threads are there: a child takes along whatever locks they hold.
  pid_t child = ::fork();
  if (child == 0) {
    std::array<char, 256> url{};
    ssize_t length = ::read(ends[0], url.data(), url.size());
    setting.config.acme.ca.assign(url.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    static_cast<void>(setting.run({"a.test"}));
    ::_exit(0);
  }
  OrderCa ca;
  ca.issue_certificates();
  ca.replies["/finalize"] = [&, before = ca.replies["/finalize"]](const MockRequest& request) {
    ::kill(child, SIGKILL);
    return before(request);
  };
  // Under the mock's lock: what was set above is before what its threads read (the client is no thread of this
  // process).
  REQUIRE(ca.server().requests().empty());
  setting.config.acme.ca = ca.url("/dir");
  const std::string& url = setting.config.acme.ca;
  REQUIRE(::write(ends[1], url.data(), url.size()) == static_cast<ssize_t>(url.size()));
  ::close(ends[0]);
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  setting.publisher.calls.push_back("publish");  // it did, in the child
  static_cast<void>(setting.succeed({"a.test"}));
  require_resumed(setting, ca);
}

TEST_CASE("a request that never reached the CA is sent again with the same key", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  auto finalize = ca.replies["/finalize"];
  ca.replies["/finalize"] = [&](const MockRequest& request) {
    ca.take_request(request);
    return broken();
  };
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "out of order"));
  ca.replies["/finalize"] = finalize;
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(ca.requests.size() == 2);
  require_resumed(setting, ca);
}

TEST_CASE("a request that the CA refuses is not kept", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply("/finalize", MockCa::problem(403, "caa", "CAA forbids it"));
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Refused, "CAA forbids it"));
  REQUIRE(ca.server().count("/order/1") == 2);  // one poll, one look after the refusal
  REQUIRE_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
  REQUIRE(issuances(setting).empty());
}

TEST_CASE("an order that is gone is ordered anew", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply("/certificate", broken());
  REQUIRE_FALSE(setting.run({"a.test"}));
  bool gone = true;
  std::string lost = setting.record("a.test").pending->archive;
  ca.replies["/order/1"] = [&, before = ca.replies["/order/1"]](const MockRequest& request) {
    return std::exchange(gone, false) ? MockCa::problem(404, "malformed", "no such order") : before(request);
  };
  ca.issue_certificates();
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(setting.warnings.size() == 1);
  REQUIRE(setting.warnings.front().find("no such order") != std::string::npos);
  REQUIRE(ca.server().count("/order") == 2);
  REQUIRE(issuances(setting).size() == 1);
  REQUIRE(setting.record("a.test").archive != lost);
}

TEST_CASE("an order whose answer to finalize got lost is gone on with at once", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  ca.replies["/finalize"] = [&](const MockRequest& request) {
    if (!ca.requests.empty()) return MockCa::problem(403, "orderNotReady", "it is not ready");
    ca.take_request(request);
    ca.order = "valid";
    return MockReply{200, {}, "", MockReply::Fault::CutBodyShort};
  };
  static_cast<void>(setting.succeed({"a.test"}));
  require_resumed(setting, ca);
}

TEST_CASE("broken answers while the CA works are no news", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  std::set<std::string> told;
  ca.replies["/order/1"] = [&, before = ca.replies["/order/1"]](const MockRequest& request) {
    return told.insert(ca.order).second ? broken() : before(request);
  };
  ca.replies["/finalize"] = [&](const MockRequest& request) {
    ca.take_request(request);
    ca.order = "valid";
    return MockCa::json(200, ca.order_body("processing"));
  };
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(told == std::set<std::string>{"ready", "valid"});
  require_resumed(setting, ca);
}

TEST_CASE("a CA that is broken to the end of the budget is told with its last words", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.budgets.validation = 100ms;
  ca.reply("/order/1", broken());
  REQUIRE(fails_with(setting.run({"a.test"}), ErrorCode::Timeout, "out of order"));
}

TEST_CASE("a switch that could not be noted is a warning, and is found by the next run", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  fs::path file = setting.folder() / "certificates/a.test.json", aside = setting.folder() / "aside";
  ca.replies["/certificate"] = [&, before = ca.replies["/certificate"]](const MockRequest& request) {
    fs::rename(file, aside);
    fs::create_directories(file / "x");  // no file takes its place
    return before(request);
  };
  IssueOutcome outcome = setting.succeed({"a.test"});
  REQUIRE(outcome.warnings.size() == 1);
  REQUIRE(outcome.warnings.front().find("is installed, but") != std::string::npos);
  fs::remove_all(file);
  fs::rename(aside, file);
  REQUIRE(setting.record("a.test").pending);
  REQUIRE(setting.succeed({"a.test"}).left_alone);
  require_resumed(setting, ca);
}

TEST_CASE("values that two runs could not withdraw are all noted", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  setting.publisher.withdraw_result = base::fail(ErrorCode::Unavailable, "the daemon is gone");
  static_cast<void>(setting.succeed({"a.test"}));
  static_cast<void>(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  REQUIRE(setting.record("a.test").published.size() == 2);
  setting.publisher.withdraw_result = {};
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(setting.record("a.test").published.empty());
}

TEST_CASE("an order that was stopped before its names were proved is gone on with", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  setting.publisher.fence_result = base::fail(ErrorCode::Timeout, "no server answers");
  REQUIRE_FALSE(setting.run({"a.test"}));
  setting.publisher.fence_result = {};
  // What a kill leaves: a record of the order, with values that may be served.
  auto store = *CertificateStore::open(setting.folder());
  CertificateRecord record;
  record.names = {"a.test"};
  record.pending = PendingOrder{ca.url("/order/1"),
                                {"a.test"},
                                ca.url("/dir"),
                                ca.url("/account/1"),
                                "p256",
                                CertificateStore::new_issuance(base::WallTime()),
                                "",
                                {},
                                {}};
  REQUIRE(store.save("a.test", record));
  auto orders = ca.server().count("/order");
  static_cast<void>(setting.succeed({"a.test"}));
  CHECK(ca.server().count("/order") == orders);
  CHECK(setting.record("a.test").order_url == ca.url("/order/1"));
  CHECK_FALSE(setting.record("a.test").pending);
}

TEST_CASE("an unfinished order that cannot be gone on with does not stand in the way", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  ca.reply("/certificate", broken());
  setting.options.profile = "";
  REQUIRE_FALSE(setting.run({"a.test"}));
  REQUIRE(setting.record("a.test").pending);
  SECTION("who insists gets a new one when it cannot be asked for") {
    ca.issue_certificates();
    setting.holds = Holds::None;
    ca.replies["/order/1"] = [first = true, before = ca.replies["/order/1"]](const MockRequest& request) mutable {
      return std::exchange(first, false) ? broken() : before(request);
    };
    static_cast<void>(setting.succeed({"a.test"}));
    CHECK(ca.server().count("/order") == 2);
  }
  SECTION("with other wishes it is another order") {
    ca.issue_certificates();
    setting.options.not_after = "2027-01-01T00:00:00Z";
    static_cast<void>(setting.succeed({"a.test"}));
    CHECK(ca.server().count("/order") == 2);
    CHECK_FALSE(setting.record("a.test").options.not_after);
  }
  SECTION("while its CA is down, the next one is asked") {
    tests::Pebble pebble;
    setting.config.acme.ca_bundle = pebble.ca_file();
    setting.config.acme.fallback_ca = {pebble.directory_url()};
    ca.reply("/dir", broken());
    CHECK(setting.succeed({"a.test"}).ca == pebble.directory_url());
  }
}

TEST_CASE("deploy hooks that failed are run again, with the certificate left alone", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  std::string marker = (setting.state.path / "marker").string();
  setting.options.deploy_hooks = {{"test -e " + marker}};
  CHECK(setting.succeed({"a.test"}).hook_failure.find("exit status 1") != std::string::npos);
  CHECK(setting.record("a.test").deploy_due);
  setting.options = {};
  auto again = setting.succeed({"a.test"});
  CHECK(again.left_alone);
  CHECK_FALSE(again.hook_failure.empty());
  REQUIRE(base::replace_file(marker, "", 0600));
  CHECK(setting.succeed({"a.test"}).hook_failure.empty());
  CHECK_FALSE(setting.record("a.test").deploy_due);
  CHECK(ca.server().count("/order") == 1);
}

TEST_CASE("options that are given with a valid certificate are kept for the next one", "[acme]") {
  OrderCa ca;
  ca.issue_certificates();
  Setting setting(ca.url("/dir"));
  static_cast<void>(setting.succeed({"a.test"}));
  setting.options.key_type = conf::KeyType::P384;
  setting.options.group = "";
  CHECK(setting.succeed({"a.test"}).left_alone);
  REQUIRE(setting.warnings.size() == 1);
  CHECK(setting.warnings.front().find("--force") != std::string::npos);
  CHECK(setting.record("a.test").options.key_type == conf::KeyType::P384);
  CHECK(setting.record("a.test").options.group == "");
  CHECK(setting.succeed({"a.test"}).left_alone);
  CHECK(setting.warnings.size() == 1);
}

TEST_CASE("an order that is gone on with stays at its own CA", "[acme]") {
  OrderCa ca;
  tests::Pebble pebble;
  Setting setting(ca.url("/dir"));
  setting.config.acme.ca_bundle = pebble.ca_file();
  setting.config.acme.fallback_ca = {pebble.directory_url()};
  auto store = *CertificateStore::open(setting.folder());
  CertificateRecord record;
  record.names = {"a.test"};
  record.pending = PendingOrder{ca.url("/order/1"),
                                {"a.test"},
                                ca.url("/dir"),
                                ca.url("/account/1"),
                                "p256",
                                CertificateStore::new_issuance(base::WallTime()),
                                "",
                                {},
                                {}};
  REQUIRE(store.save("a.test", record));
  // The CA itself wants no new try yet.
  auto now = base::SystemClock().wall();
  FailureMemory memory(setting.folder());
  REQUIRE(memory.failed(ca.url("/dir"), {"a.test"}, "too many", now, now + 1h));
  CHECK(setting.succeed({"a.test"}).ca == pebble.directory_url());
  CHECK(ca.server().count("/order/1") == 1);
  CHECK(ca.server().count("/authz") == 0);
}
