// Account keys as other clients keep them.
#include <sys/stat.h>
#include <unistd.h>

#include "acme/state/account_import.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
namespace fs = std::filesystem;
using base::ErrorCode;

namespace {

// RFC 7515 appendix A.3.1; its thumbprint by RFC 7638.
constexpr const char* kJwk =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})";
constexpr const char* kThumbprint = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";
constexpr const char* kUrl = "https://ca.example/acct/7";

std::string pem() {
  auto key = PrivateKey::from_jwk(kJwk);
  if (!key) FAIL(key.error().message);
  return *key->to_pem();
}

struct Folder : tests::TemporaryFolder {
  fs::path write(const std::string& file, const std::string& contents) const {
    fs::create_directories((path / file).parent_path());
    REQUIRE(base::replace_file(path / file, contents, 0600));
    return path / file;
  }
};

void check(const fs::path& path, const std::string& program, const std::string& url) {
  INFO(path.string());
  auto account = read_foreign_account(path);
  if (!account) FAIL(account.error().message);
  REQUIRE(*account->key.thumbprint() == kThumbprint);
  REQUIRE(account->program == program);
  REQUIRE(account->url == url);
}

void check_error(const fs::path& path, ErrorCode code, const std::string& words) {
  INFO(path.string());
  auto account = read_foreign_account(path);
  REQUIRE_FALSE(account);
  INFO(account.error().message);
  REQUIRE(account.error().code == code);
  REQUIRE(account.error().message.find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("a FIFO, a device or a socket in the place of a key is not waited for", "[acme]") {
  Folder folder;
  fs::path fifo = folder.path / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  check_error(fifo, ErrorCode::Invalid, "is no regular file");
  check_error("/dev/zero", ErrorCode::Invalid, "is no regular file");
  // Nor beside a good key.
  REQUIRE(::mkfifo((folder.path / "regr.json").c_str(), 0600) == 0);
  check(folder.write("private_key.json", kJwk), "", "");
  check(folder.path, "certbot", "");
}

TEST_CASE("a key that others can read is warned of", "[acme]") {
  Folder folder;
  fs::path bare = folder.write("some.pem", pem());
  fs::path inside = folder.write("acme/account.key", pem());
  for (const auto& [path, key] : {std::pair(bare, bare), std::pair(inside.parent_path(), inside)}) {
    REQUIRE(read_foreign_account(path)->warning().empty());
    for (mode_t mode : {0640U, 0604U, 0620U}) {
      REQUIRE(::chmod(key.c_str(), mode) == 0);
      std::string text = read_foreign_account(path)->warning();
      REQUIRE(text.find(key.string()) != std::string::npos);
      REQUIRE(text.find("chmod 600") != std::string::npos);
    }
  }
}

TEST_CASE("a bare key is read as PEM or as JWK", "[acme]") {
  Folder folder;
  check(folder.write("some.pem", pem()), "", "");
  check(folder.write("commented.pem", "the account's key:\n" + pem()), "", "");
  check(folder.write("some.jwk", kJwk), "", "");
  check(folder.write("key.pem", pem()), "", "");
}

TEST_CASE("certbot's account is read from its folder and from each of its files", "[acme]") {
  Folder folder;
  folder.write("private_key.json", kJwk);
  check(folder.path, "certbot", "");
  folder.write("regr.json", std::string(R"({"body": {}, "uri": ")") + kUrl + R"("})");
  folder.write("meta.json", R"({"creation_dt": "2026-11-22T09:00:00Z", "creation_host": "h"})");
  check(folder.path, "certbot", kUrl);
  for (const char* file : {"private_key.json", "regr.json", "meta.json"}) check(folder.path / file, "certbot", kUrl);
}

TEST_CASE("lego's account is read from its folder and from each of its files", "[acme]") {
  Folder folder;
  folder.write("keys/a@example.test.key", pem());
  check(folder.path, "lego", "");
  folder.write("account.json",
               std::string(R"({"email": "a@example.test", "registration": {"body": {"status": "valid"},)") +
                   R"( "uri": ")" + kUrl + R"("}})");
  // That of the account's address.
  auto other = PrivateKey::generate(conf::KeyType::P256);
  folder.write("keys/b@example.test.key", *other->to_pem());
  check(folder.path, "lego", kUrl);
  check(folder.path / "account.json", "lego", kUrl);
  check(folder.path / "keys/a@example.test.key", "lego", kUrl);

  folder.write("account.json", R"({"email": ""})");
  check_error(folder.path, ErrorCode::Invalid, "2 keys");
}

TEST_CASE("acme.sh's account is read from its folder and from each of its files", "[acme]") {
  Folder folder;
  folder.write("account.key", pem());
  check(folder.path, "acme.sh", "");
  folder.write("account.json", R"({"status": "valid"})");
  folder.write("ca.conf", std::string("CA_KEY_HASH='abc='\nACCOUNT_URL='") + kUrl + "'\nX=1\n");
  check(folder.path, "acme.sh", kUrl);
  for (const char* file : {"account.key", "account.json", "ca.conf"}) check(folder.path / file, "acme.sh", kUrl);
  folder.write("ca.conf", std::string("ACCOUNT_URL=") + kUrl + "\r\n");
  check(folder.path, "acme.sh", kUrl);
}

TEST_CASE("dehydrated's account, and ours from another machine, are read", "[acme]") {
  Folder dehydrated;
  dehydrated.write("account_key.pem", pem());
  dehydrated.write("account_id.json", std::string(R"({"account_id": ")") + kUrl + R"("})");
  check(dehydrated.path, "dehydrated", kUrl);
  Folder own;
  own.write("key.pem", pem());
  own.write("account.json", std::string(R"({"url": ")") + kUrl + R"("})");
  check(own.path, "countersign", kUrl);
  check(own.path / "key.pem", "countersign", kUrl);
  check(own.path / "account.json", "countersign", kUrl);
}

TEST_CASE("broken files around a key do not keep it from being read", "[acme]") {
  Folder folder;
  folder.write("private_key.json", kJwk);
  for (const char* text : {"", "{", "[]", R"({"uri": 7})", R"({"uri": null})", R"({"body": "x"})"}) {
    folder.write("regr.json", text);
    check(folder.path, "certbot", "");
  }
}

TEST_CASE("what is no account says what was looked for", "[acme]") {
  Folder folder;
  check_error(folder.path / "none", ErrorCode::NotFound, "none");
  check_error(folder.path, ErrorCode::Invalid, "accounts/SERVER/directory/ID");
  check_error(folder.write("notes.txt", "hello"), ErrorCode::Invalid, "neither a private key");
  check_error(folder.write("empty", ""), ErrorCode::Invalid, "neither a private key");
  check_error(folder.write("account.json", R"({"email": "a@example.test"})"), ErrorCode::Invalid, "looked for");
  check_error(folder.write("large.pem", std::string(2U << 20U, 'x')), ErrorCode::Full, "larger");
  // A certificate, half a key, an encrypted key, a public key.
  std::string key = pem();
  check_error(folder.write("half.pem", key.substr(0, key.size() / 2)), ErrorCode::Invalid, "half.pem");
  check_error(folder.write("public.jwk", R"({"kty":"EC","crv":"P-256","x":"f83O","y":"x_FE"})"), ErrorCode::Invalid,
              "public.jwk");
  check_error(folder.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              ErrorCode::Invalid, "cert.pem");
  folder.write("broken/private_key.json", "{");
  check_error(folder.path / "broken", ErrorCode::Invalid, "private_key.json");
}
