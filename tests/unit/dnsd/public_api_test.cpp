// The public API: httpreq and acmeproxy, and what all faces share: paths, methods, CORS, proxies.
#include "dnsd/api/client_address.hpp"
#include "tests/unit/dnsd/public_api_setting.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace countersign::tests;
namespace json = boost::json;

namespace {

IssuedRegistration account_for(PublicApiSetting& setting, const char* domain) {
  RegistrationWishes wishes;
  wishes.domains = {*base::Name::parse(domain)};
  return setting.account(std::move(wishes));
}

PublicApiSetting::Fields login(const IssuedRegistration& issued) {
  return PublicApiSetting::basic(issued.registration.username, issued.password);
}

std::string fqdn_body(std::string_view fqdn, std::string_view value) {
  return json::serialize(json::object{{"fqdn", fqdn}, {"value", value}});
}

std::string client_of(std::string_view peer, PublicApiSetting::Fields fields) {
  std::vector<base::AddressRange> trusted{*base::AddressRange::parse("127.0.0.0/8"),
                                          *base::AddressRange::parse("2001:db8::/32")};
  return client_address(PublicApiSetting::request("POST", "/", "", std::move(fields), peer), trusted).address_text();
}

}  // namespace

TEST_CASE("present publishes at the registration's name, whatever challenge of its domains is named", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = account_for(setting, "example.com");
  std::string name = issued.registration.name.text();
  for (const std::string& fqdn :
       {name, name + ".", std::string("_acme-challenge.example.com."), std::string("_acme-challenge.example.com"),
        std::string("_ACME-challenge.Example.COM.")}) {
    INFO(fqdn);
    // As acme.sh writes it, who then looks for the value in quotes.
    HttpResponse response =
        setting.post("/present", R"({"fqdn": ")" + fqdn + R"(", "value": ")" + challenge('a') + R"("})", login(issued));
    CHECK(response.status == 200);
    CHECK(response.content_type == "application/json");
    CHECK(response.body == R"({"fqdn": ")" + fqdn + R"(", "value": ")" + challenge('a') + R"("})");
  }
  CHECK(setting.served() == std::vector<std::string>{name + "=" + challenge('a')});
}

TEST_CASE("raw mode publishes the digest of the key authorization", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = account_for(setting, "example.com");
  std::string key_authorization = "token.thumbprint";
  std::string digest = base::base64url_encode(base::as_bytes(sha256_of(key_authorization)));
  for (const char* domain : {"example.com", "*.example.com", "EXAMPLE.com."}) {
    INFO(domain);
    std::string body =
        R"({"domain":")" + std::string(domain) + R"(","token":"token","keyAuth":"token.thumbprint"})" + "\n";
    HttpResponse response = setting.post("/present", body, login(issued));
    CHECK(response.status == 200);
    CHECK(text_of(json::parse(response.body), "value") == digest);
  }
  CHECK(setting.served() == std::vector<std::string>{issued.registration.name.text() + "=" + digest});
  CHECK(setting
            .post("/cleanup", R"({"domain":"example.com","token":"token","keyAuth":"token.thumbprint"})", login(issued))
            .status == 200);
  CHECK(setting.served().empty());
}

TEST_CASE("cleanup removes its own value, and a value that is gone is no error", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = account_for(setting, "example.com");
  std::string name = issued.registration.name.text();
  setting.zone.publish(name, "by-hand");
  for (char first : {'a', 'b'})
    CHECK(setting.post("/present", fqdn_body(name, challenge(first)), login(issued)).status == 200);
  HttpResponse gone = setting.post("/cleanup", fqdn_body(name + ".", challenge('a')), login(issued));
  CHECK(gone.status == 200);
  CHECK(gone.body == R"({"fqdn": ")" + name + R"(.", "value": ")" + challenge('a') + R"("})");
  CHECK(setting.post("/cleanup", fqdn_body(name, challenge('a')), login(issued)).status == 200);
  CHECK(setting.post("/cleanup", fqdn_body(name, "by-hand"), login(issued)).status == 200);
  std::vector<std::string> all = setting.served();
  CHECK(all.size() == 2);
  CHECK(std::find(all.begin(), all.end(), name + "=by-hand") != all.end());
  CHECK(std::find(all.begin(), all.end(), name + "=" + challenge('b')) != all.end());
}

