// Who may read an issuance, and what a disk or a stranger can do to its making.
#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <fstream>

#include "acme/state/account_store.hpp"
#include "tests/unit/acme/files_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::acme::tests;
using base::ErrorCode;

namespace {

constexpr gid_t kReaders = 54321, kOthers = 54322;

bool can_read(const fs::path& path) {
  return base::read_file(path).has_value();
}
bool can_list(const fs::path& path) {
  std::error_code problem;
  fs::directory_iterator entries(path, problem);
  return !problem;
}

// What a member of `group`, who is nobody else, can do.
struct Reach {
  bool key = false, certificate = false, p12 = false, list = false, secrets = false, others = false;
  friend bool operator==(const Reach&, const Reach&) = default;
};
Reach reach_of(const StoreSetting& setting, gid_t group) {
  int bits = in_a_process([&] {
    if (!become(kStranger, kStranger, {group})) return 255;
    fs::path live = setting.store.live("a.test");
    bool list = can_list(setting.root) || can_list(setting.root / "live") || can_list(setting.root / "archive");
    bool secrets = can_read(setting.root / "certificates/a.test.json") ||
                   can_read(setting.root / "accounts/x/key.pem") || can_list(setting.root / "certificates") ||
                   can_list(setting.root / "locks");
    bool others = can_read(setting.store.live("other.test") / "fullchain.pem");
    return (can_read(live / "privkey.pem") ? 1 : 0) | (can_read(live / "fullchain.pem") ? 2 : 0) |
           (can_read(live / "certificate.p12") ? 4 : 0) | (list ? 8 : 0) | (secrets ? 16 : 0) | (others ? 32 : 0);
  });
  REQUIRE(bits >= 0);
  REQUIRE(bits != 255);
  return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0, (bits & 32) != 0};
}

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("only root can give files to a group that it is not in");
  return false;
}

}  // namespace

TEST_CASE("without a group everything is closed but to its owner, and a mode is the key's alone", "[acme]") {
  StoreSetting setting;
  for (unsigned mode : {0600U, 0400U, 0640U, 0660U, 0644U}) {
    FileRights rights{mode, std::nullopt};
    std::string issuance = setting.issue(rights);
    StoreSetting::require(setting.store.write_pkcs12("a.test", issuance, "x", rights));
    for (const fs::path& closed : {setting.root, setting.root / "live", setting.root / "archive",
                                   setting.root / "archive/a.test", setting.archive(issuance)})
      REQUIRE(mode_of(closed) == 0700);
    REQUIRE(mode_of(setting.archive(issuance) / "privkey.pem") == mode);
    REQUIRE(mode_of(setting.archive(issuance) / "certificate.p12") == mode);
    for (const char* file : {"cert.pem", "chain.pem", "fullchain.pem"})
      REQUIRE(mode_of(setting.archive(issuance) / file) == 0644);
  }
}

TEST_CASE("with a group its members read this certificate, and nothing else", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  REQUIRE(base::make_directories(setting.root / "accounts/x", 0700));
  REQUIRE(base::create_file(setting.root / "accounts/x/key.pem", "secret", 0600));
  // A neighbour without a group.
  std::string neighbour = setting.next_issuance();
  REQUIRE(setting.store.write_key("other.test", neighbour, pairs()[0].key(), {}));
  REQUIRE(setting.store.write_chain("other.test", neighbour, pairs()[0].chain(), {}));
  CertificateRecord record;
  record.archive = neighbour;
  REQUIRE(setting.store.switch_live("other.test", record));

  mode_t before = ::umask(077);  // must not take anything from the group
  FileRights rights{0640, kReaders};
  std::string issuance = setting.issue(rights);
  StoreSetting::require(setting.store.write_pkcs12("a.test", issuance, "x", rights));
  ::umask(before);
  for (const fs::path& passage : {setting.root, setting.root / "live", setting.root / "archive"})
    REQUIRE(mode_of(passage) == 0711);
  for (const char* closed : {"certificates", "accounts", "locks", "archive/other.test"})
    REQUIRE(mode_of(setting.root / closed) == 0700);
  for (const fs::path& own : {setting.root / "archive/a.test", setting.archive(issuance)}) {
    REQUIRE(mode_of(own) == 0750);
    REQUIRE(status_of(own).group == kReaders);
  }
  for (const char* file : {"privkey.pem", "certificate.p12"})
    REQUIRE(mode_of(setting.archive(issuance) / file) == 0640);
  for (const char* file : {"cert.pem", "chain.pem", "fullchain.pem"})
    REQUIRE(mode_of(setting.archive(issuance) / file) == 0644);
  for (const auto& entry : fs::directory_iterator(setting.archive(issuance)))
    REQUIRE(status_of(entry.path()).group == kReaders);

  REQUIRE(reach_of(setting, kReaders) == Reach{true, true, true, false, false, false});
  REQUIRE(reach_of(setting, kOthers) == Reach{});
  // The certificate for the group, the key for root alone.
  setting.issue({0600, kReaders});
  REQUIRE(reach_of(setting, kReaders) == Reach{false, true, false, false, false, false});
}

