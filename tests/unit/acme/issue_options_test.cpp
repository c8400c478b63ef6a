// What a certificate can be asked for, at a real test CA and at one of ours.
#include <sys/stat.h>

#include "acme/issue/options.hpp"
#include "acme/state/revocation_mark.hpp"
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
using tests::Pebble;
using tests::Setting;

namespace {

std::string text_of(const fs::path& path) {
  auto text = base::read_file(path);
  if (!text) FAIL(text.error().message);
  return *text;
}

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

void run_command(const std::string& command) {
  INFO(command);
  REQUIRE(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
}

// A Pebble with what came after RFC 8555; "" where there is none.
std::string extended_pebble() {
  for (const tests::PebbleRelease& release : tests::pebble_releases())
    if (release.version.starts_with("2.10")) return release.program;
  return {};
}

}  // namespace

TEST_CASE("a certificate's options are kept for the next time, and what is given then goes before", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.options.key_type = conf::KeyType::P384;
  setting.options.pkcs12 = conf::Pkcs12::Modern;
  setting.options.mode = 0640U;
  auto first = setting.succeed({"a.test"});
  CHECK(first.files ==
        std::vector<std::string>{"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "certificate.p12"});
  CHECK(mode_of(first.directory / "privkey.pem") == 0640);
  CHECK(mode_of(first.directory / "certificate.p12") == 0640);
  CHECK(setting.record("a.test").key_type == "p384");
  setting.options = {};
  setting.options.mode = 0600U;
  auto second = setting.succeed({"a.test"}, WhenValid::IssueAgain);
  CHECK(setting.record("a.test").key_type == "p384");
  CHECK(fs::exists(second.directory / "certificate.p12"));
  CHECK(mode_of(second.directory / "privkey.pem") == 0600);
  setting.options = {};
  setting.options.pkcs12 = conf::Pkcs12::None;
  CHECK_FALSE(fs::exists(setting.succeed({"a.test"}, WhenValid::IssueAgain).directory / "certificate.p12"));
}

TEST_CASE("an entry of the configuration goes before what is kept", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.options.key_type = conf::KeyType::P384;
  static_cast<void>(setting.succeed({"a.test"}));
  conf::Certificate entry;
  entry.names = {"A.test"};
  entry.options.key_type = conf::KeyType::Rsa2048;
  setting.config.certificates = {entry};
  setting.options = {};
  static_cast<void>(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  CHECK(setting.record("a.test").key_type == "rsa2048");
}

TEST_CASE("a key is used again only when that is asked for, it is of the type, and nobody else has it", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  auto key = [&](const IssueOutcome& outcome) { return text_of(outcome.directory / "privkey.pem"); };
  std::string first = key(setting.succeed({"a.test"}));
  std::string second = key(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  CHECK(first != second);
  setting.options.reuse_key = true;
  CHECK(key(setting.succeed({"a.test"}, WhenValid::IssueAgain)) == second);
  setting.options.key_type = conf::KeyType::P384;
  std::string other = key(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  CHECK(other != second);
  CHECK(key(setting.succeed({"a.test"}, WhenValid::IssueAgain)) == other);
  // Revoked: not left alone any more, and for that reason with a new key.
  REQUIRE(mark_revoked(setting.folder() / "live/a.test", {RevocationReason::Superseded, "2026-11-22T10:00:00Z"}));
  auto superseded = setting.succeed({"a.test"});
  CHECK_FALSE(superseded.left_alone);
  CHECK(key(superseded) == other);
  REQUIRE(mark_revoked(setting.folder() / "live/a.test", {RevocationReason::KeyCompromise, "2026-11-22T10:00:00Z"}));
  auto safe = setting.succeed({"a.test"});
  CHECK_FALSE(safe.left_alone);
  CHECK(key(safe) != other);
  CHECK(setting.succeed({"a.test"}).left_alone);
}

TEST_CASE("a certificate for somebody else's signing request has no key here", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  std::string csr = (setting.state.path / "a.csr").string(), key = (setting.state.path / "a.key").string();
  run_command(
      "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -addext "
      "subjectAltName=DNS:a.test,DNS:*.a.test -keyout " +
      key + " -out " + csr);
  setting.options.csr = csr;
  auto outcome = setting.succeed({}, WhenValid::LeaveAlone, "a.test");
  CHECK(outcome.files == std::vector<std::string>{"cert.pem", "chain.pem", "fullchain.pem"});
  CHECK_FALSE(fs::exists(outcome.directory / "privkey.pem"));
  run_command("test \"$(openssl x509 -in " + (outcome.directory / "cert.pem").string() +
              " -noout -pubkey)\" = \"$(openssl pkey -in " + key + " -pubout)\"");
  // Left alone while the request is the same, and issued again for another key.
  CHECK(setting.succeed({}, WhenValid::LeaveAlone, "a.test").left_alone);
  run_command(
      "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -addext "
      "subjectAltName=DNS:a.test,DNS:*.a.test -keyout " +
      key + " -out " + csr);
  CHECK_FALSE(setting.succeed({}, WhenValid::LeaveAlone, "a.test").left_alone);
  // Other names than the request's cannot be had with it.
  REQUIRE(tests::fails_with(setting.run({"b.test"}, WhenValid::LeaveAlone, "b"), ErrorCode::Usage, "other names"));
  setting.options.csr = (setting.state.path / "missing.csr").string();
  REQUIRE(tests::fails_with(setting.run({}), ErrorCode::Usage, "missing.csr"));
}

TEST_CASE("a rehearsal publishes and looks, and orders nothing", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  auto request = setting.request({"a.test", "*.a.test"});
  request.rehearsal = Rehearsal::Yes;
  auto result = setting.run_all({request}).front();
  if (!result) FAIL(result.error().message);
  CHECK(result->rehearsed);
  CHECK(setting.publisher.all_published.size() == 2);
  CHECK(setting.publisher.served.empty());
  CHECK(setting.publisher.called("fence") == 1);
  CHECK(ca.server().count("/order") == 0);
  CHECK(ca.server().count("/account") == 0);
  CHECK_FALSE(fs::exists(setting.folder() / "certificates/a.test.json"));
  setting.publisher.fence_result = base::fail(ErrorCode::Timeout, "no server answers");
  REQUIRE(tests::fails_with(setting.run_all({request}).front(), ErrorCode::Timeout, "no server answers"));
  CHECK(setting.publisher.served.empty());
}

TEST_CASE("a CA that is down is followed by the next of the list", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.config.acme.ca = "https://127.0.0.1:1/dir";
  setting.config.acme.fallback_ca = {"https://127.0.0.1:2/dir", pebble.directory_url()};
  auto outcome = setting.succeed({"a.test"});
  CHECK(outcome.ca == pebble.directory_url());
  CHECK(setting.record("a.test").directory_url == pebble.directory_url());
  CHECK(setting.warnings.size() == 2);
  // A CA that was asked for by name has no deputy.
  setting.options.ca = "https://127.0.0.1:1/dir";
  CHECK_FALSE(setting.run({"b.test"}));
}

TEST_CASE("a CA that refuses is followed by the next, one that cannot find a name is not", "[acme]") {
  Pebble pebble;
  OrderCa ca;
  Setting setting(pebble);
  setting.config.acme.ca = ca.url("/dir");
  setting.config.acme.fallback_ca = {pebble.directory_url()};
  auto refuse = [&](const char* type) {
    ca.order = "pending";
    ca.replies["/order/1"] = [&](const MockRequest&) { return MockCa::json(200, ca.order_body("invalid")); };
    ca.replies["/authz"] = [&ca, type, first = true](const MockRequest&) mutable {
      std::string status = first ? "pending" : "invalid";
      first = false;
      return MockCa::json(200, fmt::format(R"({{"status":"{}","identifier":{{"type":"dns","value":"a.test"}},)"
                                           R"("challenges":[{{"type":"dns-01","url":"{}","token":"abc","status":"{}",)"
                                           R"("error":{{"type":"urn:ietf:params:acme:error:{}","detail":"no"}}}}]}})",
                                           status, ca.url("/challenge"), status, type));
    };
  };
  refuse("caa");
  CHECK(setting.succeed({"a.test"}).ca == pebble.directory_url());
  refuse("dns");
  REQUIRE(tests::fails_with(setting.run({"a.test"}, WhenValid::IssueAgain), ErrorCode::Refused, "could not validate"));
  CHECK(setting.publisher.served.empty());
}

TEST_CASE("names that the CA cannot validate are dropped when that is asked for, and tried again later", "[acme]") {
  tests::Environment environment{{"PEBBLE_VA_ALWAYS_VALID", ""}, {"PEBBLE_VA_NOSLEEP", "1"}};
  Pebble pebble(environment);
  Setting setting(pebble);
  setting.options.drop_failed = true;
  // Nothing can be validated here, so nothing is left to go on with.
  REQUIRE(tests::fails_with(setting.run({"a.test", "b.test"}), ErrorCode::Refused, "could not validate 2 of 2"));
  CHECK(setting.publisher.served.empty());
  CHECK(setting.attempts.size() == 1);
}

TEST_CASE("a name that newOrder refuses is dropped by its subproblem", "[acme]") {
  Pebble pebble({}, R"("domainBlocklist": ["blocked-domain.example"])");
  Setting setting(pebble);
  setting.options.drop_failed = true;
  auto result = setting.run({"a.test", "blocked-domain.example"});
  if (!result) {
    // This release names no subproblem: then nothing is known of which name it is, and nothing is dropped.
    CHECK(result.error().code == ErrorCode::Refused);
    return;
  }
  CHECK(result->names == std::vector<std::string>{"a.test"});
  CHECK(result->dropped == std::vector<std::string>{"blocked-domain.example"});
}

TEST_CASE("what the CA said must wait, waits, and what a name failed at is remembered", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.holds = Holds::CaOnly;
  ca.replies["/order"] = [](const MockRequest&) {
    MockReply reply = MockCa::problem(429, "rateLimited", "too many");
    reply.headers.emplace_back("Retry-After", "3600");
    return reply;
  };
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "too many"));
  auto asked = ca.server().count("/order");
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "before 20"));
  CHECK(ca.server().count("/order") == asked);
  // Another name is another matter, and --force goes through.
  REQUIRE(tests::fails_with(setting.run({"b.test"}), ErrorCode::Unavailable, "too many"));
  setting.holds = Holds::None;
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Unavailable, "too many"));
  CHECK(ca.server().count("/order") > asked + 1);
}

