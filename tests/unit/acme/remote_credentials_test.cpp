#include <sys/stat.h>

#include "acme/issue/credentials.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;

namespace {

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

constexpr const char* kRegistration =
    R"({"username":"u1","password":"p1","fulldomain":"4b8c.auth.example.net","subdomain":"4b8c","allowfrom":[]})";
constexpr const char* kStorage = R"({
  "example.com": {"fulldomain":"a1.auth.example.net","subdomain":"a1","username":"ua","password":"pa","server_url":"https://dns.example.net"},
  "*.Shop.example.com.": {"FullDomain":"b1.auth.example.net","SubDomain":"b1","Username":"ub","Password":"pb"}
})";

}  // namespace

TEST_CASE("a registration as /register answers is for every domain", "[acme][remote]") {
  auto credentials = Credentials::parse(kRegistration);
  REQUIRE(credentials);
  const Registration* found = credentials->find("example.com");
  REQUIRE(found != nullptr);
  CHECK(found->username == "u1");
  CHECK(found->password == "p1");
  CHECK(found->fulldomain == name("4b8c.auth.example.net"));
  CHECK(found->zone == name("auth.example.net"));
  CHECK(credentials->find("other.example") == found);
  CHECK(credentials->of(name("4B8C.auth.example.net")) == found);
  CHECK(credentials->of(name("other.auth.example.net")) == nullptr);
}

TEST_CASE("lego's storage is read by domain, in any letter case", "[acme][remote]") {
  auto credentials = Credentials::parse(kStorage);
  REQUIRE(credentials);
  REQUIRE(credentials->find("example.com") != nullptr);
  CHECK(credentials->find("EXAMPLE.com")->username == "ua");
  REQUIRE(credentials->find("shop.example.com") != nullptr);
  CHECK(credentials->find("shop.example.com")->password == "pb");
  CHECK(credentials->find("shop.example.com")->fulldomain == name("b1.auth.example.net"));
  CHECK(credentials->find("www.example.com") == nullptr);
  CHECK(credentials->of(name("b1.auth.example.net"))->username == "ub");
}

TEST_CASE("the only registration of a storage serves other domains too", "[acme][remote]") {
  auto credentials = Credentials::parse(
      R"({"example.com":{"fulldomain":"a1.auth.example.net","subdomain":"a1","username":"ua","password":"pa"}})");
  REQUIRE(credentials);
  REQUIRE(credentials->find("www.example.com") != nullptr);
  CHECK(credentials->find("www.example.com")->username == "ua");
}

TEST_CASE("the zone is what is given, or what stands behind the subdomain, or the parent", "[acme][remote]") {
  auto zone = [](const std::string& members) {
    return Credentials::parse(R"({"username":"u","password":"p",)" + members + "}").value().find("x")->zone;
  };
  CHECK(zone(R"("fulldomain":"example.com.auth.example.net","subdomain":"example.com")") == name("auth.example.net"));
  CHECK(zone(R"("fulldomain":"a.b.auth.example.net","zone":"auth.example.net.")") == name("auth.example.net"));
  CHECK(zone(R"("fulldomain":"a1.auth.example.net")") == name("auth.example.net"));
  CHECK(zone(R"("fulldomain":"a1.auth.example.net","subdomain":"")") == name("auth.example.net"));
  CHECK(zone(R"("fulldomain":"a1.auth.example.net","subdomain":"other")") == name("auth.example.net"));
  CHECK(zone(R"("fulldomain":"a1.auth.example.net","subdomain":"a1.auth.example.net")") == name("auth.example.net"));
}

TEST_CASE("what is no credentials file says what is wrong with it", "[acme][remote]") {
  struct Row {
    const char* text;
    const char* says;
  };
  for (const Row& row : {
           Row{"", "not JSON"},
           Row{"username = x", "not JSON"},
           Row{"[]", "/register"},
           Row{"{}", "/register"},
           Row{"null", "/register"},
           Row{R"({"username":"u","password":"p"})", "no \"fulldomain\""},
           Row{R"({"username":"u","fulldomain":"a.b.c"})", "no \"password\""},
           Row{R"({"password":"p","fulldomain":"a.b.c"})", "no \"username\""},
           Row{R"({"username":"","password":"p","fulldomain":"a.b.c"})", "no \"username\""},
           Row{R"({"username":5,"password":"p","fulldomain":"a.b.c"})", "\"username\" is not a string"},
           Row{R"({"username":"u:v","password":"p","fulldomain":"a.b.c"})", "colon"},
           Row{R"({"username":"u","password":"p\n","fulldomain":"a.b.c"})", "control character"},
           Row{R"({"username":"u","password":"p","fulldomain":"a..c"})", "\"fulldomain\""},
           Row{R"({"username":"u","password":"p","fulldomain":"local"})", "\"fulldomain\""},
           Row{R"({"username":"u","password":"p","fulldomain":"a.b.c","zone":"d.e"})", "not in \"zone\""},
           Row{R"({"username":"u","password":"p","fulldomain":"a.b.c","zone":"d..e"})", "\"zone\""},
           Row{R"({"example.com":{"username":"u"}})", "the registration of \"example.com\": it has no \"password\""},
           Row{R"({"example.com":{"username":"u","password":"p","fulldomain":"a.b.c"},"note":"x"})",
               "the registration of \"note\": it is not an object"},
           Row{R"({"":{"username":"u","password":"p","fulldomain":"a.b.c"}})", "no domain"},
       }) {
    INFO(row.text);
    auto credentials = Credentials::parse(row.text);
    REQUIRE_FALSE(credentials);
    CHECK(credentials.error().code == ErrorCode::Invalid);
    CHECK(contains(credentials.error().message, row.says));
  }
}

TEST_CASE("credentials that everybody can read are refused, with what to do", "[acme][remote]") {
  tests::TemporaryFolder folder;
  auto file = folder.path / "credentials.json";
  REQUIRE(base::create_file(file, kRegistration, 0600));
  CHECK(Credentials::load(file));
  for (unsigned mode : {0604U, 0644U, 0602U, 0666U}) {
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    auto loaded = Credentials::load(file);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == ErrorCode::Denied);
    CHECK(contains(loaded.error().message, fmt::format("mode {:04o}", mode)));
    CHECK(contains(loaded.error().message, "chmod 600 \"" + file.string() + "\""));
  }
  REQUIRE(::chmod(file.c_str(), 0640) == 0);
  CHECK(Credentials::load(file));
  auto missing = Credentials::load(folder.path / "nothing.json");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::NotFound);
  CHECK(contains(missing.error().message, "nothing.json"));
  CHECK_FALSE(Credentials::load(folder.path));
  auto broken = folder.path / "broken.json";
  REQUIRE(base::create_file(broken, "{", 0600));
  CHECK(contains(Credentials::load(broken).error().message, "broken.json"));
}

TEST_CASE("a FIFO in the place of the credentials is not waited for", "[acme][remote]") {
  tests::TemporaryFolder folder;
  auto file = folder.path / "fifo";
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  auto refused = Credentials::load(file);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::Invalid);
  CHECK(contains(refused.error().message, "is no regular file"));
}
