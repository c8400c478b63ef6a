#include "acme/check/fence.hpp"

#include <atomic>

#include "tests/support/catch.hpp"
#include "tests/unit/acme/fake_name_server.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using std::chrono::milliseconds;
using test::Asked;
using test::FakeNameServer;
using test::Says;

namespace {

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

const base::Name kZone = base::Name::parse("auth.example.test").value();
const std::vector<TxtValue> kValues{{base::Name::parse("www.auth.example.test").value(), "one"},
                                    {base::Name::parse("www.auth.example.test").value(), "two"},
                                    {base::Name::parse("mail.auth.example.test").value(), "three"}};

const Says kWww{
    .aa = true,
    .answer = {"www.auth.example.test TXT one", "www.auth.example.test TXT stale", "www.auth.example.test TXT two"}};
const Says kMail{.aa = true, .answer = {"mail.auth.example.test TXT three"}};

FakeNameServer::Handler right() {
  return test::table({{"www.auth.example.test TXT", kWww}, {"mail.auth.example.test TXT", kMail}});
}

// A resolver that knows name servers at these addresses.
FakeNameServer::Handler resolver_of(const std::vector<std::string>& addresses) {
  std::map<std::string, Says> entries;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    std::string server = "ns" + std::to_string(i) + ".auth.example.test";
    entries["auth.example.test NS"].answer.push_back("auth.example.test NS " + server);
    entries[server + " A"] = {.answer = {server + " A " + addresses[i]}};
  }
  return test::table(entries);
}

base::Result<FenceReport> fence(const FakeNameServer& resolver, const std::vector<base::SocketAddress>& daemon,
                                milliseconds patience = milliseconds(0)) {
  return await_visibility(kValues, {kZone}, {resolver.address()}, daemon, patience);
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the fence passes when every name server has every value", "[acme][check]") {
  FakeNameServer first(right());
  FakeNameServer second(right(), "127.0.0.2");
  FakeNameServer resolver(resolver_of({"127.0.0.1", "127.0.0.2"}));
  auto report = fence(resolver, {first.address(), second.address()});
  REQUIRE(report);
  CHECK(report->asked.size() == 2);
  CHECK(report->warnings.empty());
  CHECK(report->questions ==
        std::map<base::Name, std::size_t>{{name("www.auth.example.test"), 2}, {name("mail.auth.example.test"), 2}});
  CHECK(first.log().size() == 2);
  CHECK_FALSE(first.log()[0].recursion);
}

TEST_CASE("a name server that has not all values fails the fence and is named", "[acme][check]") {
  FakeNameServer first(right());
  FakeNameServer second(
      test::table({{"www.auth.example.test TXT", {.aa = true, .answer = {"www.auth.example.test TXT one"}}},
                   {"mail.auth.example.test TXT", kMail}}),
      "127.0.0.2");
  FakeNameServer resolver(resolver_of({"127.0.0.1", "127.0.0.2"}));
  auto report = fence(resolver, {first.address(), second.address()}, milliseconds(50));
  REQUIRE_FALSE(report);
  CHECK(report.error().code == ErrorCode::Protocol);
  CHECK(contains(report.error().message, second.address().text()));
  CHECK(contains(report.error().message,
                 "answers www.auth.example.test TXT with TXT \"one\", expected \"one\", \"two\""));
  CHECK(second.log().size() > 2);
}

TEST_CASE("NXDOMAIN, REFUSED and a lame server fail the fence", "[acme][check]") {
  auto said = [](const Says& says) {
    FakeNameServer server([&](const Asked& asked) -> std::vector<std::string> { return {reply_to(asked, says)}; });
    FakeNameServer resolver(resolver_of({"127.0.0.1"}));
    auto report = fence(resolver, {server.address()});
    REQUIRE_FALSE(report);
    CHECK(report.error().code == ErrorCode::Protocol);
    return report.error().message;
  };
  CHECK(contains(said({.rcode = dns::kNxDomain, .aa = true}), "with NXDOMAIN, expected"));
  CHECK(contains(said({.rcode = dns::kRefused, .ede = {{20, ""}}}),
                 "with REFUSED (EDE 20, not authoritative), expected"));
  CHECK(contains(said({.aa = true}), "with no TXT record, expected"));
  CHECK(contains(said({.aa = false,
                       .answer = {"www.auth.example.test TXT one", "www.auth.example.test TXT two",
                                  "mail.auth.example.test TXT three"}}),
                 "AA is not set"));
}

