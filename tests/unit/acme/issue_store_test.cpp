// Accounts, certificates and locks on the disk.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acme/issue/account_store.hpp"
#include "acme/issue/certificate_store.hpp"
#include "acme/issue/run_lock.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pebble.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using tests::TemporaryFolder;

namespace {

Session open_session(const tests::Pebble& pebble) {
  HttpOptions options;
  options.ca_bundle = pebble.ca_file();
  auto session = Session::open(pebble.directory_url(), options);
  if (!session) FAIL(session.error().message);
  return *std::move(session);
}

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

const AccountStore::Consent kAgreed{{}, Terms::Agreed};

}  // namespace

TEST_CASE("an account's folder is named for its directory and stays inside", "[acme]") {
  auto folder = [](const std::string& url) { return AccountStore::open("/s", url)->folder().string(); };
  REQUIRE(folder("https://ca.example/directory") == "/s/accounts/ca.example_443/directory");
  REQUIRE(folder("https://127.0.0.1:14000/dir") == "/s/accounts/127.0.0.1_14000/dir");
  REQUIRE(folder("https://ca.example/v2//DV90?a=b") == "/s/accounts/ca.example_443/v2/DV90%3Fa%3Db");
  REQUIRE(folder("https://[2001:db8::1]/d") == "/s/accounts/2001%3Adb8%3A%3A1_443/d");
  // libcurl resolves dot segments; encoded ones stay what they are.
  REQUIRE(folder("https://ca.example/a/../../../etc") == "/s/accounts/ca.example_443/etc");
  REQUIRE(folder("https://ca.example/%2e%2e/x").find("..") == std::string::npos);
}

TEST_CASE("an account is made once, kept, and found by its key when its URL is lost", "[acme]") {
  tests::Pebble pebble;
  TemporaryFolder state;
  auto store = AccountStore::open(state.path, pebble.directory_url());
  REQUIRE(store);
  Session first = open_session(pebble);
  auto made = store->use(first, kAgreed);
  REQUIRE(made);
  REQUIRE(made->ends_with("(new)"));
  REQUIRE(mode_of(store->folder() / "key.pem") == 0600);
  REQUIRE(mode_of(store->folder() / "account.json") == 0600);
  REQUIRE(mode_of(store->folder()) == 0700);

  Session second = open_session(pebble);
  REQUIRE(store->use(second, {}));  // needs no consent again
  REQUIRE(second.account_url() == first.account_url());

  // Killed between newAccount and the writing of its URL.
  fs::remove(store->folder() / "account.json");
  Session third = open_session(pebble);
  auto found = store->use(third, {});
  REQUIRE(found);
  REQUIRE(found->ends_with("(found by its key)"));
  REQUIRE(third.account_url() == first.account_url());
}

TEST_CASE("without consent no account and no key is made", "[acme]") {
  tests::Pebble pebble;
  TemporaryFolder state;
  auto store = AccountStore::open(state.path, pebble.directory_url());
  Session session = open_session(pebble);
  auto refused = store->use(session, {});
  REQUIRE(refused.error().code == base::ErrorCode::Refused);
  REQUIRE(refused.error().message.find("--agree-tos") != std::string::npos);
  REQUIRE_FALSE(fs::exists(store->folder() / "key.pem"));
}

TEST_CASE("a key that no account has is used for a new one", "[acme]") {
  tests::Pebble pebble;
  TemporaryFolder state;
  auto store = AccountStore::open(state.path, pebble.directory_url());
  // Killed before newAccount was sent.
  auto key = PrivateKey::generate(conf::KeyType::P256);
  REQUIRE(base::make_directories(store->folder(), 0700));
  REQUIRE(base::create_file(store->folder() / "key.pem", *key->to_pem(), 0600));
  Session session = open_session(pebble);
  REQUIRE(store->use(session, kAgreed));
  REQUIRE(session.key().thumbprint() == key->thumbprint());
}

TEST_CASE("broken account files are named and not overwritten", "[acme]") {
  tests::Pebble pebble;
  TemporaryFolder state;
  auto store = AccountStore::open(state.path, pebble.directory_url());
  REQUIRE(base::make_directories(store->folder(), 0700));
  REQUIRE(base::create_file(store->folder() / "key.pem", "garbage", 0600));
  Session session = open_session(pebble);
  auto broken = store->use(session, kAgreed);
  REQUIRE(broken.error().code == base::ErrorCode::Invalid);
  REQUIRE(broken.error().message.find("key.pem") != std::string::npos);
  REQUIRE(base::read_file(store->folder() / "key.pem") == "garbage");
  REQUIRE(base::create_file(store->folder() / "account.json", "{}", 0600));
  broken = store->use(session, kAgreed);
  REQUIRE(broken.error().message.find("account.json") != std::string::npos);
}

