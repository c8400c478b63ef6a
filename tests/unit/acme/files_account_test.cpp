// An account's folder, from the first run on.
#include <sys/stat.h>

#include "acme/state/account_store.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pebble.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
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

const AccountStore::Consent kAgreed{{}, Terms::Agreed, {}, conf::KeyType::P256};

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