TEST_CASE("a server that lags behind is waited for", "[acme][check]") {
  std::atomic<int> looks{0};
  auto later = right();
  FakeNameServer server([&](const Asked& asked) -> std::vector<std::string> {
    if (++looks <= 4) return {reply_to(asked, {.rcode = dns::kNxDomain, .aa = true})};
    return later(asked);
  });
  FakeNameServer resolver(resolver_of({"127.0.0.1"}));
  auto report = fence(resolver, {server.address()}, milliseconds(10'000));
  REQUIRE(report);
  CHECK(looks > 4);
}

TEST_CASE("an unreachable name server only warns while another one answers", "[acme][check]") {
  FakeNameServer server(right());
  auto dead = test::closed_port();
  FakeNameServer resolver(resolver_of({"127.0.0.1", "127.0.0.9"}));
  auto unreachable = base::SocketAddress::parse("127.0.0.9:" + std::to_string(dead.port())).value();
  auto report = fence(resolver, {server.address(), unreachable});
  REQUIRE(report);
  CHECK(report->asked.size() == 1);
  REQUIRE(report->warnings.size() == 1);
  CHECK(contains(report->warnings[0], "127.0.0.9"));
}

TEST_CASE("when no name server can be asked the daemon's own answer counts, with warnings", "[acme][check]") {
  FakeNameServer server(right());
  auto dead = test::closed_port();
  auto unreachable = base::SocketAddress::parse("127.0.0.9:" + std::to_string(dead.port())).value();
  FakeNameServer resolver(resolver_of({"127.0.0.9"}));
  auto report = fence(resolver, {unreachable, server.address()});
  REQUIRE(report);
  CHECK(report->warnings.size() == 2);
  CHECK(contains(report->warnings.back(), "only the daemon itself was asked"));

  auto nobody = fence(resolver, {unreachable});
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().code == ErrorCode::Unavailable);
}

TEST_CASE("a zone whose name servers the resolver does not find is asked at the daemon", "[acme][check]") {
  FakeNameServer server(right());
  FakeNameServer resolver([](const Asked& asked) -> std::vector<std::string> {
    return {reply_to(asked, {.rcode = dns::kServFail, .ede = {{22, ""}}})};
  });
  // A wildcard address stands for loopback.
  auto wildcard = base::SocketAddress::parse("0.0.0.0:" + std::to_string(server.address().port())).value();
  auto report = fence(resolver, {wildcard});
  REQUIRE(report);
  REQUIRE(report->warnings.size() == 1);
  CHECK(contains(report->warnings[0], "EDE 22, no reachable authority"));
}

TEST_CASE("glue in the additional section is used when the resolver has no address", "[acme][check]") {
  FakeNameServer server(right());
  FakeNameServer resolver(test::table({{"auth.example.test NS",
                                        {.answer = {"auth.example.test NS ns1.auth.example.test"},
                                         .additional = {"ns1.auth.example.test A 127.0.0.1"}}}}));
  auto report = fence(resolver, {server.address()});
  REQUIRE(report);
  CHECK(report->warnings.empty());
  CHECK(report->asked.size() == 1);
}

TEST_CASE("a value outside the given zones is refused before anybody is asked", "[acme][check]") {
  FakeNameServer resolver(resolver_of({}));
  auto report = await_visibility({{name("www.other.test"), "x"}}, {kZone}, {resolver.address()}, {}, milliseconds(0));
  REQUIRE_FALSE(report);
  CHECK(report.error().code == ErrorCode::Invalid);
  CHECK(resolver.log().empty());
}
