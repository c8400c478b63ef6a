#include "acme/issue/ca_sessions.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/mock_ca.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using tests::MockReply;
using tests::MockRequest;

namespace {

conf::Config config_in(const std::filesystem::path& state) {
  conf::Config config;
  config.state_dir = state;
  config.acme.agree_tos = true;
  return config;
}

}  // namespace

TEST_CASE("a directory that failed is not asked for again by every certificate", "[acme]") {
  tests::TemporaryFolder folder;
  tests::MockHttpServer server([](const MockRequest&) { return MockReply{404, {}, "not here"}; });
  CaSessions sessions(config_in(folder.path));
  std::string url = server.url("/directory");
  auto first = sessions.directory(url);
  REQUIRE_FALSE(first);
  for (int i = 0; i < 20; ++i) {
    sessions.begin(url, 2);
    CHECK(sessions.directory(url).error().message == first.error().message);
    CHECK(sessions.account(url).error().code == first.error().code);
  }
  CHECK(server.requests().size() == 1);
  // Another CA is another matter.
  REQUIRE_FALSE(sessions.directory(server.url("/other")));
  CHECK(server.requests().size() == 2);
}

TEST_CASE("a directory that began to be fetched and failed is not asked for again either", "[acme]") {
  tests::TemporaryFolder folder;
  tests::MockHttpServer server([](const MockRequest&) { return MockReply{404, {}, "not here"}; });
  CaSessions sessions(config_in(folder.path));
  std::string url = server.url("/directory");
  for (int i = 0; i < 5; ++i) {
    sessions.begin(url, 2);
    CHECK_FALSE(sessions.account(url));
  }
  CHECK(server.requests().size() == 1);
}

TEST_CASE("an account that the CA refuses is asked for once", "[acme]") {
  tests::TemporaryFolder folder;
  tests::MockCa ca;
  ca.replies["/account"] = [&](const MockRequest&) { return tests::MockCa::problem(403, "unauthorized", "not you"); };
  CaSessions sessions(config_in(folder.path));
  auto first = sessions.account(ca.url("/dir"));
  REQUIRE_FALSE(first);
  INFO(first.error().message);
  CHECK(first.error().message.find("not you") != std::string::npos);
  auto asked = ca.server().count("/account");
  REQUIRE(asked > 0);
  for (int i = 0; i < 20; ++i) CHECK(sessions.account(ca.url("/dir")).error().message == first.error().message);
  CHECK(ca.server().count("/account") == asked);
  // Its directory is no worse for it.
  CHECK(sessions.directory(ca.url("/dir")));
}

TEST_CASE("an account that the CA has forgotten and does not make again is asked for once", "[acme]") {
  tests::TemporaryFolder folder;
  tests::MockCa ca;
  bool refuses = false;
  ca.replies["/account"] = [&](const MockRequest&) {
    if (refuses) return tests::MockCa::problem(403, "unauthorized", "not you");
    MockReply reply = tests::MockCa::json(201, R"({"status":"valid"})");
    reply.headers.emplace_back("Location", ca.url("/account/1"));
    return reply;
  };
  CaSessions sessions(config_in(folder.path));
  auto access = sessions.account(ca.url("/dir"));
  REQUIRE(access);
  refuses = true;
  REQUIRE_FALSE(sessions.account_again(ca.url("/dir"), access->session));
  auto asked = ca.server().count("/account");
  for (int i = 0; i < 20; ++i) CHECK_FALSE(sessions.account_again(ca.url("/dir"), access->session));
  CHECK(ca.server().count("/account") == asked);
}

TEST_CASE("without a thread to be had the error says so, and nothing ends the program", "[acme]") {
#ifdef __SANITIZE_THREAD__
  WARN("skipped: the thread sanitizer allows no threads after a fork");
  return;
#endif
  tests::TemporaryFolder folder;
  tests::MockCa ca;
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // Limits are not root's.
    rlimit none{0, 0};
    if (::setrlimit(RLIMIT_NPROC, &none) != 0 || (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0))
      ::_exit(2);
    CaSessions sessions(config_in(folder.path));
    sessions.begin(ca.url("/dir"), 1);
    auto session = sessions.directory(ca.url("/dir"));
    bool clear = !session && session.error().code == ErrorCode::Unavailable &&
                 session.error().message.find("no thread to be had") != std::string::npos;
    ::_exit(clear ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
