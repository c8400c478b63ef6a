// Certificates and locks on the disk.
#include <algorithm>

#include "acme/state/run_lock.hpp"
#include "tests/unit/acme/files_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::acme::tests;
using namespace std::chrono_literals;
using base::ErrorCode;

namespace {

PendingOrder pending_order(const std::string& archive) {
  PendingOrder order;
  order.url = "https://ca/1";
  order.names = {"b.test"};
  order.directory_url = "https://ca/";
  order.account_url = "https://ca/me";
  order.key_type = "p256";
  order.archive = archive;
  return order;
}

}  // namespace

TEST_CASE("an issuance is in force at once and only when all of it is there", "[acme]") {
  StoreSetting setting;
  const CertificateStore& store = setting.store;
  std::string first = setting.issue();
  REQUIRE(store.is_live("a.test", first));
  std::string second = setting.next_issuance();
  REQUIRE(store.write_key("a.test", second, pairs()[0].key(), {}));
  REQUIRE(store.is_live("a.test", first));
  CertificateRecord record;
  record.names = {"a.test"};
  record.archive = second;
  auto early = store.switch_live("a.test", record);
  REQUIRE(early.error().code == ErrorCode::NotFound);
  REQUIRE(early.error().message.find(second) != std::string::npos);
  REQUIRE(store.is_live("a.test", first));
  REQUIRE((*store.load("a.test"))->archive == first);
  REQUIRE(store.write_pkcs12("a.test", second, "p12", {}));
  REQUIRE(store.write_chain("a.test", second, pairs()[0].chain(), {}));
  REQUIRE(store.is_live("a.test", first));
  REQUIRE(store.switch_live("a.test", record));
  REQUIRE(store.is_live("a.test", second));
  REQUIRE(store.live_chain("a.test")->leaf_pem() == pairs()[0].chain().leaf_pem());
  fs::path live = store.live("a.test");
  REQUIRE(base::read_file(live / "fullchain.pem") ==
          *base::read_file(live / "cert.pem") + *base::read_file(live / "chain.pem"));
  REQUIRE(base::read_file(live / "certificate.p12") == "p12");
  // Both can be written again, as after a kill.
  REQUIRE(store.write_pkcs12("a.test", second, "p12 again", {}));
  REQUIRE(store.write_chain("a.test", second, pairs()[0].chain(), {}));
  REQUIRE(base::read_file(live / "certificate.p12") == "p12 again");
}

TEST_CASE("the newest five issuances are kept, the live and the pending one always", "[acme]") {
  StoreSetting setting;
  const CertificateStore& store = setting.store;
  std::vector<std::string> all;
  for (int i = 0; i < 8; ++i) all.push_back(setting.issue());
  REQUIRE(setting.archived() == std::vector<std::string>(all.end() - 5, all.end()));

  // Back to an old one, by a person; and an order that is under way with a key that is older than all.
  std::string pending = CertificateStore::new_issuance(base::WallTime(1h));
  std::string killed = CertificateStore::new_issuance(base::WallTime(2h));
  std::string stranger = "kept by hand";
  REQUIRE(store.write_key("a.test", pending, pairs()[0].key(), {}));
  REQUIRE(store.write_key("a.test", killed, pairs()[0].key(), {}));
  REQUIRE(base::make_directories(setting.archive(stranger), 0700));
  REQUIRE(base::create_file(setting.archive("README"), "x", 0600));
  CertificateRecord record;
  record.names = {"a.test"};
  record.archive = all[3];
  record.pending = pending_order(pending);
  REQUIRE(store.switch_live("a.test", record));
  REQUIRE(store.is_live("a.test", all[3]));
  REQUIRE(setting.archived() ==
          std::vector<std::string>{pending, all[3], all[4], all[5], all[6], all[7], "README", stranger});
  setting.issue();
  setting.issue();
  auto now = setting.archived();
  REQUIRE(std::find(now.begin(), now.end(), pending) == now.end());  // not pending any more
  REQUIRE(now.size() == 5 + 2);
}

TEST_CASE("what live/CERT holds is only believed with its key", "[acme]") {
  StoreSetting setting;
  const CertificateStore& store = setting.store;
  REQUIRE_FALSE(store.live_chain("a.test"));
  std::string issuance = setting.issue();
  REQUIRE(store.live_chain("a.test"));
  fs::path folder = setting.archive(issuance);
  auto broken = [&](const std::string& file, const std::string& text) {
    std::string before = *base::read_file(folder / file);
    REQUIRE(base::replace_file(folder / file, text, 0600));
    bool absent = !store.live_chain("a.test");
    REQUIRE(base::replace_file(folder / file, before, 0600));
    return absent;
  };
  REQUIRE(broken("privkey.pem", pairs()[0].key_pem));  // another certificate's
  REQUIRE(broken("privkey.pem", "garbage"));
  REQUIRE(broken("privkey.pem", ""));
  REQUIRE(broken("fullchain.pem", pairs()[0].chain_pem));
  REQUIRE(broken("fullchain.pem", "garbage"));
  REQUIRE(broken("fullchain.pem", ""));
  REQUIRE(store.live_chain("a.test"));
  // A key that got lost, where the key should be here.
  fs::remove(folder / "privkey.pem");
  REQUIRE_FALSE(store.live_chain("a.test"));
}

