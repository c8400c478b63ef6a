// The acme-dns face: what its clients look at, octet by octet.
#include "dnsd/api/acme_dns_request.hpp"
#include "tests/unit/dnsd/public_api_setting.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace countersign::tests;
namespace json = boost::json;

namespace {

const std::string kForbidden = R"({"error": "forbidden"})";

struct Sent {
  const char* client;
  std::string body;
  PublicApiSetting::Fields fields;
};

}  // namespace

TEST_CASE("a registration is answered on one line with acme-dns' members in its order", "[dnsd][api]") {
  PublicApiSetting setting;
  HttpResponse response = setting.post("/register", "");
  CHECK(response.status == 201);
  CHECK(response.content_type == "application/json");
  json::value account = json::parse(response.body);
  std::string username = text_of(account, "username"), password = text_of(account, "password");
  std::string subdomain = text_of(account, "subdomain");
  std::string expected = R"({"username":")" + username + R"(","password":")" + password + R"(","fulldomain":")" +
                         subdomain + R"(.auth.test","subdomain":")" + subdomain + R"(","allowfrom":[]})";
  CHECK(response.body == expected);
  CHECK(username.size() == 36);
  CHECK(subdomain.size() == 36);
  CHECK(is_api_key(password));
  auto made = setting.registrar.find(username);
  REQUIRE(made);
  CHECK(made->name.text() == subdomain + ".auth.test");
}

TEST_CASE("every client's registration is taken", "[dnsd][api]") {
  PublicApiSetting setting;
  PublicApiSetting::Fields stray = {{"authorization", "Basic dTpw"}, {"content-type", "text/plain; charset=utf-8"}};
  for (const Sent& sent : {
           Sent{"acme.sh, certbot hooks", "", {}},
           Sent{"goacmedns 0.2.0", "null\n", {{"content-type", "application/json"}}},
           Sent{"Posh-ACME", "{}", {{"content-type", "application/x-www-form-urlencoded"}}},
           Sent{"win-acme", "", stray},
           Sent{"somebody", "{\"username\":\"x\",\"allowfrom\":null, \"other\":[{\"a\":[1,2.5e3,true]}]}\r\n", {}},
           Sent{"pretty", "{\n  \"allowfrom\": [ ]\n}\n", {}},
       }) {
    INFO(sent.client);
    HttpResponse response = setting.post("/register", sent.body, sent.fields);
    CHECK(response.status == 201);
    CHECK(response.body.ends_with(R"(,"allowfrom":[]})"));
  }
}

TEST_CASE("allowfrom is kept as it was sent, in any letter case of its key, and is obeyed", "[dnsd][api]") {
  PublicApiSetting setting;
  HttpResponse response = setting.post(
      "/register",
      R"({"AllowFrom":["192.0.2.7/24","[198.51.100.1]/32","2001:DB8::1/032","::ffff:203.0.113.0/120","::/0"]})");
  REQUIRE(response.status == 201);
  CHECK(response.body.ends_with(
      R"(,"allowfrom":["192.0.2.7/24","198.51.100.1/32","2001:DB8::1/032","::ffff:203.0.113.0/120","::/0"]})"));
  json::value account = json::parse(response.body);
  PublicApiSetting::Fields keys = {{"x-api-user", text_of(account, "username")},
                                   {"x-api-key", text_of(account, "password")}};
  std::string body = R"({"subdomain":")" + text_of(account, "subdomain") + R"(","txt":")" + challenge('a') + "\"}";
  for (const char* allowed : {"192.0.2.200", "198.51.100.1", "2001:db8::99", "203.0.113.9", "::ffff:192.0.2.1"}) {
    INFO(allowed);
    CHECK(setting.post("/update", body, keys, allowed).status == 200);
  }
  // "::/0" is no IPv4 address.
  for (const char* refused : {"192.0.3.1", "198.51.100.2", "127.0.0.1"}) {
    INFO(refused);
    HttpResponse answer = setting.post("/update", body, keys, refused);
    CHECK(answer.status == 401);
    CHECK(answer.body == kForbidden);
  }
}