TEST_CASE("a profile is asked for by its name, and one that the CA lacks is not ordered", "[acme]") {
  OrderCa ca;
  Setting setting(ca.url("/dir"));
  setting.options.profile = "short";
  REQUIRE(tests::fails_with(setting.run({"a.test"}), ErrorCode::Usage, "no profile \"short\""));
  CHECK(ca.server().count("/order") == 0);
  if (extended_pebble().empty()) {
    WARN("no Pebble with profiles here");
    return;
  }
  Pebble pebble({},
                R"("profiles": {"short": {"description": "an hour", "validityPeriod": 3600},)"
                R"( "long": {"description": "a day", "validityPeriod": 86400}})",
                "", extended_pebble());
  Setting real(pebble);
  real.options.profile = "short";
  auto outcome = real.succeed({"a.test"});
  auto until = base::parse_rfc3339(outcome.not_after);
  REQUIRE(until);
  CHECK(*until < base::SystemClock().wall() + 2h);
}

TEST_CASE("a renewal names the certificate that it replaces", "[acme]") {
  if (extended_pebble().empty()) {
    WARN("no Pebble with RFC 9773 here");
    return;
  }
  Pebble pebble({}, "", "", extended_pebble());
  Setting setting(pebble);
  static_cast<void>(setting.succeed({"a.test"}));
  auto store = *CertificateStore::open(setting.folder());
  std::string id = store.live_chain("a.test")->ari_id();
  CertificateRecord before = setting.record("a.test");
  static_cast<void>(setting.succeed({"a.test"}, WhenValid::IssueAgain));
  // The first is replaced now: a CA refuses a second replacement, and the order is placed without it.
  CertificateRecord after = setting.record("a.test");
  after.archive = before.archive;
  REQUIRE(store.switch_live("a.test", after));
  REQUIRE(store.live_chain("a.test")->ari_id() == id);
  CHECK_FALSE(setting.succeed({"a.test"}, WhenValid::IssueAgain).left_alone);
}