TEST_CASE("another group, or none, takes the place of the old one with the next issuance", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  setting.issue({0640, kReaders});
  REQUIRE(reach_of(setting, kReaders).key);
  setting.issue({0640, kOthers});
  REQUIRE(reach_of(setting, kReaders) == Reach{});
  REQUIRE(reach_of(setting, kOthers).key);
  setting.issue();
  REQUIRE(reach_of(setting, kOthers) == Reach{});
}

TEST_CASE("a key that an interrupted run left closed is opened before it is in force", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  std::string issuance = setting.next_issuance();
  // Killed right behind the making of the file; or wanted for other readers.
  REQUIRE(setting.store.write_key("a.test", issuance, pairs()[0].key(), {0660, kOthers}));
  REQUIRE(mode_of(setting.archive(issuance) / "privkey.pem") == 0660);
  REQUIRE(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), {0640, kReaders}));
  REQUIRE(mode_of(setting.archive(issuance) / "privkey.pem") == 0640);
  REQUIRE(status_of(setting.archive(issuance) / "privkey.pem").group == kReaders);
  CertificateRecord record;
  record.archive = issuance;
  REQUIRE(setting.store.switch_live("a.test", record));
  REQUIRE(reach_of(setting, kReaders).key);
  REQUIRE_FALSE(reach_of(setting, kOthers).key);
}

TEST_CASE("what an administrator opened further stays open, and links to other disks are followed", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  fs::permissions(setting.root, fs::perms(0755));
  fs::rename(setting.root / "archive", setting.folder.path / "elsewhere");
  fs::create_directory_symlink(setting.folder.path / "elsewhere", setting.root / "archive");
  setting.issue({0640, kReaders});
  REQUIRE(mode_of(setting.root) == 0755);
  REQUIRE(mode_of(setting.folder.path / "elsewhere") == 0711);
  // `../archive` in the link is the folder beside live, which is a link itself.
  REQUIRE(setting.store.live_chain("a.test"));
  REQUIRE(reach_of(setting, kReaders).key);
}

TEST_CASE("a group that this process may not give to is told before the CA is asked, and leaves nothing", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  for (const auto& entry : fs::recursive_directory_iterator(setting.folder.path))
    REQUIRE(::lchown(entry.path().c_str(), kStranger, kStranger) == 0);
  int result = in_a_process([&] {
    if (!become(kStranger, kStranger, {kOthers})) return 10;
    auto refused = setting.store.write_key("a.test", setting.next_issuance(), pairs()[0].key(), {0640, kReaders});
    if (refused || refused.error().code != ErrorCode::Denied) return 1;
    if (refused.error().message.find("as a member of that group") == std::string::npos) return 2;
    refused = setting.store.make_issuance("a.test", setting.next_issuance(), {0640, kReaders});
    if (refused || refused.error().code != ErrorCode::Denied) return 3;
    // A member can.
    return setting.store.write_key("b.test", setting.next_issuance(), pairs()[0].key(), {0640, kOthers}) ? 0 : 4;
  });
  REQUIRE(result == 0);
  REQUIRE_FALSE(fs::exists(setting.root / "archive/a.test"));
  REQUIRE(status_of(setting.root / "archive/b.test").group == kOthers);
}