TEST_CASE("allowfrom has each entry once, and no more of them than anybody needs", "[dnsd][api]") {
  PublicApiSetting setting;
  auto body = [](int entries) {
    std::string list;
    for (int i = 0; i < entries; ++i) {
      std::string entry = "\"192.0.2." + std::to_string(i) + "/32\"";
      list += (i > 0 ? "," : "") + entry + ",\"203.0.113.0/24\"";
    }
    return R"({"allowfrom":[)" + list + "]}";
  };
  HttpResponse two = setting.post("/register", body(2));
  REQUIRE(two.status == 201);
  CHECK(two.body.ends_with(R"(,"allowfrom":["192.0.2.0/32","203.0.113.0/24","192.0.2.1/32"]})"));
  CHECK(setting.post("/register", body(31)).status == 201);
  HttpResponse too_many = setting.post("/register", body(32));
  CHECK(too_many.status == 400);
  CHECK(too_many.body == R"({"error": "invalid_allowfrom_cidr"})");
  CHECK(setting.registrar.size() == 2);
}

TEST_CASE("an entry of allowfrom that cannot be read any more lets nobody in", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  issued.registration.allow_from = {"somewhere"};
  setting.zone.registry().put(issued.registration);
  CHECK(setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)).status == 401);
}

TEST_CASE("a registration's body that acme-dns refuses is refused in its words", "[dnsd][api]") {
  PublicApiSetting setting;
  const std::string malformed = R"({"error": "malformed_json_payload"})";
  const std::string no_cidr = R"({"error": "invalid_allowfrom_cidr"})";
  std::string deep = R"({"x":)" + std::string(2000, '[') + std::string(2000, ']') + "}";
  for (const std::string& body :
       {std::string(R"({"allowfrom":"x"})"), std::string(R"({"allowfrom":[1]})"), std::string("[]"),
        std::string("\"\""), std::string("{} x"), std::string(" "), std::string("x"), std::string("{"),
        std::string("true"), std::string("7"), std::string("{}{}"), std::string("\xef\xbb\xbf{}"), std::string("\0", 1),
        std::string(R"({"allowfrom":[["1.2.3.4/32"]]})"), std::string(R"({"allowfrom":{}})"),
        std::string(R"({"allowfrom":["1.2.3.4/32",{}]})"), std::string("{\"a\":\"\x01\"}"), deep,
        std::string("username=x")}) {
    INFO(body);
    HttpResponse response = setting.post("/register", body);
    CHECK(response.status == 400);
    CHECK(response.body == malformed);
  }
  for (const char* entry : {"1.2.3.4", "1.2.3.4/33", "01.2.3.4/24", "fe80::1%eth0/64", "", " 1.2.3.4/32", "::/129",
                            "1.2.3.4/-1", "1.2.3/24", "1.2.3.4/2 4", "x/1"}) {
    INFO(entry);
    HttpResponse response =
        setting.post("/register", R"({"allowfrom":["192.0.2.0/24",")" + std::string(entry) + "\"]}");
    CHECK(response.status == 400);
    CHECK(response.body == no_cidr);
  }
  CHECK(setting.post("/register", R"({"allowfrom":[null]})").body == no_cidr);
  CHECK(setting.registrar.size() == 0);
}

TEST_CASE("an update is served before its answer, which has the value in quotes", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  HttpResponse response = setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued));
  CHECK(response.status == 200);
  CHECK(response.content_type == "application/json");
  CHECK(response.body == R"({"txt": ")" + challenge('a') + R"("})");
  CHECK(setting.served() == std::vector<std::string>{issued.registration.name.text() + "=" + challenge('a')});
}

