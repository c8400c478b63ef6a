// A store of certificates in a folder of its own, with pairs to put into it, and other people to look at it.
#pragma once

#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "acme/state/certificate_store.hpp"
#include "base/files.hpp"
#include "tests/unit/acme/certificate_tools.hpp"

namespace countersign::acme::tests {

using countersign::tests::OpensslProgram;
using countersign::tests::TemporaryFolder;
namespace fs = std::filesystem;

struct Pair {
  std::string key_pem, chain_pem;
  [[nodiscard]] PrivateKey key() const { return *PrivateKey::from_pem(key_pem); }
  [[nodiscard]] CertificateChain chain() const { return *CertificateChain::parse(chain_pem, "x"); }
};

// Some keys with their certificates, made once.
inline const std::vector<Pair>& pairs() {
  static const std::vector<Pair> kPairs = [] {
    OpensslProgram openssl;
    openssl.root("ca", "CA");
    std::vector<Pair> out;
    for (int i = 0; i < 4; ++i) {
      openssl.request("a", "DNS:a.test");
      openssl.sign("a", "a", "ca", "subjectAltName=DNS:a.test");
      out.push_back({openssl.file("a.key"), openssl.file("a.pem") + openssl.file("ca.pem")});
    }
    return out;
  }();
  return kPairs;
}

struct Status {
  mode_t mode;
  uid_t owner;
  gid_t group;
};
inline Status status_of(const fs::path& path) {
  struct stat status{};
  INFO(path);
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return {status.st_mode & 07777U, status.st_uid, status.st_gid};
}
inline mode_t mode_of(const fs::path& path) {
  return status_of(path).mode;
}

// Runs it in a process of its own, which may take another user's place or lower a limit; what it returns.
inline int in_a_process(const std::function<int()>& work) {
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(work());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr uid_t kStranger = 65534;
inline bool become(uid_t user, gid_t group, const std::vector<gid_t>& more = {}) {
  return ::setgroups(more.size(), more.data()) == 0 && ::setresgid(group, group, group) == 0 &&
         ::setresuid(user, user, user) == 0;
}

// "" or the message.
template <class T>
std::string message_of(const base::Result<T>& result) {
  return result ? "" : result.error().message;
}

struct StoreSetting {
  TemporaryFolder folder;
  fs::path root = folder.path / "state/acme";
  CertificateStore store = opened(root);
  int issued = 0;

  StoreSetting() { fs::permissions(folder.path, fs::perms(0755)); }
  static CertificateStore opened(const fs::path& root) {
    auto store = CertificateStore::open(root);
    if (!store) FAIL(store.error().message);
    return *std::move(store);
  }
  // A name that sorts behind all before it.
  std::string next_issuance() {
    return CertificateStore::new_issuance(base::WallTime(std::chrono::hours(24) * ++issued));
  }
  [[nodiscard]] fs::path archive(const std::string& issuance) const { return root / "archive/a.test" / issuance; }

  // All the way; gives the issuance.
  std::string issue(const FileRights& rights = {}) {
    std::string issuance = next_issuance();
    const Pair& pair = pairs()[static_cast<std::size_t>(issued) % pairs().size()];
    require(store.write_key("a.test", issuance, pair.key(), rights));
    require(store.write_chain("a.test", issuance, pair.chain(), rights));
    CertificateRecord record;
    record.names = {"a.test"};
    record.archive = issuance;
    require(store.switch_live("a.test", record));
    return issuance;
  }
  [[nodiscard]] std::vector<std::string> archived() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(root / "archive/a.test"))
      out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
  static void require(const base::Result<void>& result) {
    if (!result) FAIL(result.error().message);
  }
};

}  // namespace countersign::acme::tests