TEST_CASE("a record survives its file, and a broken file is named", "[acme]") {
  TemporaryFolder state;
  auto store = CertificateStore::open(state.path / "acme");
  REQUIRE(store);
  REQUIRE(store->load("a.test")->has_value() == false);
  CertificateRecord record;
  record.names = {"a.test", "*.a.test"};
  record.order_url = "https://ca/\"quoted\"";
  record.archive = "x";
  record.published = {{*base::Name::parse("a.test.auth.test"), "value"}};
  REQUIRE(store->save("a.test", record));
  REQUIRE(mode_of(state.path / "acme/certificates/a.test.json") == 0600);
  auto loaded = store->load("a.test");
  REQUIRE(loaded);
  REQUIRE((*loaded)->names == record.names);
  REQUIRE((*loaded)->order_url == record.order_url);
  REQUIRE((*loaded)->published.front().name == record.published.front().name);
  REQUIRE_FALSE((*loaded)->pending);
  record.pending = PendingOrder{"https://ca/1",  {"b.test"}, "https://ca/",
                                "https://ca/me", "p256",     CertificateStore::new_issuance(base::WallTime())};
  REQUIRE(store->save("a.test", record));
  loaded = store->load("a.test");
  REQUIRE((*loaded)->pending->url == record.pending->url);
  REQUIRE((*loaded)->pending->names == record.pending->names);
  REQUIRE((*loaded)->pending->account_url == record.pending->account_url);
  REQUIRE((*loaded)->pending->archive == record.pending->archive);
  for (const char* broken :
       {"", "[]", "{}", R"({"names":"a"})", R"({"names":["a"],"published":[{"name":"a..b","value":"x"}]})",
        R"({"names":["a"],"pending_order":{"url":"u","names":["a"],"ca":"c","account":"a","key_type":"p256",)"
        R"("archive":"../../../etc"}})"}) {
    REQUIRE(base::replace_file(state.path / "acme/certificates/a.test.json", broken, 0600));
    auto refused = store->load("a.test");
    REQUIRE(refused.error().code == base::ErrorCode::Invalid);
    REQUIRE(refused.error().message.find("a.test.json") != std::string::npos);
  }
}

TEST_CASE("names of certificates are safe as file names", "[acme]") {
  for (const char* good : {"a", "example.com", "0-a_b.c"}) REQUIRE(check_cert_name(good));
  for (const std::string& bad : {std::string(), std::string("."), std::string("../x"), std::string("A"),
                                 std::string("a/b"), std::string("-a"), std::string(201, 'a')})
    REQUIRE(check_cert_name(bad).error().code == base::ErrorCode::Invalid);
}

TEST_CASE("a certificate is due with a third of its lifetime left, a short one with half", "[acme]") {
  base::WallTime start{};
  REQUIRE(renewal_time(start, start + 24h * 90) == start + 24h * 60);
  REQUIRE(renewal_time(start, start + 160h) == start + 80h);
}

TEST_CASE("a lock that is held names the process, and ends with it", "[acme]") {
  TemporaryFolder folder;
  fs::path file = folder.path / "lock";
  int pipe_fds[2];
  REQUIRE(::pipe(pipe_fds) == 0);
  pid_t child = ::fork();
  if (child == 0) {
    auto lock = RunLock::take(file, "x");
    char ready = lock ? 'y' : 'n';
    static_cast<void>(!::write(pipe_fds[1], &ready, 1));
    ::pause();
  }
  char ready = 0;
  REQUIRE(::read(pipe_fds[0], &ready, 1) == 1);
  REQUIRE(ready == 'y');
  auto second = RunLock::take(file, "the certificate \"x\"");
  REQUIRE(second.error().code == base::ErrorCode::Exists);
  REQUIRE(second.error().message.find("process " + std::to_string(child)) != std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  REQUIRE(RunLock::take(file, "x"));
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

TEST_CASE("STATE is passable whatever the caller's umask, and what is in it is not", "[acme]") {
  TemporaryFolder folder;
  mode_t before = ::umask(077);
  auto store = CertificateStore::open(folder.path / "state/acme");
  ::umask(before);
  REQUIRE(store);
  REQUIRE(mode_of(folder.path / "state") == 0755);
  REQUIRE(mode_of(folder.path / "state/acme") == 0700);
}
