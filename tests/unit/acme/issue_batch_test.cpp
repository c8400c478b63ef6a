// Many certificates in one run.
#include <set>

#include "base/files.hpp"
#include "tests/unit/acme/issue_setting.hpp"
#include "tests/unit/acme/order_ca.hpp"

using namespace countersign;
using namespace countersign::acme;
namespace fs = std::filesystem;
using base::ErrorCode;
using tests::Pebble;
using tests::Setting;

namespace {

std::vector<IssueRequest> requests_for(const Setting& setting, int count) {
  std::vector<IssueRequest> requests;
  for (int i = 0; i < count; ++i) {
    std::string name = fmt::format("n{}.test", i);
    requests.push_back(setting.request({name, "*." + name}));
  }
  return requests;
}

}  // namespace

TEST_CASE("every value is published before the first challenge of a batch is triggered", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  auto results = setting.run_all(requests_for(setting, 20), 6);
  REQUIRE(results.size() == 20);
  for (const auto& result : results) {
    if (!result) FAIL(result.error().message);
    CHECK(fs::exists(result->directory / "fullchain.pem"));
  }
  auto last_publish = std::find(setting.publisher.calls.rbegin(), setting.publisher.calls.rend(), "publish").base();
  auto first_watch = std::find(setting.publisher.calls.begin(), setting.publisher.calls.end(), "watch");
  CHECK(last_publish <= first_watch);
  CHECK(setting.publisher.called("publish") == 20);
  CHECK(setting.publisher.all_published.size() == 40);
  CHECK(setting.publisher.served.empty());
  CHECK(std::set<std::size_t>(setting.finished.begin(), setting.finished.end()).size() == 20);
  CHECK(setting.finished.size() == 20);
  // One account for all of them.
  CHECK(std::count(setting.steps.begin(), setting.steps.end(), "account") == 1);
}

TEST_CASE("a certificate of a batch that fails stops no other", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.publisher.undelegated = "n1.test";
  auto requests = requests_for(setting, 4);
  requests[2].cert_name = "bad/name";
  requests[2].cert_name_given = true;
  auto results = setting.run_all(requests, 3);
  CHECK(results[0].has_value());
  REQUIRE_FALSE(results[1]);
  CHECK(results[1].error().code == ErrorCode::NotFound);
  REQUIRE_FALSE(results[2]);
  CHECK(results[2].error().code == ErrorCode::Usage);
  CHECK(results[3].has_value());
  CHECK(setting.publisher.served.empty());
}

TEST_CASE("two certificates with one name in a batch do not get into each other's way", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  std::vector<IssueRequest> requests{setting.request({"a.test"}), setting.request({"a.test"})};
  auto results = setting.run_all(requests, 2);
  // The second finds the lock held.
  CHECK(results[0].has_value() != results[1].has_value());
  for (const auto& result : results)
    if (!result) CHECK(result.error().code == ErrorCode::Exists);
}

TEST_CASE("failure hooks run for each certificate that failed, pre hooks once", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  std::string log = (setting.state.path / "log").string();
  setting.config.acme.pre_hooks = {"echo pre >> " + log};
  setting.config.acme.deploy_hooks = {"echo deploy $COUNTERSIGN_CERT $RENEWED_LINEAGE >> " + log};
  setting.config.acme.failure_hooks = {"echo failure $COUNTERSIGN_CERT \"$COUNTERSIGN_ERROR\" >> " + log};
  setting.publisher.undelegated = "n1.test";
  auto results = setting.run_all(requests_for(setting, 3), 3);
  std::string text = *base::read_file(log);
  auto count = [&](const std::string& part) {
    int found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  INFO(text);
  CHECK(count("pre\n") == 1);
  CHECK(count("deploy n0.test " + (setting.folder() / "live/n0.test").string()) == 1);
  CHECK(count("deploy n2.test") == 1);
  CHECK(count("deploy n1.test") == 0);
  CHECK(count("failure n1.test") == 1);
  CHECK(count("failure") == 1);
}

TEST_CASE("a pre hook that fails stops everything before anything is ordered", "[acme]") {
  tests::OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.config.acme.pre_hooks = {"exit 3"};
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "exit status 3"));
  CHECK(ca.server().count("/order") == 0);
  CHECK(setting.publisher.called("publish") == 0);
}

TEST_CASE("a deploy hook that fails is told, and the certificate stays", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.options.deploy_hooks = {{"exit 5"}};
  auto outcome = setting.succeed({"a.test"});
  CHECK(outcome.hook_failure.find("exit status 5") != std::string::npos);
  CHECK(fs::exists(outcome.directory / "privkey.pem"));
}