TEST_CASE("a group is found by its name or its number", "[acme]") {
  REQUIRE(find_group("root") == gid_t{0});
  REQUIRE(find_group("0") == gid_t{0});
  REQUIRE(find_group("54321") == gid_t{54321});
  for (const std::string& bad : {std::string(), std::string("no-such-group"), std::string("4294967295"),
                                 std::string("4294967296"), std::string("-1"), std::string(" 0"), std::string("1x"),
                                 std::string("../root"), std::string("a\x1b[2J"), std::string(100'000, 'a')}) {
    auto refused = find_group(bad);
    REQUIRE(refused.error().code == ErrorCode::Usage);
    REQUIRE(refused.error().message.find('\x1b') == std::string::npos);
    REQUIRE(refused.error().message.size() < 3000);
  }
  REQUIRE(find_group("no-such-group").error().message.find("\"no-such-group\"") != std::string::npos);
}

TEST_CASE("a link in a file's place is not written through, nor opened to a group", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  setting.issue();
  fs::path victim = setting.folder.path / "victim";
  REQUIRE(base::create_file(victim, "precious", 0600));
  auto unharmed = [&] {
    return base::read_file(victim) == "precious" && mode_of(victim) == 0600 && status_of(victim).group != kReaders;
  };
  FileRights rights{0644, kReaders};
  // Where the key shall be.
  std::string issuance = setting.next_issuance();
  REQUIRE(base::make_directories(setting.archive(issuance), 0700));
  fs::create_symlink(victim, setting.archive(issuance) / "privkey.pem");
  REQUIRE(setting.store.write_key("a.test", issuance, pairs()[0].key(), rights).error().code == ErrorCode::Exists);
  REQUIRE_FALSE(fs::exists(setting.archive(issuance)));
  REQUIRE(unharmed());
  // Where the key is, and where the others shall be.
  issuance = setting.next_issuance();
  REQUIRE(setting.store.make_issuance("a.test", issuance, rights));
  for (const char* file : {"privkey.pem", "cert.pem", "chain.pem", "fullchain.pem", "certificate.p12"})
    fs::create_symlink(victim, setting.archive(issuance) / file);
  REQUIRE_FALSE(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), rights));
  REQUIRE(unharmed());
  fs::remove(setting.archive(issuance) / "privkey.pem");
  REQUIRE(setting.store.write_pkcs12("a.test", issuance, "p12", rights));
  REQUIRE(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), rights));
  REQUIRE(base::read_file(setting.archive(issuance) / "certificate.p12") == "p12");
  REQUIRE(unharmed());
}

TEST_CASE("a folder in the place of live/CERT stops the switch and loses nothing", "[acme]") {
  StoreSetting setting;
  std::string issuance = setting.next_issuance();
  REQUIRE(setting.store.write_key("a.test", issuance, pairs()[0].key(), {}));
  REQUIRE(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), {}));
  REQUIRE(base::make_directories(setting.root / "live/a.test", 0700));
  REQUIRE(base::create_file(setting.root / "live/a.test/mine", "x", 0600));
  CertificateRecord record;
  record.archive = issuance;
  auto refused = setting.store.switch_live("a.test", record);
  REQUIRE(message_of(refused).find("live/a.test") != std::string::npos);
  REQUIRE(base::read_file(setting.root / "live/a.test/mine") == "x");
  REQUIRE(fs::exists(setting.archive(issuance) / "privkey.pem"));
}

TEST_CASE("a disk that is full leaves what is in force, and no half key", "[acme]") {
  StoreSetting setting;
  std::string live = setting.issue();
  std::string next = setting.next_issuance();
  std::string after = setting.next_issuance();
  REQUIRE(setting.store.write_key("a.test", next, pairs()[0].key(), {}));
  int result = in_a_process([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{100, 100};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 10;
    auto full = [](const base::Result<void>& done) { return !done && done.error().code == ErrorCode::Full; };
    if (!full(setting.store.write_key("a.test", after, pairs()[1].key(), {}))) return 1;
    if (!full(setting.store.write_chain("a.test", next, pairs()[0].chain(), {}))) return 2;
    if (!full(setting.store.write_pkcs12("a.test", next, std::string(1000, 'x'), {}))) return 3;
    CertificateRecord record;
    record.archive = live;
    record.names = std::vector<std::string>(100, "a.test");
    return full(setting.store.switch_live("a.test", record)) ? 0 : 4;
  });
  REQUIRE(result == 0);
  REQUIRE(setting.archived() == std::vector<std::string>{live, next});
  REQUIRE(setting.store.is_live("a.test", live));
  REQUIRE(setting.store.live_chain("a.test"));
  REQUIRE((*setting.store.load("a.test"))->names == std::vector<std::string>{"a.test"});
  REQUIRE_FALSE(fs::exists(setting.archive(next) / "certificate.p12"));
  // With room again it goes on where it was.
  REQUIRE(setting.store.write_chain("a.test", next, pairs()[0].chain(), {}));
  CertificateRecord record;
  record.archive = next;
  REQUIRE(setting.store.switch_live("a.test", record));
  REQUIRE(setting.store.live_chain("a.test"));
}

