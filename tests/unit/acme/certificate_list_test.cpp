// `countersign certificates`: what there is, for people and as JSON.
#include <unistd.h>

#include <boost/json.hpp>

#include "acme/commands/commands.hpp"
#include "base/clock.hpp"
#include "tests/unit/acme/files_setting.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::acme::tests;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

struct Output {
  int status = -1;
  std::string out, err;
  [[nodiscard]] json::array list() const { return json::parse(out).as_array(); }
};

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

struct ListSetting : StoreSetting {
  conf::Config config;
  ListSetting() {
    config.state_dir = root.parent_path();
    config.acme.ca = "https://ca.test/dir";
  }

  enum class Form { Text, Json };
  [[nodiscard]] Output list(Form form) const {
    fs::path out = folder.path / "out", err = folder.path / "err";
    int status = in_a_process([&] {
      if (std::freopen(out.c_str(), "w", stdout) == nullptr || std::freopen(err.c_str(), "w", stderr) == nullptr)
        return 99;
      GlobalOptions options;
      options.json = form == Form::Json;
      auto done = run(Context{options, config, Terminal(options)}, CertificatesCommand{});
      std::fflush(stdout);
      std::fflush(stderr);
      return static_cast<int>(done);
    });
    return {status, *base::read_file(out), *base::read_file(err)};
  }
  [[nodiscard]] Output text() const { return list(Form::Text); }
  [[nodiscard]] Output document() const { return list(Form::Json); }

  // The record of what is in force.
  CertificateRecord issue_with(const std::function<void(CertificateRecord&)>& change) {
    std::string issuance = issue();
    auto chain = store.live_chain("a.test");
    REQUIRE(chain);
    CertificateRecord record;
    record.names = {"a.test"};
    record.directory_url = "https://ca.test/dir";
    record.key_type = "p256";
    record.archive = issuance;
    record.not_before = base::format_rfc3339(chain->not_before());
    record.not_after = base::format_rfc3339(chain->not_after());
    record.serial = chain->serial();
    record.issuer = chain->issuer();
    change(record);
    require(store.save("a.test", record));
    return record;
  }
};

}  // namespace

TEST_CASE("a machine without certificates says how to get one", "[acme]") {
  ListSetting setting;
  fs::remove_all(setting.root);
  Output text = setting.text();
  REQUIRE(text.status == 0);
  REQUIRE(text.out.empty());
  REQUIRE(says(text.err, "countersign issue NAME"));
  REQUIRE(setting.document().list().empty());
  REQUIRE_FALSE(fs::exists(setting.root));
}

TEST_CASE("a certificate is listed with its names, CA, dates, renewal and files", "[acme]") {
  ListSetting setting;
  CertificateRecord record = setting.issue_with([](CertificateRecord&) {});
  auto due = base::format_rfc3339(
      renewal_time(*base::parse_rfc3339(record.not_before), *base::parse_rfc3339(record.not_after)));
  Output text = setting.text();
  REQUIRE(text.status == 0);
  fs::path live = setting.store.live("a.test");
  for (const std::string& part : {std::string("a.test\n  names"), std::string("https://ca.test/dir"), std::string("CA"),
                                  record.not_after, std::string("in 19 days"), due + " (in 13 days)",
                                  (live / "privkey.pem").string(), (live / "fullchain.pem").string()})
    REQUIRE(says(text.out, part));
  REQUIRE(text.out.find("certificate.p12") == std::string::npos);
  auto entry = setting.document().list().at(0).as_object();
  REQUIRE(entry.at("name") == "a.test");
  REQUIRE(entry.at("names") == json::array{"a.test"});
  REQUIRE(entry.at("issuer") == "CA");
  REQUIRE(entry.at("serial") == json::string(record.serial));
  REQUIRE(entry.at("not_after") == json::string(record.not_after));
  REQUIRE(entry.at("renew_after") == json::string(due));
  REQUIRE(entry.at("renewal").at("state") == "not_due");
  REQUIRE(entry.at("renewal").at("at") == json::string(due));
  REQUIRE(entry.at("renewal").at("suggested_by_ca") == false);
  REQUIRE(entry.at("foreign_key") == false);
  REQUIRE(entry.at("files").as_object().size() == 4);
  REQUIRE(entry.at("files").at("privkey.pem") == json::string((live / "privkey.pem").string()));
  REQUIRE(setting.store.write_pkcs12("a.test", record.archive, "x", {}));
  REQUIRE(says(setting.text().out, (live / "certificate.p12").string()));
}