TEST_CASE("present refuses where there is no room, and evicts nobody", "[dnsd][api]") {
  PublicApiSetting setting;  // max_values is 3
  IssuedRegistration issued = setting.account();
  std::string name = issued.registration.name.text();
  for (char first : {'a', 'b', 'c'})
    CHECK(setting.post("/present", fqdn_body(name, challenge(first)), login(issued)).status == 200);
  HttpResponse full = setting.post("/present", fqdn_body(name, challenge('d')), login(issued));
  CHECK(full.status == 409);
  CHECK(text_of(json::parse(full.body), "error") == "full");
  CHECK(full.body.find(challenge('d')) == std::string::npos);  // acme.sh would take it for success
  CHECK(setting.post("/present", fqdn_body(name, challenge('a')), login(issued)).status == 200);
  CHECK(setting.served().size() == 3);
}

TEST_CASE("credentials change no other name", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = account_for(setting, "example.com");
  IssuedRegistration other = account_for(setting, "example.org");
  for (const std::string& fqdn :
       {other.registration.name.text(), std::string("auth.test"), std::string("example.com"),
        std::string("_acme-challenge.example.org"), std::string("_acme-challenge.www.example.com"),
        "x." + issued.registration.name.text(), "_acme-challenge." + issued.registration.name.text(),
        std::string("_acme-challenge.example.com.auth.test"), std::string("\\095acme-challenge.example.net")}) {
    for (const char* verb : {"/present", "/cleanup"}) {
      INFO(verb << " " << fqdn);
      HttpResponse response = setting.post(verb, fqdn_body(fqdn, challenge('a')), login(issued));
      CHECK(response.status == 403);
      std::string message = text_of(json::parse(response.body), "message");
      CHECK(message.find(issued.registration.name.text()) != std::string::npos);
      CHECK(message.find("_acme-challenge.example.com") != std::string::npos);
      CHECK(message.find(other.registration.name.text()) == std::string::npos);
    }
  }
  CHECK(setting.served().empty());
}

TEST_CASE("a bad login is a 401 that asks for Basic, before anything else is looked at", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = setting.account();
  std::string username = issued.registration.username;
  for (const PublicApiSetting::Fields& fields :
       {PublicApiSetting::Fields{}, setting.basic(username, "wrong"), setting.basic(kUuid, issued.password),
        setting.basic("", ""), setting.keys(issued), PublicApiSetting::Fields{{"authorization", "Basic"}},
        PublicApiSetting::Fields{{"authorization", "Basic ===="}},
        PublicApiSetting::Fields{{"authorization", "Basic YQ=="}},
        PublicApiSetting::Fields{{"authorization", "Bearer " + issued.password}}}) {
    setting.zone.clock().advance(std::chrono::seconds(2));
    HttpResponse response = setting.post("/present", "nonsense", fields);
    CHECK(response.status == 401);
    CHECK(field_of(response, "WWW-Authenticate") == "Basic realm=\"countersign\"");
    CHECK(text_of(json::parse(response.body), "error") == "unauthorized");
  }
  CHECK(setting.post("/present", "nonsense", setting.basic(username, issued.password)).status == 400);
}