TEST_CASE("the experimental challenges are answered at their own names", "[acme]") {
  if (extended_pebble().empty()) {
    WARN("no Pebble with dns-account-01 and dns-persist-01 here");
    return;
  }
  Pebble pebble({}, "", "", extended_pebble());
  Setting setting(pebble);
  setting.options.challenge = conf::ChallengeType::DnsAccount01;
  static_cast<void>(setting.succeed({"a.test"}));
  REQUIRE(setting.publisher.asked_places.size() == 1);
  CHECK(setting.publisher.asked_places.front().ends_with("._acme-challenge.a.test"));
  CHECK(setting.publisher.served.empty());

  setting.options.challenge = conf::ChallengeType::DnsPersist01;
  setting.publisher.asked_places.clear();
  static_cast<void>(setting.succeed({"b.test", "*.b.test"}));
  CHECK(setting.publisher.asked_places.front() == "_validation-persist.b.test");
  // One record for both, and it stays.
  REQUIRE(setting.publisher.served.size() == 1);
  std::string standing = setting.publisher.served.front().value;
  CHECK(standing.find("accounturi=" + setting.record("b.test").account_url) != std::string::npos);
  CHECK(standing.find("policy=wildcard") != std::string::npos);
  CHECK(standing.find("persistUntil=") != std::string::npos);
  CHECK(setting.record("b.test").standing.size() == 1);
  CHECK(setting.publisher.lifetimes.back() > 300 * 24h);
  // While it is good for long, the next issuance leaves it as it is; one that ends soon is followed by another.
  std::this_thread::sleep_for(1100ms);
  static_cast<void>(setting.succeed({"b.test", "*.b.test"}, WhenValid::IssueAgain));
  REQUIRE(setting.publisher.served.size() == 1);
  CHECK(setting.publisher.served.front().value == standing);
  auto store = *CertificateStore::open(setting.folder());
  CertificateRecord record = setting.record("b.test");
  std::string old = standing.substr(0, standing.find("persistUntil=")) + "persistUntil=1800000000";
  record.standing.front().value = setting.publisher.served.front().value = old;
  REQUIRE(store.save("b.test", record));
  static_cast<void>(setting.succeed({"b.test", "*.b.test"}, WhenValid::IssueAgain));
  REQUIRE(setting.publisher.served.size() == 1);
  CHECK(setting.publisher.served.front().value != old);
  CHECK(setting.record("b.test").standing.size() == 1);
  // What proves names in another way needs it no more.
  setting.options.challenge = conf::ChallengeType::Dns01;
  static_cast<void>(setting.succeed({"b.test", "*.b.test"}, WhenValid::IssueAgain));
  CHECK(setting.publisher.served.empty());
  CHECK(setting.record("b.test").standing.empty());
}

