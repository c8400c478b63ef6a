#include "dnsd/api/registrar.hpp"

#include "dnsd/api/registrar_names.hpp"
#include "tests/unit/dnsd/registrar_setting.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace countersign::tests;
using base::ErrorCode;

TEST_CASE("a registration has a random username, name and password, and logs in by them alone", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  const zones::Registration& made = issued.registration;
  CHECK(canonical_username(made.username) == made.username);
  CHECK(made.username[14] == '4');
  CHECK(canonical_username(made.subdomain) == made.subdomain);
  CHECK(made.username != made.subdomain);
  CHECK(made.name.text() == made.subdomain + ".auth.test");
  CHECK(issued.zone.text() == "auth.test");
  CHECK(issued.password.size() == 40);
  CHECK(base::base64url_decode(issued.password)->size() == 30);
  CHECK(made.secret == sha256_of(issued.password));
  CHECK(made.created == setting.zone.clock().wall().time_since_epoch().count());
  CHECK(stored(setting) == std::vector<zones::Registration>{made});

  CHECK_FALSE(log_in(setting, made.username, issued.password));
  std::string wrong = issued.password;
  wrong.back() = wrong.back() == 'a' ? 'b' : 'a';
  for (const std::string& password : {wrong, std::string(), issued.password + "a", made.secret, std::string("\0", 1)})
    CHECK(log_in(setting, made.username, password) == ErrorCode::Denied);
  CHECK(log_in(setting, kUuid, issued.password) == ErrorCode::Denied);
  CHECK(log_in(setting, "", "") == ErrorCode::Denied);
  CHECK(log_in(setting, kUuid, "") == ErrorCode::Denied);
}

TEST_CASE("a username is taken in every spelling of a UUID, and nothing else is one", "[dnsd][api]") {
  const std::string plain = "c36f50e8463244f083fee070fef28a10";
  for (const std::string& spelling :
       {std::string(kUuid), plain, std::string("C36F50E8-4632-44F0-83FE-E070FEF28A10"), "{" + std::string(kUuid) + "}",
        "urn:uuid:" + std::string(kUuid), "URN:UUID:" + std::string(kUuid)})
    CHECK(canonical_username(spelling) == kUuid);
  for (const std::string& spelling :
       {std::string(), plain + "0", "g" + plain.substr(1), std::string(36, '-'), "urn:uuid:" + plain,
        "(" + std::string(kUuid) + ")", std::string(kUuid) + "\n", std::string(32, '\0'),
        "c36f50e84-632-44f0-83fe-e070fef28a10" + std::string(), " " + plain.substr(1)}) {
    INFO(spelling);
    CHECK_FALSE(canonical_username(spelling));
  }
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  CHECK_FALSE(log_in(setting, "{" + issued.registration.username + "}", issued.password));
}

TEST_CASE("a registration may own a domain's own label, which then answers NODATA", "[dnsd][api]") {
  PublicApiSetting setting;
  RegistrationWishes wishes;
  wishes.name = "WWW.Example.com.";
  wishes.label = "the shop";
  wishes.allow_from = {"192.0.2.0/24"};
  wishes.domains = {*base::Name::parse("www.example.com")};
  IssuedRegistration issued = setting.account(wishes);
  CHECK(issued.registration.subdomain == "www.example.com");
  CHECK(issued.registration.name.text() == "www.example.com.auth.test");
  CHECK(stored(setting) == std::vector<zones::Registration>{issued.registration});
  auto again = setting.run(setting.registrar.create(wishes));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::Exists);
  CHECK(setting.registrar.size() == 1);
}

TEST_CASE("a name that no registration can have is refused and makes none", "[dnsd][api]") {
  PublicApiSetting setting;
  // 4 times 61 octets and "auth.test" are 255 octets, the longest name there is.
  std::string longest;
  for (int i = 0; i < 4; ++i) longest += std::string(60, 'a') + ".";
  std::string too_long = "a" + longest;
  for (const std::string& name :
       {std::string("."), std::string(".."), std::string("a..b"), std::string(".a"), std::string("*"),
        std::string("*.example.com"), std::string("a b"), std::string("a\\.b"), std::string("a\0b", 3),
        std::string("b\xc3\xbc.de"), std::string(64, 'a'), too_long, std::string("a/b"), std::string("@")}) {
    INFO(name);
    RegistrationWishes wishes;
    wishes.name = name;
    auto made = setting.run(setting.registrar.create(wishes));
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::Invalid);
    CHECK_FALSE(made.error().message.empty());
  }
  RegistrationWishes alias;
  alias.name = "alias";  // has a CNAME
  auto made = setting.run(setting.registrar.create(alias));
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::Invalid);
  CHECK(stored(setting).empty());
  RegistrationWishes fits;
  fits.name = longest;
  CHECK(setting.account(fits).registration.name.wire().size() == base::kMaxNameLength);
}