TEST_CASE("an issuance for a foreign request is live without a key", "[acme]") {
  StoreSetting setting;
  const CertificateStore& store = setting.store;
  setting.issue();
  std::string issuance = setting.next_issuance();
  REQUIRE(store.make_issuance("a.test", issuance, {}));
  REQUIRE(mode_of(setting.archive(issuance)) == 0700);
  REQUIRE(fs::is_empty(setting.archive(issuance)));
  REQUIRE(store.read_key("a.test", issuance).error().code == ErrorCode::NotFound);
  REQUIRE(store.write_chain("a.test", issuance, pairs()[0].chain(), {}));
  CertificateRecord record;
  record.names = {"a.test"};
  record.archive = issuance;
  record.key_type = "csr";
  REQUIRE(store.switch_live("a.test", record));
  REQUIRE(store.live_chain("a.test")->leaf_pem() == pairs()[0].chain().leaf_pem());
  REQUIRE_FALSE(fs::exists(store.live("a.test") / "privkey.pem"));
  // The record must be about this very issuance.
  record.archive = setting.next_issuance();
  REQUIRE(store.save("a.test", record));
  REQUIRE_FALSE(store.live_chain("a.test"));
}

TEST_CASE("a name or an issuance that is a path is refused everywhere", "[acme]") {
  StoreSetting setting;
  const CertificateStore& store = setting.store;
  std::string good = setting.issue();
  REQUIRE(base::make_directories(setting.root / "victim", 0700));
  REQUIRE(base::create_file(setting.root / "victim/privkey.pem", "precious", 0600));
  struct Case {
    std::string name, issuance;
  };
  for (const Case& bad :
       {Case{"a.test", "../../victim"}, Case{"a.test", ".."}, Case{"a.test", ""}, Case{"a.test", "/etc"},
        Case{"a.test", good + "/x"}, Case{"a.test", std::string("20261122T100000.123Z-1f2e3d4\0", 29)},
        Case{"../victim", good}, Case{"..", good}, Case{"", good}, Case{"A", good}, Case{"a/b", good}}) {
    INFO(bad.name << " " << bad.issuance);
    REQUIRE(store.write_key(bad.name, bad.issuance, pairs()[0].key(), {}).error().code == ErrorCode::Invalid);
    REQUIRE(store.make_issuance(bad.name, bad.issuance, {}).error().code == ErrorCode::Invalid);
    REQUIRE(store.read_key(bad.name, bad.issuance).error().code == ErrorCode::Invalid);
    REQUIRE(store.write_chain(bad.name, bad.issuance, pairs()[0].chain(), {}).error().code == ErrorCode::Invalid);
    REQUIRE(store.write_pkcs12(bad.name, bad.issuance, "x", {}).error().code == ErrorCode::Invalid);
    CertificateRecord record;
    record.archive = bad.issuance;
    REQUIRE(store.switch_live(bad.name, record).error().code == ErrorCode::Invalid);
    store.remove_issuance(bad.name, bad.issuance);
    if (bad.name == "a.test") continue;
    REQUIRE(store.load(bad.name).error().code == ErrorCode::Invalid);
    REQUIRE(store.save(bad.name, record).error().code == ErrorCode::Invalid);
    REQUIRE(store.forget(bad.name).error().code == ErrorCode::Invalid);
  }
  REQUIRE(base::read_file(setting.root / "victim/privkey.pem") == "precious");
  REQUIRE(store.is_live("a.test", good));
  REQUIRE(store.live_chain("a.test"));
}

TEST_CASE("a record survives its file, and a broken file is named", "[acme]") {
  TemporaryFolder state;
  auto store = CertificateStore::open(state.path / "acme");
  REQUIRE(store);
  REQUIRE(store->load("a.test")->has_value() == false);
  CertificateRecord record;
  record.names = {"a.test", "*.a.test"};
  record.order_url = "https://ca/\"quoted\"";
  record.archive = CertificateStore::new_issuance(base::WallTime());
  record.published = {{*base::Name::parse("a.test.auth.test"), "value"}};
  REQUIRE(store->save("a.test", record));
  REQUIRE(mode_of(state.path / "acme/certificates/a.test.json") == 0600);
  auto loaded = store->load("a.test");
  REQUIRE(loaded);
  REQUIRE((*loaded)->names == record.names);
  REQUIRE((*loaded)->order_url == record.order_url);
  REQUIRE((*loaded)->published.front().name == record.published.front().name);
  REQUIRE_FALSE((*loaded)->pending);
  record.pending = pending_order(CertificateStore::new_issuance(base::WallTime()));
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