TEST_CASE("every client's update is taken", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  std::string subdomain = issued.registration.subdomain, value = challenge('a');
  std::string pair = subdomain + R"(","txt":")" + value + R"("})";
  for (const Sent& sent : {
           Sent{"acme.sh", R"({"subdomain":")" + subdomain + R"(", "txt": ")" + value + R"("})", {}},
           Sent{"goacmedns 0.1.1", R"({"SubDomain":")" + subdomain + R"(","Txt":")" + value + R"("})", {}},
           Sent{"goacmedns 0.2.0", R"({"subdomain":")" + pair + "\n", {{"content-type", "application/json"}}},
           Sent{"Posh-ACME", R"({"subdomain":")" + pair, {{"content-type", "application/x-www-form-urlencoded"}}},
           Sent{"win-acme", R"({"subdomain":")" + pair, {{"authorization", "Basic dTpw"}}},
           Sent{"shouting", R"({"SUBDOMAIN":")" + subdomain + R"(","TXT":")" + value + R"("})", {}},
           Sent{"foreign members", R"({"a":{"txt":7},"b":[1,{}],"c":null,"subdomain":")" + pair, {}},
           Sent{"twice", R"({"txt":"x","TXT":5,"subdomain":"no","subdomain":")" + pair, {}},
           Sent{"text behind", R"({"subdomain":")" + pair + " and more {", {}},
           Sent{"escapes", R"({"subdomain":")" + subdomain + R"(","txt":"\u0061)" + value.substr(1) + R"("})", {}},
       }) {
    INFO(sent.client);
    PublicApiSetting::Fields fields = setting.keys(issued);
    fields.insert(fields.end(), sent.fields.begin(), sent.fields.end());
    HttpResponse response = setting.post("/update", sent.body, fields);
    CHECK(response.status == 200);
    CHECK(response.body == R"({"txt": ")" + value + R"("})");
  }
  // All of them were the same value.
  CHECK(setting.served().size() == 1);
}

TEST_CASE("what is wrong before the value is forbidden, whatever it is", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  IssuedRegistration other = setting.account();
  setting.zone.clock().advance(std::chrono::hours(1));
  std::string good = setting.update_body(issued, challenge('a'));
  PublicApiSetting::Fields keys = setting.keys(issued);
  auto refused = [&](const std::string& what, const std::string& body, const PublicApiSetting::Fields& fields) {
    INFO(what);
    setting.zone.clock().advance(std::chrono::seconds(2));  // a failed login costs its address a second
    HttpResponse response = setting.post("/update", body, fields);
    CHECK(response.status == 401);
    CHECK(response.body == kForbidden);
    CHECK(response.content_type == "application/json");
  };
  refused("no headers", good, {});
  refused("no key", good, {keys[0]});
  refused("no user", good, {keys[1]});
  refused("no UUID", good, {{"x-api-user", "me"}, keys[1]});
  refused("somebody else", good, {{"x-api-user", kUuid}, keys[1]});
  refused("another's key", good, {keys[0], {"x-api-key", other.password}});
  refused("a short key", good, {keys[0], {"x-api-key", issued.password.substr(1)}});
  refused("an odd key", good, {keys[0], {"x-api-key", std::string(39, 'a') + "$"}});
  refused("the digest as a key", good, {keys[0], {"x-api-key", issued.registration.secret}});
  refused("another's subdomain", setting.update_body(other, challenge('a')), keys);
  refused("the full domain",
          R"({"subdomain":")" + issued.registration.name.text() + R"(","txt":")" + challenge('a') + "\"}", keys);
  std::string upper = issued.registration.subdomain;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  if (upper != issued.registration.subdomain)
    refused("in upper case", R"({"subdomain":")" + upper + R"(","txt":")" + challenge('a') + "\"}", keys);
  for (const std::string& body : {std::string(), std::string("[]"), std::string("null"), std::string("{}"),
                                  std::string("{"), std::string(R"({"subdomain":7,"txt":"x"})"), "\xef\xbb\xbf" + good,
                                  std::string(" "), std::string("subdomain=x&txt=y"), good.substr(0, good.size() - 1),
                                  std::string(4096, '['), std::string("{\"subdomain\":\"\0\"}", 17)})
    refused("body " + body, body, keys);
  CHECK(setting.served().empty());
}