TEST_CASE("a folder that cannot be written is named, and nothing is left in it", "[acme]") {
  if (!is_root()) return;
  StoreSetting setting;
  std::string live = setting.issue();
  for (const auto& entry : fs::recursive_directory_iterator(setting.folder.path))
    REQUIRE(::lchown(entry.path().c_str(), kStranger, kStranger) == 0);
  auto denied_with = [&](const fs::path& closed, const std::function<base::Result<void>()>& work) {
    auto before = status_of(closed).mode;
    REQUIRE(::chmod(closed.c_str(), 0500) == 0);
    int result = in_a_process([&] {
      if (!become(kStranger, kStranger)) return 10;
      auto refused = work();
      if (refused || refused.error().code != ErrorCode::Denied) return 1;
      return refused.error().message.find(closed.string()) != std::string::npos ? 0 : 2;
    });
    REQUIRE(::chmod(closed.c_str(), before) == 0);
    return result;
  };
  std::string next = setting.next_issuance();
  auto write_key = [&] { return setting.store.write_key("a.test", next, pairs()[0].key(), {}); };
  REQUIRE(denied_with(setting.root / "archive/a.test", write_key) == 0);
  REQUIRE(denied_with(setting.root / "archive",
                      [&] { return setting.store.write_key("b.test", next, pairs()[0].key(), {}); }) == 0);
  CertificateRecord record;
  record.archive = live;
  record.names = {"changed.test"};
  REQUIRE(denied_with(setting.root / "live", [&] { return setting.store.switch_live("a.test", record); }) == 0);
  REQUIRE(denied_with(setting.root / "certificates", [&] { return setting.store.save("a.test", record); }) == 0);
  REQUIRE(denied_with(setting.archive(live), [&] { return setting.store.write_pkcs12("a.test", live, "x", {}); }) == 0);
  REQUIRE(setting.archived() == std::vector<std::string>{live});
  REQUIRE(setting.store.live_chain("a.test"));
}

TEST_CASE("a folder that others may change is refused, and the command that helps is told", "[acme]") {
  TemporaryFolder folder;
  fs::path root = folder.path / "state/acme";
  REQUIRE(CertificateStore::open(root));
  auto refusal = [&] {
    auto store = CertificateStore::open(root);
    auto accounts = AccountStore::open(root, "https://ca.example/dir");
    REQUIRE_FALSE(store);
    REQUIRE_FALSE(accounts);
    CHECK(store.error().code == base::ErrorCode::Denied);
    CHECK(accounts.error().message == store.error().message);
    return store.error().message;
  };
  for (unsigned mode : {0777U, 0720U, 0702U, 01777U}) {
    fs::permissions(root, fs::perms(mode));
    CHECK(refusal().find("chmod go-w " + root.string()) != std::string::npos);
  }
  for (unsigned mode : {0700U, 0711U, 0755U}) {
    fs::permissions(root, fs::perms(mode));
    CHECK(CertificateStore::open(root));
    CHECK(AccountStore::open(root, "https://ca.example/dir"));
  }
  if (::chown(root.c_str(), kStranger, static_cast<gid_t>(-1)) != 0) return;
  CHECK(refusal().find("chown -R " + std::to_string(::geteuid()) + " " + root.string()) != std::string::npos);
  // The stranger's own run has no reason to complain, nor would it about root's.
  fs::permissions(folder.path, fs::perms(0755));
  auto opens = [&] {
    return in_a_process([&] { return become(kStranger, kStranger) && AccountStore::open(root, "https://x/") ? 0 : 1; });
  };
  CHECK(opens() == 0);
  REQUIRE(::chown(root.c_str(), 0, static_cast<gid_t>(-1)) == 0);
  CHECK(opens() == 0);
}

