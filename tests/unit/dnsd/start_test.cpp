#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>

#include "base/descriptor.hpp"
#include "dnsd/notify.hpp"
#include "dnsd/privileges.hpp"
#include "dnsd/state_folder.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using base::ErrorCode;
using tests::TemporaryFolder;

namespace {

struct stat status_of(const std::filesystem::path& path) {
  struct stat found{};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found;
}

// Somebody to give things to; tests that need root do nothing without it.
std::optional<Account> nobody() {
  const passwd* entry = getpwnam("nobody");
  if (geteuid() != 0 || entry == nullptr) return std::nullopt;
  return Account{"nobody", entry->pw_uid, entry->pw_gid};
}

}  // namespace

TEST_CASE("the state folder is made with its modes, and taken again as it is", "[dnsd]") {
  TemporaryFolder folder;
  std::filesystem::path state = folder.path / "a" / "state";
  for (int i = 0; i < 2; ++i) {
    auto path = prepare_state_folder(state, std::nullopt);
    REQUIRE(path);
    CHECK(*path == state / "dnsd");
    CHECK((status_of(state).st_mode & 07777U) == 0755U);
    CHECK((status_of(*path).st_mode & 07777U) == 0700U);
  }
  REQUIRE(chmod((state / "dnsd").c_str(), 0777) == 0);
  REQUIRE(prepare_state_folder(state, std::nullopt));
  CHECK((status_of(state / "dnsd").st_mode & 07777U) == 0700U);
}

TEST_CASE("a symlink or a file in the place of the daemon's folder is refused", "[dnsd]") {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path / "target");
  REQUIRE(chmod((folder.path / "target").c_str(), 0755) == 0);
  std::filesystem::create_directory_symlink(folder.path / "target", folder.path / "dnsd");
  auto linked = prepare_state_folder(folder.path, nobody());
  REQUIRE_FALSE(linked);
  CHECK(linked.error().code == ErrorCode::Exists);
  CHECK(status_of(folder.path / "target").st_uid == geteuid());
  CHECK((status_of(folder.path / "target").st_mode & 0777U) == 0755U);
  std::filesystem::remove(folder.path / "dnsd");
  std::ofstream(folder.path / "dnsd") << "x";
  CHECK_FALSE(prepare_state_folder(folder.path, std::nullopt));
}

TEST_CASE("the daemon's folder is given to its user, with the store that root left in it", "[dnsd]") {
  auto account = nobody();
  if (!account) return;
  TemporaryFolder folder;
  auto path = prepare_state_folder(folder.path, std::nullopt);
  REQUIRE(path);
  std::ofstream(*path / "store.sqlite3") << "x";
  std::ofstream(folder.path / "elsewhere") << "x";
  std::filesystem::create_hard_link(folder.path / "elsewhere", *path / "store.sqlite3-wal");
  REQUIRE(prepare_state_folder(folder.path, account));
  CHECK(status_of(*path).st_uid == account->uid);
  CHECK(status_of(*path).st_gid == account->gid);
  CHECK(status_of(*path / "store.sqlite3").st_uid == account->uid);
  CHECK(status_of(folder.path / "elsewhere").st_uid == 0);
}

TEST_CASE("a state folder in which others could replace root's part is refused, a closed one opened", "[dnsd]") {
  auto account = nobody();
  if (!account) return;
  TemporaryFolder folder;
  REQUIRE(chmod(folder.path.c_str(), 0700) == 0);
  REQUIRE(prepare_state_folder(folder.path, account));
  CHECK((status_of(folder.path).st_mode & 07777U) == 0755U);
  REQUIRE(chmod(folder.path.c_str(), 0775) == 0);
  auto writable = prepare_state_folder(folder.path, account);
  REQUIRE_FALSE(writable);
  CHECK(writable.error().message.find("chmod 755") != std::string::npos);
  REQUIRE(chmod(folder.path.c_str(), 0755) == 0);
  REQUIRE(chown(folder.path.c_str(), account->uid, account->gid) == 0);
  CHECK_FALSE(prepare_state_folder(folder.path, account));
}

TEST_CASE("a folder of somebody else is refused", "[dnsd]") {
  auto account = nobody();
  if (!account) return;
  TemporaryFolder folder;
  REQUIRE(prepare_state_folder(folder.path, std::nullopt));
  REQUIRE(chown((folder.path / "dnsd").c_str(), account->uid + 1 == 0 ? 1 : 12345, 12345) == 0);
  auto path = prepare_state_folder(folder.path, account);
  REQUIRE_FALSE(path);
  CHECK(path.error().code == ErrorCode::Denied);
  CHECK(path.error().message.find("12345") != std::string::npos);
}

TEST_CASE("a user that does not exist is an error with the command that adds it", "[dnsd]") {
  CHECK_FALSE(choose_account("")->has_value());
  if (geteuid() != 0) return;
  auto missing = choose_account("no-such-user-here");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::NotFound);
  CHECK(missing.error().message.find("adduser --system") != std::string::npos);
}

TEST_CASE("the service manager is told on a path and on an abstract address", "[dnsd]") {
  TemporaryFolder folder;
  std::string path = (folder.path / "notify").string();
  std::string name = "@countersign-test-" + std::to_string(getpid());
  for (const std::string& where : {path, name}) {
    base::Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, where.data(), where.size());
    if (where.starts_with('@')) address.sun_path[0] = '\0';
    auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + where.size());
    REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    setenv("NOTIFY_SOCKET", where.c_str(), 1);
    notify_service_manager("READY=1");
    unsetenv("NOTIFY_SOCKET");
    std::array<char, 64> buffer{};
    ssize_t got = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    REQUIRE(got == 7);
    CHECK(std::string_view(buffer.data(), 7) == "READY=1");
  }
}