TEST_CASE("the CA's suggestion is the next renewal", "[acme]") {
  ListSetting setting;
  auto now = base::SystemClock().wall();
  // Of this certificate: the pairs have authority key identifiers, so they have an identifier.
  setting.issue_with([&](CertificateRecord& record) {
    RenewalState state;
    state.certificate_id = setting.store.live_chain("a.test")->ari_id();
    REQUIRE_FALSE(state.certificate_id.empty());
    state.start = now + 48h;
    state.end = now + 96h;
    state.renew_at = now + 73h;
    state.ask_at = now + 1h;
    state.explanation_url = "https://ca.test/why\x1b[2J";
    record.renewal = state;
  });
  Output text = setting.text();
  REQUIRE(says(text.out, base::format_rfc3339(now + 73h) + " (in 3 days)"));
  REQUIRE(says(text.out, "https://ca.test/why\\x1b[2J"));
  auto renewal = setting.document().list().at(0).at("renewal").as_object();
  REQUIRE(renewal.at("suggested_by_ca") == true);
  REQUIRE(renewal.at("at") == json::string(base::format_rfc3339(now + 73h)));
  REQUIRE(renewal.at("window").at("start") == json::string(base::format_rfc3339(now + 48h)));
  // One that is about the predecessor counts not.
  setting.issue_with([&](CertificateRecord& record) {
    RenewalState state;
    state.certificate_id = "abc.def";
    state.start = state.end = state.renew_at = state.ask_at = now - 1h;
    record.renewal = state;
  });
  renewal = setting.document().list().at(0).at("renewal").as_object();
  REQUIRE(renewal.at("window").is_null());
  REQUIRE(renewal.at("state") == "not_due");
}

TEST_CASE("a certificate for a foreign request says that its key is elsewhere", "[acme]") {
  ListSetting setting;
  setting.issue();
  std::string issuance = setting.next_issuance();
  REQUIRE(setting.store.make_issuance("a.test", issuance, {}));
  REQUIRE(setting.store.write_chain("a.test", issuance, pairs()[0].chain(), {}));
  CertificateRecord record;
  record.names = {"a.test"};
  record.archive = issuance;
  record.key_type = "csr";
  record.directory_url = "https://ca.test/dir";
  record.options.csr = "/etc/web.csr";
  REQUIRE(setting.store.switch_live("a.test", record));
  Output text = setting.text();
  REQUIRE(says(text.out, "not here: it belongs to the signing request \"/etc/web.csr\""));
  REQUIRE(text.out.find("privkey.pem") == std::string::npos);
  auto entry = setting.document().list().at(0).as_object();
  REQUIRE(entry.at("foreign_key") == true);
  REQUIRE(entry.at("files").as_object().size() == 3);
}

TEST_CASE("broken records are named and hide none of the others", "[acme]") {
  ListSetting setting;
  setting.issue_with([](CertificateRecord&) {});
  REQUIRE(base::create_file(setting.root / "certificates/0-first.json", "garbage", 0600));
  REQUIRE(base::create_file(setting.root / "certificates/z-last.json", "{}", 0600));
  REQUIRE(base::create_file(setting.root / "certificates/Not a CERT.json", "x", 0600));
  REQUIRE(base::create_file(setting.root / "certificates/.a.test.json.0123456789abcdef", "x", 0600));
  Output text = setting.text();
  REQUIRE(text.status == 1);
  REQUIRE(says(text.out, "a.test\n"));
  REQUIRE(says(text.err, "0-first.json"));
  REQUIRE(says(text.err, "z-last.json"));
  REQUIRE(text.err.find("Not a CERT") == std::string::npos);
  Output document = setting.document();
  REQUIRE(document.status == 1);
  auto list = document.list();
  REQUIRE(list.size() == 3);
  REQUIRE(list[0].at("name") == "a.test");
  REQUIRE(list[1].at("name") == "0-first");
  REQUIRE(list[1].at("error").at("code") == "invalid");
  REQUIRE(list[2].at("name") == "z-last");
}

TEST_CASE("what is not in force says why", "[acme]") {
  ListSetting setting;
  CertificateRecord tried;
  tried.pending = PendingOrder{"https://ca.test/1",
                               {"a.test", "b.test"},
                               "https://ca.test/dir",
                               "https://ca.test/acct",
                               "p256",
                               setting.next_issuance(),
                               {},
                               {},
                               {}};
  REQUIRE(setting.store.save("a.test", tried));
  Output text = setting.text();
  REQUIRE(text.status == 0);
  REQUIRE(says(text.out, "not issued yet"));
  REQUIRE(says(text.out, "a.test b.test"));
  auto entry = setting.document().list().at(0).as_object();
  REQUIRE(entry.at("directory").is_null());
  REQUIRE(entry.at("renew_after") == "");
  REQUIRE(entry.at("files").as_object().empty());
  // The key's file got lost.
  setting.issue_with([](CertificateRecord&) {});
  fs::remove(setting.store.live("a.test") / "privkey.pem");
  text = setting.text();
  REQUIRE(says(text.out, "not in force"));
  REQUIRE(says(text.out, "due now"));
  REQUIRE(setting.document().list().at(0).at("renewal").at("state") == "due");
  // What only the configuration knows.
  setting.config.certificates.push_back({{"new.test"}, "", {}, {}});
  auto list = setting.document().list();
  REQUIRE(list.size() == 2);
  REQUIRE(list[1].at("name") == "new.test");
  REQUIRE(list[1].at("in_configuration") == true);
  REQUIRE(list[1].at("ca") == "https://ca.test/dir");
}

TEST_CASE("who may not look is told to be root", "[acme]") {
  if (::geteuid() != 0) return;
  ListSetting setting;
  setting.issue();
  fs::permissions(setting.folder.path, fs::perms(0777));
  int result = in_a_process([&] {
    if (!become(kStranger, kStranger)) return 99;
    auto status = setting.document();
    if (status.status != 1) return 1;
    std::string code(json::parse(status.out).at("error").at("code").as_string());
    return code == "denied" && status.err.find("run it as root") != std::string::npos ? 0 : 2;
  });
  REQUIRE(result == 0);
}