TEST_CASE("a bad body is a 400 that says what is wrong", "[dnsd][api]") {
  PublicApiSetting setting;
  IssuedRegistration issued = account_for(setting, "example.com");
  std::string name = issued.registration.name.text();
  for (const std::string& body : {std::string(),
                                  std::string("null"),
                                  std::string("[]"),
                                  std::string("{}"),
                                  std::string("{\"fqdn\":\"x\"}"),
                                  std::string(R"({"fqdn":7,"value":"x"})"),
                                  std::string(R"({"fqdn":"","value":"x"})"),
                                  std::string(R"({"fqdn":".","value":"x"})"),
                                  std::string(R"({"fqdn":"a..b","value":"x"})"),
                                  fqdn_body(name, ""),
                                  fqdn_body(name, std::string(1025, 'x')),
                                  fqdn_body(name, "a\nb"),
                                  fqdn_body(name, "b\xc3\xbc"),
                                  fqdn_body(std::string(300, 'a'), "x"),
                                  fqdn_body("a\x1b[31m..b", "x"),
                                  std::string(R"({"domain":"example.com"})"),
                                  std::string(R"({"domain":"example.com","keyAuth":""})"),
                                  std::string(R"({"domain":"","keyAuth":"x"})"),
                                  std::string(R"({"domain":"*.","keyAuth":"x"})"),
                                  fqdn_body(name, "x") + "x"}) {
    INFO(body);
    HttpResponse response = setting.post("/present", body, login(issued));
    CHECK(response.status == 400);
    json::value document = json::parse(response.body);
    CHECK(text_of(document, "error") == "invalid");
    CHECK_FALSE(text_of(document, "message").empty());
    CHECK(text_of(document, "message").find('\x1b') == std::string::npos);
  }
  CHECK(setting.served().empty());
  // Any value that a TXT record of ours can have.
  CHECK(setting.post("/present", fqdn_body(name, std::string(300, 'x')), login(issued)).status == 200);
  HttpResponse quotes = setting.post("/present", fqdn_body(name, R"(a "quoted\value)"), login(issued));
  CHECK(quotes.status == 200);
  CHECK(text_of(json::parse(quotes.body), "value") == R"(a "quoted\value)");
}

TEST_CASE("allow_from counts for present, too", "[dnsd][api]") {
  PublicApiSetting setting;
  RegistrationWishes wishes;
  wishes.allow_from = {"192.0.2.0/24"};
  IssuedRegistration issued = setting.account(std::move(wishes));
  std::string body = fqdn_body(issued.registration.name.text(), challenge('a'));
  CHECK(setting.post("/present", body, login(issued)).status == 200);
  HttpResponse refused = setting.post("/cleanup", body, login(issued), "198.51.100.1");
  CHECK(refused.status == 403);
  CHECK(text_of(json::parse(refused.body), "message").find("198.51.100.1") != std::string::npos);
  CHECK(setting.served().size() == 1);
}

TEST_CASE("the client is the rightmost address that no trusted proxy has", "[dnsd][api]") {
  using Fields = PublicApiSetting::Fields;
  auto forwarded = [](const char* list) { return Fields{{"x-forwarded-for", list}}; };
  // From elsewhere the field is anybody's word.
  CHECK(client_of("192.0.2.7", forwarded("198.51.100.1")) == "192.0.2.7");
  CHECK(client_of("127.0.0.1", {}) == "127.0.0.1");
  CHECK(client_of("127.0.0.1", forwarded("198.51.100.1")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("203.0.113.9, 198.51.100.1")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("203.0.113.9, 198.51.100.1 ,127.0.0.2")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("127.0.0.3, 127.0.0.2")) == "127.0.0.3");
  CHECK(client_of("2001:db8::1", forwarded("198.51.100.1:443")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("[2001:db9::1]:443")) == "2001:db9::1");
  CHECK(client_of("127.0.0.1", forwarded("[2001:db9::1]")) == "2001:db9::1");
  CHECK(client_of("127.0.0.1", forwarded("2001:db9::1")) == "2001:db9::1");
  CHECK(client_of("::ffff:127.0.0.1", forwarded("198.51.100.1")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded(",, 198.51.100.1,\t,")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("")) == "127.0.0.1");
  CHECK(client_of("127.0.0.1", {{"x-forwarded-for", "203.0.113.9"}, {"x-forwarded-for", "198.51.100.1"}}) ==
        "198.51.100.1");
  CHECK(client_of("127.0.0.1", {{"x-forwarded-for", "198.51.100.1"}, {"x-forwarded-for", "127.0.0.9"}}) ==
        "198.51.100.1");
  // Never past what cannot be read.
  for (const char* bad : {"unknown", "198.51.100.1:", "198.51.100.1:99999", "1.2.3", "fe80::1%eth0", "[::1", "_hidden",
                          "\"198.51.100.1\"", "198.51.100.1;for=x"}) {
    INFO(bad);
    CHECK(client_of("127.0.0.1", {{"x-forwarded-for", "203.0.113.9, " + std::string(bad)}}) == "unspecified");
    CHECK(client_of("127.0.0.1", {{"x-forwarded-for", "203.0.113.9, " + std::string(bad) + ", 127.0.0.2"}}) ==
          "unspecified");
    CHECK(client_of("127.0.0.1", {{"x-forwarded-for", std::string(bad) + ", 203.0.113.9"}}) == "203.0.113.9");
  }
  CHECK(client_of("127.0.0.1", {{"x-forwarded-for", std::string("1.2.3.4\0", 8)}}) == "unspecified");
  CHECK(client_of("127.0.0.1", {{"x-forwarded-for", std::string(4000, '1')}}) == "unspecified");
  // One client has one name in the log, however it came.
  CHECK(client_of("::ffff:192.0.2.7", {}) == "192.0.2.7");
  CHECK(client_of("127.0.0.1", forwarded("::ffff:198.51.100.1")) == "198.51.100.1");
  CHECK(client_of("127.0.0.1", forwarded("[::ffff:198.51.100.1]:443")) == "198.51.100.1");
}

TEST_CASE("who a trusted proxy cannot name is not the proxy", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.trusted_proxies = {*base::AddressRange::parse("10.0.0.0/8")};
  setting.config.api.registration_allow = {*base::AddressRange::parse("10.0.0.0/8")};
  setting.config.api.registration_rate = {1, 1};
  setting.use();
  auto enroll = [&](const char* list) {
    return setting.post("/register", "", {{"x-forwarded-for", list}}, "10.0.0.1").status;
  };
  CHECK(enroll("unknown") == 403);
  CHECK(enroll("10.0.0.9, _hidden") == 403);
  CHECK(enroll("10.0.0.9") == 201);
  // All of them share one bucket, which is not the proxy's.
  setting.config.api.registration_allow = {};
  setting.use();
  CHECK(enroll("unknown") == 201);
  CHECK(enroll("_hidden") == 429);
  CHECK(enroll("10.0.0.1") == 201);
  RegistrationWishes wishes;
  wishes.allow_from = {"0.0.0.0/0", "::/0"};
  IssuedRegistration issued = setting.account(std::move(wishes));
  PublicApiSetting::Fields fields = setting.keys(issued);
  fields.emplace_back("x-forwarded-for", "unknown");
  CHECK(setting.post("/update", setting.update_body(issued, challenge('a')), fields, "10.0.0.1").status == 401);
}

TEST_CASE("allowfrom is checked against the client behind a trusted proxy, not behind any other", "[dnsd][api]") {
  PublicApiSetting setting;
  setting.config.api.trusted_proxies = {*base::AddressRange::parse("127.0.0.1/32")};
  setting.use();
  RegistrationWishes wishes;
  wishes.allow_from = {"192.0.2.0/24"};
  IssuedRegistration issued = setting.account(std::move(wishes));
  std::string body = setting.update_body(issued, challenge('a'));
  auto update = [&](std::string_view peer, const char* list) {
    PublicApiSetting::Fields fields = setting.keys(issued);
    fields.emplace_back("x-forwarded-for", list);
    return setting.post("/update", body, fields, peer).status;
  };
  CHECK(update("127.0.0.1", "192.0.2.1") == 200);
  CHECK(update("127.0.0.1", "192.0.2.1, 198.51.100.1") == 401);
  CHECK(update("127.0.0.2", "192.0.2.1") == 401);
  CHECK(update("127.0.0.1", "") == 401);
}

TEST_CASE("paths and methods are answered as acme-dns does", "[dnsd][api]") {
  PublicApiSetting setting;
  auto ask = [&](const char* method, const char* target) { return setting.ask(setting.request(method, target)); };
  HttpResponse health = ask("GET", "/health");
  CHECK(health.status == 200);
  CHECK(health.body.empty());
  CHECK(ask("HEAD", "/health").status == 200);
  CHECK(ask("GET", "/health?x=y").status == 200);
  CHECK(ask("GET", "http://api.test/health").status == 200);
  CHECK(ask("POST", "https://api.test/register?a=b").status == 201);
  for (const char* target : {"/", "", "*", "/registers", "/register/x", "/health/../metrics", "/%zz", "/\x01",
                             "register", "http://api.test", "http://", "//", "/v1/status", "/.env"}) {
    INFO(target);
    HttpResponse response = ask("GET", target);
    CHECK(response.status == 404);
    CHECK(response.body == "404 page not found");
    CHECK(response.content_type == "text/plain; charset=utf-8");
  }
  struct Wrong {
    const char* method;
    const char* target;
    const char* allow;
  };
  for (const Wrong& wrong : {Wrong{"GET", "/register", "OPTIONS, POST"}, Wrong{"PUT", "/update", "OPTIONS, POST"},
                             Wrong{"HEAD", "/update", "OPTIONS, POST"}, Wrong{"DELETE", "/present", "OPTIONS, POST"},
                             Wrong{"POST", "/health", "GET, HEAD, OPTIONS"}, Wrong{"post", "/update", "OPTIONS, POST"},
                             Wrong{"", "/cleanup", "OPTIONS, POST"}}) {
    INFO(wrong.method << " " << wrong.target);
    HttpResponse response = ask(wrong.method, wrong.target);
    CHECK(response.status == 405);
    CHECK(response.body == "Method Not Allowed");
    CHECK(response.content_type == "text/plain; charset=utf-8");
    CHECK(field_of(response, "Allow") == wrong.allow);
    CHECK(ask("OPTIONS", wrong.target).status == 200);
    CHECK(field_of(ask("OPTIONS", wrong.target), "Allow") == wrong.allow);
  }
}

TEST_CASE("a path that is nearly right is redirected to the right one of ours", "[dnsd][api]") {
  PublicApiSetting setting;
  for (const char* target : {"/register/", "/Register", "//register", "/./register", "/REGISTER//", "/%72egister"}) {
    INFO(target);
    HttpResponse post = setting.post(target, "");
    CHECK(post.status == 307);
    CHECK(field_of(post, "Location") == "/register");
    HttpResponse get = setting.ask(setting.request("GET", target));
    CHECK(get.status == 301);
    CHECK(field_of(get, "Location") == "/register");
  }
  CHECK(field_of(setting.post("/Update/?a=b", ""), "Location") == "/update?a=b");
  CHECK(field_of(setting.post("/Update/?a=\r\nX: y", ""), "Location") == "/update");
  CHECK(setting.registrar.size() == 0);
}

TEST_CASE("a browser's page of any origin may call the API", "[dnsd][api]") {
  PublicApiSetting setting;
  PublicApiSetting::Fields preflight = {{"origin", "https://page.test"},
                                        {"access-control-request-method", "POST"},
                                        {"access-control-request-headers", "content-type,x-api-key,x-api-user"}};
  HttpResponse allowed = setting.ask(setting.request("OPTIONS", "/update", "", preflight));
  CHECK(allowed.status == 204);
  CHECK(allowed.body.empty());
  CHECK(field_of(allowed, "Access-Control-Allow-Origin") == "*");
  CHECK(field_of(allowed, "Access-Control-Allow-Methods") == "GET, POST, OPTIONS");
  CHECK(field_of(allowed, "Access-Control-Allow-Headers") == "Content-Type, Authorization, X-Api-User, X-Api-Key");
  CHECK_FALSE(field_of(allowed, "Access-Control-Max-Age").empty());
  PublicApiSetting::Fields origin = {{"origin", "https://page.test"}};
  for (const char* target : {"/register", "/update", "/nothing"}) {
    HttpResponse response = setting.post(target, "", origin);
    CHECK(field_of(response, "Access-Control-Allow-Origin") == "*");
  }
  CHECK(field_of(setting.post("/update", ""), "Access-Control-Allow-Origin").empty());
  // How long to wait is none of the fields that a page may see by itself (Fetch, "CORS-safelisted response-header
  // name").
  for (int i = 0; i < 20; ++i) static_cast<void>(setting.post("/update", "", origin));
  HttpResponse limited = setting.post("/update", "", origin);
  CHECK(limited.status == 429);
  CHECK(field_of(limited, "Access-Control-Allow-Origin") == "*");
  CHECK(field_of(limited, "Access-Control-Expose-Headers") == "Retry-After");
  CHECK(field_of(setting.post("/update", ""), "Access-Control-Expose-Headers").empty());
}

namespace {
asio::awaitable<HttpResponse> some_metrics() {
  co_return HttpResponse(200, "up 1\n", "text/plain; version=0.0.4");
}
}  // namespace

TEST_CASE("metrics are for this host alone", "[dnsd][api]") {
  PublicApiSetting setting;
  auto ask = [&](std::string_view peer, PublicApiSetting::Fields fields = {}, const char* method = "GET") {
    return setting.ask(setting.request(method, "/metrics", "", std::move(fields), peer));
  };
  CHECK(ask("127.0.0.1").status == 404);  // nobody gave them
  setting.api.set_metrics(some_metrics);
  CHECK(ask("127.0.0.1").body == "up 1\n");
  CHECK(ask("::1").status == 200);
  CHECK(ask("127.0.0.1", {}, "POST").status == 405);
  CHECK(ask("192.0.2.7").status == 404);
  CHECK(ask("192.0.2.7", {}, "POST").status == 404);
  CHECK(ask("::ffff:127.0.0.1").status == 200);
  for (const char* field : {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "origin"}) {
    HttpResponse response = ask("127.0.0.1", {{field, "127.0.0.1"}});
    CHECK(response.status == 404);
    CHECK(response.body == "404 page not found");
  }
  // A page whose site's name leads to loopback is of one origin with us, as its browser sees it.
  for (const char* host : {"rebound.test", "rebound.test:8080", "127.0.0.1.rebound.test", "localhost.rebound.test",
                           "127.0.0.1@rebound.test", "localhost@rebound.test:80", "[::1", "", "127.0.0.1:x"}) {
    INFO(host);
    CHECK(ask("127.0.0.1", {{"host", host}}).status == 404);
  }
  CHECK(ask("127.0.0.1", {{"host", std::string("127.0.0.1\0.rebound.test", 23)}}).status == 404);
  for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "localhost", "LocalHost:8080"}) {
    INFO(host);
    CHECK(ask("127.0.0.1", {{"host", host}}).status == 200);
  }
  CHECK(setting.ask(setting.request("GET", "/Metrics/", "", {}, "127.0.0.1")).status == 404);
}