TEST_CASE("max_registrations counts those on their way, too", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.max_registrations = 3;
  setting.use();
  setting.account();
  int made = 0, full = 0;
  std::vector<std::optional<base::Result<IssuedRegistration>>> results(5);
  for (auto& result : results) setting.begin(setting.registrar.create(RegistrationWishes()), result);
  setting.go_on();
  for (auto& result : results) {
    REQUIRE(result);
    if (*result)
      ++made;
    else if (result->error().code == ErrorCode::Full)
      ++full;
  }
  CHECK(made == 2);
  CHECK(full == 3);
  CHECK(setting.registrar.size() == 3);
}

TEST_CASE("a rotated password replaces the old one at once, and the mark of use stays", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  CHECK_FALSE(log_in(setting, issued.registration.username, issued.password));
  auto rotated = setting.run(setting.registrar.rotate(issued.registration.username));
  REQUIRE(rotated);
  CHECK(rotated->password != issued.password);
  CHECK(rotated->registration.name == issued.registration.name);
  CHECK(rotated->zone.text() == "auth.test");
  CHECK(rotated->registration.used != 0);
  CHECK(log_in(setting, issued.registration.username, issued.password) == ErrorCode::Denied);
  CHECK_FALSE(log_in(setting, issued.registration.username, rotated->password));
  CHECK(stored(setting).front().secret == sha256_of(rotated->password));
  for (const char* nobody : {kUuid, "", "no\x1buuid"}) {
    auto none = setting.run(setting.registrar.rotate(nobody));
    REQUIRE_FALSE(none);
    CHECK(none.error().code == ErrorCode::NotFound);
    CHECK(none.error().message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("a removed registration is gone with its values, and cannot write while it goes", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  IssuedRegistration other = setting.account();
  REQUIRE(setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)).status == 200);
  REQUIRE(setting.post("/update", setting.update_body(other, challenge('b')), setting.keys(other)).status == 200);
  std::optional<base::Result<void>> removed;
  std::optional<HttpResponse> meanwhile;
  setting.begin(setting.registrar.remove(issued.registration.username), removed);
  HttpRequest late =
      setting.request("POST", "/update", setting.update_body(issued, challenge('c')), setting.keys(issued));
  setting.begin(setting.api.handle_request(std::move(late)), meanwhile);
  setting.go_on();
  REQUIRE(removed);
  CHECK(removed->has_value());
  REQUIRE(meanwhile);
  CHECK(meanwhile->status == 401);
  CHECK(setting.served() == std::vector<std::string>{other.registration.name.text() + "=" + challenge('b')});
  CHECK(stored(setting).size() == 1);
  CHECK(setting.registrar.size() == 1);
  CHECK(log_in(setting, issued.registration.username, issued.password) == ErrorCode::Denied);
  auto again = setting.run(setting.registrar.remove(issued.registration.username));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::NotFound);
  // One that only memory has goes from there.
  setting.zone.registry().put(issued.registration);
  again = setting.run(setting.registrar.remove(issued.registration.username));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::NotFound);
  CHECK_FALSE(setting.registrar.find(issued.registration.username));
}

TEST_CASE("a store that cannot write changes nothing in memory either", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  {
    FullDisk full;
    auto made = setting.run(setting.registrar.create(RegistrationWishes()));
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::Unavailable);
    auto rotated = setting.run(setting.registrar.rotate(issued.registration.username));
    REQUIRE_FALSE(rotated);
    CHECK(rotated.error().code == ErrorCode::Unavailable);
    auto removed = setting.run(setting.registrar.remove(issued.registration.username));
    REQUIRE_FALSE(removed);
    CHECK(removed.error().code == ErrorCode::Unavailable);
    CHECK_FALSE(log_in(setting, issued.registration.username, issued.password));
    setting.run(setting.registrar.tell_marks());
    CHECK(setting.registrar.size() == 1);
  }
  CHECK_FALSE(log_in(setting, issued.registration.username, issued.password));
  // The mark that the store refused was kept.
  CHECK(stored(setting).front().used == 0);
  setting.run(setting.registrar.tell_marks());
  CHECK(stored(setting).front().used != 0);
  CHECK(setting.run(setting.registrar.remove(issued.registration.username)));
}