TEST_CASE("a value that no CA asks for is a bad one", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  std::string head = R"({"subdomain":")" + issued.registration.subdomain + "\"";
  for (const std::string& rest :
       {std::string("}"), std::string(R"(,"txt":null})"), std::string(R"(,"txt":43})"), std::string(R"(,"txt":""})"),
        R"(,"txt":[")" + challenge('a') + R"("]})", R"(,"txt":")" + challenge('a') + R"(a"})",
        R"(,"txt":")" + challenge('a').substr(1) + R"("})", R"(,"txt":")" + challenge('=') + R"("})",
        R"(,"txt":")" + challenge('+') + R"("})", R"(,"txt":"\u0000)" + challenge('a').substr(1) + R"("})",
        R"(,"txt":")" + challenge('a') + R"(","Txt":false})"}) {
    INFO(rest);
    HttpResponse response = setting.post("/update", head + rest, setting.keys(issued));
    CHECK(response.status == 400);
    CHECK(response.body == R"({"error": "bad_txt"})");
  }
  CHECK(setting.served().empty());
}

TEST_CASE("the newest values stay, a repeat drives none out, and others' values stay too", "[dnsd][api]") {
  PublicApiSetting setting;  // max_values is 3
  IssuedRegistration issued = setting.account();
  setting.zone.publish(issued.registration.name.text(), "by-hand");
  for (char first : {'a', 'b', 'b', 'b', 'c'}) {
    HttpResponse response =
        setting.post("/update", setting.update_body(issued, challenge(first)), setting.keys(issued));
    CHECK(response.status == 200);
  }
  std::vector<std::string> all = setting.served();
  std::sort(all.begin(), all.end());
  std::string name = issued.registration.name.text() + "=";
  CHECK(all == std::vector<std::string>{name + challenge('b'), name + "by-hand", name + challenge('c')});
}

TEST_CASE("a full disk is a 503 that says so, and nothing is served that is not stored", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  {
    FullDisk full;
    for (const HttpResponse& response :
         {setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)),
          setting.post("/register", "")}) {
      CHECK(response.status == 503);
      json::value body = json::parse(response.body);
      CHECK(text_of(body, "error") == "store_unavailable");
      CHECK_FALSE(text_of(body, "message").empty());
      CHECK(response.body.find('\n') == std::string::npos);
    }
    CHECK(setting.served().empty());
  }
  CHECK(setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)).status == 200);
}

TEST_CASE("closed registration answers as acme-dns without one, and updates go on", "[dnsd][api]") {
  PublicApiSetting setting(conf::RegistrationMode::Closed);
  HttpResponse response = setting.post("/register", "{}");
  CHECK(response.status == 404);
  CHECK(response.body == "404 page not found");
  CHECK(response.content_type.starts_with("text/plain"));
  IssuedRegistration issued = setting.account();
  CHECK(setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)).status == 200);
}

TEST_CASE("with a token, registration takes it as a bearer or as a Basic password", "[dnsd][api]") {
  PublicApiSetting setting(conf::RegistrationMode::Token);
  const std::string token = "s3cret token";
  setting.use(token);
  CHECK(setting.post("/register", "", {{"authorization", "Bearer " + token}}).status == 201);
  CHECK(setting.post("/register", "", {{"authorization", "bearer  " + token + " "}}).status == 201);
  CHECK(setting.post("/register", "", setting.basic("x", token)).status == 201);
  CHECK(setting.post("/register", "", setting.basic("", token)).status == 201);
  for (const PublicApiSetting::Fields& fields :
       {PublicApiSetting::Fields{}, PublicApiSetting::Fields{{"authorization", token}},
        PublicApiSetting::Fields{{"authorization", "Bearer"}}, PublicApiSetting::Fields{{"authorization", "Bearer "}},
        PublicApiSetting::Fields{{"authorization", "Bearer " + token + "x"}},
        PublicApiSetting::Fields{{"authorization", "Basic !"}}, setting.basic(token, ""), setting.basic("x", "y")}) {
    // Before the body: a stranger learns nothing.
    HttpResponse response = setting.post("/register", "nonsense", fields, "198.51.100.1");
    CHECK(response.status == 401);
    CHECK(response.body == R"({"error": "unauthorized"})");
    CHECK_FALSE(field_of(response, "WWW-Authenticate").empty());
  }
  CHECK(setting.registrar.size() == 4);
  // A token that could not be read is nobody's.
  setting.use("");
  CHECK(setting.post("/register", "", {{"authorization", "Bearer "}}).status == 401);
  CHECK(setting.post("/register", "", setting.basic("x", "")).status == 401);
}