TEST_CASE("options are merged one by one, and every default is filled in", "[acme]") {
  conf::Acme acme;
  acme.fallback_ca = {"zerossl"};
  acme.deploy_hooks = {"a"};
  IssueOptions plain = resolved(acme, {});
  CHECK(plain.cas == std::vector<std::string>{"letsencrypt", "zerossl"});
  CHECK(plain.mode == 0600);
  conf::CertificateOptions under, over;
  under.group = "web";
  under.deploy_hooks = {{"b"}};
  over.ca = "google";
  IssueOptions options = resolved(acme, merged(under, over));
  CHECK(options.cas == std::vector<std::string>{"google"});
  CHECK(options.mode == 0640);
  CHECK(options.deploy_hooks == std::vector<std::string>{"a", "b"});
  over.deploy_hooks = {{""}};
  CHECK(resolved(acme, merged(under, over)).deploy_hooks == std::vector<std::string>{"a"});
}

TEST_CASE("a record says again what it was told, also where that is nothing", "[acme]") {
  CertificateRecord record;
  record.names = {"a.test"};
  record.dropped = {"b.test"};
  conf::CertificateOptions& options = record.options;
  options.ca = "";
  options.fallback_ca = std::vector<std::string>{};
  options.key_type = conf::KeyType::Rsa3072;
  options.profile = options.preferred_chain = options.csr = options.pkcs12_password_file = "";
  options.group = options.not_before = options.not_after = options.server = options.credentials = "";
  options.challenge = conf::ChallengeType::DnsPersist01;
  options.reuse_key = options.drop_failed = false;
  options.pkcs12 = conf::Pkcs12::Legacy;
  options.mode = 0640U;
  options.deploy_hooks = {{"", "a \"b\"\n"}};
  record.deploy_due = true;
  record.server = "https://v.test";
  record.pending = PendingOrder{"https://ca/1",         {"a.test"}, "https://ca/",
                                "https://ca/me",        "p256",     CertificateStore::new_issuance(base::WallTime()),
                                "2026-11-22T10:00:00Z", {"b.test"}, options};
  auto again = parse_record(record_document(record), "x");
  if (!again) FAIL(again.error().message);
  CHECK(again->options == options);
  CHECK(again->pending->options == options);
  CHECK(again->pending->dropped == record.pending->dropped);
  CHECK(again->pending->created == record.pending->created);
  CHECK(again->dropped == record.dropped);
  CHECK(again->deploy_due);
  CHECK(again->server == record.server);
  CHECK(record_document(*again) == record_document(record));
}

TEST_CASE("a name that lost its delegation is dropped where that is asked for", "[acme]") {
  Pebble pebble;
  Setting setting(pebble);
  setting.publisher.undelegated = "b.test";
  REQUIRE(tests::fails_with(setting.run({"a.test", "b.test"}), ErrorCode::NotFound, "b.test"));
  setting.options.drop_failed = true;
  auto outcome = setting.succeed({"a.test", "b.test"});
  CHECK(outcome.names == std::vector<std::string>{"a.test"});
  CHECK(outcome.dropped == std::vector<std::string>{"b.test"});
  // Both what was asked for and what came of it are this certificate.
  CHECK(setting.succeed({"a.test", "b.test"}).left_alone);
  CHECK(setting.succeed({"a.test"}).left_alone);
  REQUIRE(tests::fails_with(setting.run({"b.test"}), ErrorCode::NotFound, "b.test"));
}