TEST_CASE("a chain that an earlier try left is replaced, and one that cannot be is said", "[acme]") {
  StoreSetting setting;
  std::string issuance = setting.next_issuance();
  setting.require(setting.store.write_key("a.test", issuance, pairs()[0].key(), {}));
  REQUIRE(base::create_file(setting.archive(issuance) / "cert.pem", "half", 0600));
  setting.require(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), {}));
  CHECK(base::read_file(setting.archive(issuance) / "cert.pem") == pairs()[0].chain().leaf_pem());
  CHECK(mode_of(setting.archive(issuance) / "cert.pem") == 0644);
  if (::geteuid() != 0) return;
  fs::permissions(setting.folder.path, fs::perms(0755));
  for (const fs::path& path :
       {setting.root, setting.root / "archive", setting.root / "archive/a.test", setting.archive(issuance)})
    fs::permissions(path, fs::perms(0755));
  std::string said = (setting.folder.path / "said").string();
  REQUIRE(base::create_file(said, "", 0600));
  REQUIRE(::chown(said.c_str(), kStranger, kStranger) == 0);
  in_a_process([&] {
    if (!become(kStranger, kStranger)) return 1;
    std::ofstream(said) << message_of(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), {}));
    return 0;
  });
  std::string message = *base::read_file(said);
  INFO(message);
  CHECK(message.find("permission denied") != std::string::npos);
  CHECK(message.find("file exists") == std::string::npos);
}

TEST_CASE("a run that is killed anywhere leaves a matching pair in force", "[acme]") {
  StoreSetting setting;
  setting.issue();
  std::string last = fs::read_symlink(setting.store.live("a.test")).string();
  std::vector<std::string> links;
  for (int round = 0; round < 100; ++round) {
    int done[2];
    REQUIRE(::pipe(done) == 0);
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (;;) {
        static_cast<void>(!::write(done[1], "x", 1));
        setting.issue({0640, ::getegid()});
      }
    }
    // The beginning, and up to three issuances; then somewhere in the next.
    char byte = 0;
    for (int i = 0; i <= round % 4; ++i) REQUIRE(::read(done[0], &byte, 1) == 1);
    ::close(done[0]);
    ::close(done[1]);
    ::usleep(static_cast<useconds_t>((round * 7919) % 10'000));
    REQUIRE(::kill(child, SIGKILL) == 0);
    REQUIRE(::waitpid(child, nullptr, 0) == child);

    INFO(round);
    REQUIRE(setting.store.live_chain("a.test"));
    REQUIRE(setting.store.load("a.test"));
    fs::path live = setting.store.live("a.test");
    REQUIRE(base::read_file(live / "fullchain.pem") ==
            *base::read_file(live / "cert.pem") + *base::read_file(live / "chain.pem"));
    // The first of all was made without a group.
    if (!links.empty()) REQUIRE(mode_of(live / "privkey.pem") == 0640);
    std::string link = fs::read_symlink(live).string();
    if (link != last) links.push_back(link);
    last = link;
    setting.issued += 1000;  // the children's are unknown here
  }
  REQUIRE(links.size() >= 75);  // they came to something before they were killed
  setting.issue();
  REQUIRE(setting.archived().size() <= CertificateStore::kKept);
}

TEST_CASE("what killed runs left beside the files goes when it is old", "[acme]") {
  StoreSetting setting;
  setting.issue();
  fs::path young = setting.root / "live/.a.test.new";
  fs::path old = setting.root / "live/.b.test.new";
  fs::path old_file = setting.root / "certificates/.a.test.json.new";
  std::vector<fs::path> strangers{setting.root / "live/.new", setting.root / "live/x.new",
                                  setting.root / "certificates/.x.news", setting.root / "certificates/.x.y"};
  fs::create_symlink("../archive/a.test/x", young);
  fs::create_symlink("../archive/b.test/x", old);
  timespec hours_ago[2] = {{::time(nullptr) - 7200, 0}, {::time(nullptr) - 7200, 0}};
  auto age = [&](const fs::path& path) {
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), hours_ago, AT_SYMLINK_NOFOLLOW) == 0);
  };
  for (const fs::path& path : strangers) REQUIRE(base::create_file(path, "x", 0600));
  REQUIRE(base::create_file(old_file, "x", 0600));
  for (const fs::path& path : strangers) age(path);
  for (const fs::path& path : {old, old_file, setting.root / "live/a.test", setting.root / "certificates/a.test.json"})
    age(path);
  setting.store.remove_leftovers();
  REQUIRE_FALSE(fs::is_symlink(old));
  REQUIRE_FALSE(fs::exists(old_file));
  REQUIRE(fs::is_symlink(young));
  for (const fs::path& path : strangers) REQUIRE(fs::exists(path));
  REQUIRE(setting.store.live_chain("a.test"));
  REQUIRE(setting.store.load("a.test")->has_value());
}