TEST_CASE("registration is limited by address, by rate and in number", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.registration_allow = {*base::AddressRange::parse("192.0.2.0/24"),
                                           *base::AddressRange::parse("2001:db8::/32")};
  setting.config.api.registration_rate = {1, 2};
  setting.config.api.max_registrations = 5;
  setting.use();
  HttpResponse elsewhere = setting.post("/register", "", {}, "198.51.100.1");
  CHECK(elsewhere.status == 403);
  CHECK(elsewhere.body == R"({"error": "registration_not_allowed"})");
  CHECK(setting.post("/register", "", {}, "2001:db8::1").status == 201);
  CHECK(setting.post("/register", "", {}, "2001:db8::2").status == 201);
  // The same /64 is the same subscriber.
  HttpResponse too_many = setting.post("/register", "", {}, "2001:db8::3");
  CHECK(too_many.status == 429);
  CHECK(too_many.body == R"({"error": "too_many_requests"})");
  CHECK(field_of(too_many, "Retry-After") == "60");
  CHECK(setting.post("/register", "", {}, "2001:db8:0:1::1").status == 201);
  setting.zone.clock().advance(std::chrono::seconds(60));
  CHECK(setting.post("/register", "", {}, "2001:db8::3").status == 201);
  CHECK(setting.post("/register", "", {}, "192.0.2.1").status == 201);
  HttpResponse full = setting.post("/register", "", {}, "192.0.2.2");
  CHECK(full.status == 403);
  CHECK(full.body == R"({"error": "too_many_registrations"})");
}

TEST_CASE("updates are limited per registration", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.update_rate = {2, 3};
  setting.use();
  IssuedRegistration issued = setting.account();
  IssuedRegistration other = setting.account();
  for (int i = 0; i < 3; ++i)
    CHECK(setting.post("/update", setting.update_body(issued, challenge('a')), setting.keys(issued)).status == 200);
  HttpResponse limited = setting.post("/update", setting.update_body(issued, challenge('b')), setting.keys(issued));
  CHECK(limited.status == 429);
  CHECK(field_of(limited, "Retry-After") == "1");
  CHECK(setting.post("/update", setting.update_body(other, challenge('b')), setting.keys(other)).status == 200);
  setting.zone.clock().advance(std::chrono::milliseconds(500));
  CHECK(setting.post("/update", setting.update_body(issued, challenge('b')), setting.keys(issued)).status == 200);
}

TEST_CASE("failed logins are limited per address, and a right password always passes", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  std::string body = setting.update_body(issued, challenge('a'));
  PublicApiSetting::Fields wrong = {{"x-api-user", kUuid}, {"x-api-key", issued.password}};
  for (int i = 0; i < 10; ++i) CHECK(setting.post("/update", body, wrong).status == 401);
  HttpResponse limited = setting.post("/update", body, wrong);
  CHECK(limited.status == 429);
  CHECK_FALSE(field_of(limited, "Retry-After").empty());
  CHECK(setting.post("/present", "{}").status == 429);
  CHECK(setting.post("/update", body, setting.keys(issued)).status == 200);
  CHECK(setting.post("/update", body, wrong, "198.51.100.1").status == 401);
}

TEST_CASE("an account of acme-dns goes on with its password", "[dnsd][api]") {
  PublicApiSetting setting;
  const std::string password = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ-_34";
  zones::Registration imported = setting.import_bcrypt(password);
  std::string body = R"({"subdomain":"imported","txt":")" + challenge('a') + "\"}";
  PublicApiSetting::Fields keys = {{"x-api-user", imported.username}, {"x-api-key", password}};
  CHECK(setting.post("/update", body, {keys[0], {"x-api-key", std::string(40, 'x')}}).body == kForbidden);
  CHECK(setting.post("/update", body, keys).status == 200);
  CHECK_FALSE(setting.registrar.find(imported.username)->is_bcrypt());
  CHECK(setting.post("/update", body, keys).status == 200);
}
