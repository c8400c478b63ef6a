// A run at a CA that does what no good one does, or what a good one does rarely.
#include <cstdlib>

#include "base/files.hpp"
#include "tests/unit/acme/issue_setting.hpp"
#include "tests/unit/acme/order_ca.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using base::ErrorCode;
using tests::MockCa;
using tests::MockReply;
using tests::MockRequest;
using tests::OrderCa;
using tests::Setting;

TEST_CASE("a CA that never ends its validation is given up, and cleaned up", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.publisher.asks_at_once = false;
  setting.budgets.validation = 200ms;
  ca.reply("/challenge", MockCa::json(200, "{}"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Timeout, "did not finish its validation"));
  REQUIRE(setting.publisher.all_published.size() == 1);
  REQUIRE(setting.publisher.served.empty());
  // 10, 20, 40, 80 ms and on: neither one poll nor hundreds.
  REQUIRE(ca.server().count("/order/1") >= 3);
  REQUIRE(ca.server().count("/order/1") <= 8);
}

TEST_CASE("a CA that processes for ever is given up", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.budgets.finalization = 200ms;
  ca.replies["/finalize"] = [&](const MockRequest&) {
    ca.order = "processing";
    return MockCa::json(200, ca.order_body("processing"));
  };
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Timeout, "did not finish the certificate"));
  REQUIRE(setting.publisher.served.empty());
}

TEST_CASE("a certificate for another key is not installed", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  std::string file = (setting.state.path / "other.pem").string();
  std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a.test -addext "
      "subjectAltName=DNS:a.test -keyout /dev/null -out '" +
      file + "' 2>/dev/null";
  REQUIRE(std::system(command.c_str()) == 0);
  ca.reply("/certificate",
           MockReply{200, {{"Content-Type", "application/pem-certificate-chain"}}, *base::read_file(file)});
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Protocol, "another key"));
  REQUIRE_FALSE(fs::exists(setting.folder() / "live/a.test"));
  REQUIRE(setting.publisher.served.empty());
  // It is what the CA has for that order, so the next run gives the order up.
  REQUIRE(setting.record("a.test").pending);
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Protocol, "another key"));
  REQUIRE(setting.warnings.size() == 1);
  REQUIRE(setting.warnings.front().find("is given up") != std::string::npos);
  REQUIRE(ca.server().count("/order") == 2);
}

TEST_CASE("an order that asks for no proof publishes nothing", "[acme]") {
  OrderCa ca;
  ca.order = "ready";
  Setting setting(ca.url("/dir"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused,
                            "/certificate"));  // it serves none; all before went well
  REQUIRE(setting.publisher.called("publish") == 0);
  REQUIRE(ca.server().count("/finalize") == 1);
  REQUIRE(ca.server().count("/authz") == 0);
}

TEST_CASE("an authorization that is valid already is not proved again", "[acme]") {
  OrderCa ca;
  ca.authorization = "valid";
  ca.replies["/authz"] = [&, before = ca.replies["/authz"]](const MockRequest& request) {
    MockReply reply = before(request);
    ca.order = "ready";
    return reply;
  };
  Setting setting(ca.url("/dir"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "/certificate"));
  REQUIRE(setting.publisher.called("publish") == 0);
  REQUIRE(ca.server().count("/challenge") == 0);
}

TEST_CASE("a trigger whose answer got lost is not sent again when the CA has begun", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.replies["/challenge"] = [&](const MockRequest&) {
    bool first = ca.challenge == "pending";
    ca.order = "ready";
    ca.challenge = "processing";
    return first ? MockReply{200, {}, "", MockReply::Fault::CutBodyShort}
                 : MockCa::problem(400, "malformed", "the challenge is not pending");
  };
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "/certificate"));
  REQUIRE(ca.server().count("/finalize") == 1);
}

TEST_CASE("a trigger that the CA refuses stops with the name", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply("/challenge", MockCa::problem(403, "unauthorized", "not yours"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "\"a.test\": challenge"));
  REQUIRE(setting.publisher.served.empty());
}

TEST_CASE("a failed validation names the name even when the order says nothing", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.replies["/challenge"] = [&](const MockRequest&) {
    ca.order = "invalid";
    ca.reply("/authz",
             MockCa::json(
                 200, R"({"status":"invalid","identifier":{"value":"a.test"},"challenges":[{"type":"dns-01",)"
                      R"("error":{"type":"urn:ietf:params:acme:error:dns","detail":"SERVFAIL looking up TXT"}}]})"));
    return MockCa::json(200, "{}");
  };
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "\"a.test\": dns: SERVFAIL looking up TXT"));
}

TEST_CASE("an authorization for a name that nobody ordered is refused", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply("/authz", MockCa::json(200, R"({"status":"pending","identifier":{"value":"evil.test"},"challenges":[]})"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Protocol, "evil.test"));
  REQUIRE(setting.publisher.called("publish") == 0);
}

TEST_CASE("a CA without dns-01 for a name is told", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.reply(
      "/authz",
      MockCa::json(200, R"({"status":"pending","identifier":{"value":"a.test"},"challenges":[{"type":"http-01"}]})"));
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "no dns-01 challenge"));
}

TEST_CASE("Retry-After of a processing order is kept", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.replies["/finalize"] = [&](const MockRequest&) {
    ca.order = "valid";
    MockReply reply = MockCa::json(200, ca.order_body("processing"));
    reply.headers.emplace_back("Retry-After", "1");
    return reply;
  };
  auto start = std::chrono::steady_clock::now();
  REQUIRE_FALSE(setting.run({"a.test"}));
  REQUIRE(std::chrono::steady_clock::now() - start >= 1s);
  REQUIRE(ca.server().count("/certificate") == 1);
}

TEST_CASE("Retry-After of a pending order is kept after one look, and never beyond the budget", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.budgets.validation = 2500ms;
  std::vector<std::chrono::steady_clock::time_point> looks;
  ca.reply("/challenge", MockCa::json(200, "{}"));
  ca.replies["/order/1"] = [&](const MockRequest&) {
    looks.push_back(std::chrono::steady_clock::now());
    MockReply reply = MockCa::json(200, ca.order_body("pending"));
    reply.headers.emplace_back("Retry-After", looks.size() == 1 ? "1" : "600");
    return reply;
  };
  auto start = std::chrono::steady_clock::now();
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Timeout, "did not finish its validation"));
  REQUIRE(std::chrono::steady_clock::now() - start < 5s);
  REQUIRE(looks.size() == 3);
  REQUIRE(looks[0] - start < 900ms);
  REQUIRE(looks[1] - looks[0] >= 1s);
}

TEST_CASE("an order that was used up already says so", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.order = "processing";
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Protocol, "run it again when the order has expired"));
  REQUIRE_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
}

TEST_CASE("a failed order whose authorizations cannot be read says that too", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  ca.replies["/challenge"] = [&](const MockRequest&) {
    ca.order = "invalid";
    ca.reply("/authz", MockCa::problem(404, "malformed", "no such authorization"));
    return MockCa::json(200, "{}");
  };
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Refused, "no such authorization"));
}
