#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>

#include "dnsd/api/control_api.hpp"
#include "dnsd/api/registrar.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
namespace json = boost::json;

namespace {

// The control socket's API with registrations in a real store, without a socket.
struct Api {
  // Before the zone, as in the daemon: the store thread's last completions still hold timers and work of this loop.
  asio::io_context context;
  tests::LiveZone zone;
  DaemonFacts facts;
  Counters counters;
  Registrar registrar{context.get_executor(), zone.registry(), zone.publisher(), zone.clock()};
  ControlApi api{context.get_executor(), zone.publisher(), facts, zone.clock(), &registrar};

  explicit Api(unsigned max_registrations = 100'000) {
    conf::Config config = zone.config();
    config.api.max_registrations = max_registrations;
    registrar.use(config);
    facts.counters.queries = {&counters};
  }

  template <class T>
  T wait(asio::awaitable<T> awaited) {
    std::optional<T> result;
    asio::co_spawn(context, std::move(awaited), [&result](std::exception_ptr, T value) { result = std::move(value); });
    context.restart();
    context.run();
    REQUIRE(result);
    return *std::move(result);
  }

  ApiResponse ask(std::string method, std::string target, std::string body = {}) {
    return wait(api.handle_request(ApiRequest(std::move(method), std::move(target), std::move(body))));
  }
  json::object made(const std::string& body) {
    ApiResponse response = ask("POST", "/v1/registrations", body);
    INFO(response.body);
    REQUIRE(response.status == 201);
    return json::parse(response.body).as_object();
  }
  bool logs_in(const json::object& issued) {
    auto login = wait(registrar.log_in(std::string(issued.at("username").as_string()),
                                       std::string(issued.at("password").as_string()),
                                       *base::SocketAddress::parse("192.0.2.1:4000")));
    return login.has_value();
  }
};

std::string text(const json::object& object, const char* member) {
  return std::string(object.at(member).as_string());
}

std::string error_code(const ApiResponse& response) {
  return std::string(json::parse(response.body).at("error").at("code").as_string());
}

std::string error_message(const ApiResponse& response) {
  return std::string(json::parse(response.body).at("error").at("message").as_string());
}

std::vector<std::string> usernames(const ApiResponse& response) {
  REQUIRE(response.status == 200);
  json::value document = json::parse(response.body);
  std::vector<std::string> names;
  for (const json::value& entry : document.as_array()) names.emplace_back(entry.at("username").as_string());
  return names;
}

}  // namespace

TEST_CASE("a registration is made, found, listed and removed", "[dnsd][api]") {
  Api api;
  json::object issued = api.made(
      R"({"name":"Example.com.","for":["Example.com","www.example.com.","example.com"],"label":"b\u00fcro","allow_from":["192.0.2.7/24","2001:db8::1"]})");
  CHECK(text(issued, "fulldomain") == "example.com.auth.test");
  CHECK(text(issued, "subdomain") == "example.com");
  CHECK(text(issued, "zone") == "auth.test");
  CHECK(text(issued, "username").size() == 36);
  CHECK(text(issued, "password").size() == 40);
  CHECK(text(issued, "label") == "b\xc3\xbcro");
  CHECK(json::serialize(issued.at("for")) == R"(["example.com","www.example.com"])");
  CHECK(json::serialize(issued.at("allowfrom")) == R"(["192.0.2.0/24","2001:db8::1/128"])");
  CHECK(text(issued, "created") == base::format_rfc3339(api.zone.clock().wall()));
  CHECK(api.logs_in(issued));

  std::string path = "/v1/registrations/" + text(issued, "username");
  ApiResponse one = api.ask("GET", path);
  REQUIRE(one.status == 200);
  // The password is nobody's to read again.
  CHECK(one.body.find(text(issued, "password")) == std::string::npos);
  json::object shown = json::parse(one.body).as_object();
  CHECK(shown.size() == 8);
  for (const char* member : {"username", "fulldomain", "subdomain", "allowfrom", "for", "label", "created"})
    CHECK(shown.at(member) == issued.at(member));
  // It was used just now, by logs_in().
  CHECK(text(shown, "used") == base::format_rfc3339(api.zone.clock().wall()));
  CHECK(api.ask("GET", "/v1/registrations").body == "[" + one.body + "]");

  CHECK(api.ask("DELETE", path).status == 204);
  CHECK(api.ask("DELETE", path).status == 404);
  CHECK(api.ask("GET", path).status == 404);
  CHECK(api.ask("GET", "/v1/registrations").body == "[]");
  CHECK_FALSE(api.logs_in(issued));
}

TEST_CASE("a registration without wishes has a name of its own, and was never used", "[dnsd][api]") {
  Api api;
  for (const char* body : {"", "{}", R"({"for":[],"allow_from":[],"label":""})"}) {
    json::object issued = api.made(body);
    CHECK(text(issued, "subdomain").size() == 36);
    CHECK(text(issued, "fulldomain") == text(issued, "subdomain") + ".auth.test");
    json::object shown = json::parse(api.ask("GET", "/v1/registrations/" + text(issued, "username")).body).as_object();
    CHECK(shown.at("used").is_null());
    CHECK(json::serialize(shown.at("allowfrom")) == "[]");
  }
}

TEST_CASE("a rotated password is another, and the old one is worth nothing", "[dnsd][api]") {
  Api api;
  json::object before = api.made(R"({"name":"example.com","for":["example.com"],"label":"web"})");
  std::string path = "/v1/registrations/" + text(before, "username");
  ApiResponse response = api.ask("POST", path + "/rotate");
  REQUIRE(response.status == 200);
  json::object after = json::parse(response.body).as_object();
  CHECK(text(after, "password") != text(before, "password"));
  after["password"] = before.at("password");
  CHECK(after == before);
  CHECK_FALSE(api.logs_in(before));
  CHECK(api.logs_in(json::parse(response.body).as_object()));
  CHECK(api.ask("POST", "/v1/registrations/nobody/rotate").status == 404);
}

TEST_CASE("removing a registration takes its values, and nobody else's", "[dnsd][api]") {
  Api api;
  json::object issued = api.made(R"({"name":"example.com"})");
  zones::TxtChange change;
  change.name = *base::Name::parse("example.com.auth.test");
  change.value = *zones::TxtValue::parse("its own");
  change.owner = "registration:" + text(issued, "username");
  std::promise<bool> done;
  api.zone.publisher().submit(change, [&done](tests::LiveZone::Values values) { done.set_value(values.has_value()); });
  REQUIRE(done.get_future().get());
  REQUIRE(api.ask("PUT", "/v1/txt/example.com.auth.test", R"({"value":"by hand"})").status == 200);
  CHECK(json::parse(api.ask("GET", "/v1/txt").body).as_array().size() == 2);
  CHECK(api.ask("DELETE", "/v1/registrations/" + text(issued, "username")).status == 204);
  json::value left = json::parse(api.ask("GET", "/v1/txt").body);
  REQUIRE(left.as_array().size() == 1);
  CHECK(left.at(0).at("value").as_string() == "by hand");
}

TEST_CASE("registrations are listed in pages, in the order of usernames", "[dnsd][api]") {
  Api api;
  std::vector<std::string> all;
  for (int i = 0; i < 5; ++i) all.push_back(text(api.made("{}"), "username"));
  std::sort(all.begin(), all.end());
  CHECK(usernames(api.ask("GET", "/v1/registrations")) == all);
  CHECK(api.ask("GET", "/v1/registrations").link == "");
  CHECK(api.ask("GET", "/v1/registrations?limit=5").link == "");
  std::vector<std::string> paged;
  std::string target = "/v1/registrations?limit=2";
  for (int pages = 0; !target.empty(); ++pages) {
    REQUIRE(pages < 3);
    ApiResponse page = api.ask("GET", target);
    for (const std::string& username : usernames(page)) paged.push_back(username);
    if (page.link.empty()) break;
    CHECK(page.link == "</v1/registrations?after=" + paged.back() + "&limit=2>; rel=\"next\"");
    target = page.link.substr(1, page.link.find('>') - 1);
  }
  CHECK(paged == all);
  CHECK(usernames(api.ask("GET", "/v1/registrations?after=" + all[3])) == std::vector<std::string>{all[4]});
  CHECK(api.ask("GET", "/v1/registrations?after=zzzz").body == "[]");
}

TEST_CASE("bad requests about registrations are refused with what is wrong, and make none", "[dnsd][api]") {
  Api api;
  std::string long_label = R"({"label":")" + std::string(201, 'x') + R"("})";
  std::string long_name = std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
                          std::string(58, 'd') + ".example";
  std::string too_long = R"({"for":[")" + long_name + R"("]})";
  struct Bad {
    const char* body;
    const char* part;
  };
  for (const Bad& bad : {
           Bad{"nonsense", "not JSON"},
           Bad{"[]", "not a JSON object"},
           Bad{"null", "not a JSON object"},
           Bad{R"({"nmae":"example.com"})", "unknown member \"nmae\"; there are \"name\", \"for\""},
           Bad{R"({"allowfrom":["192.0.2.0/24"]})", "unknown member"},
           Bad{R"({"name":7})", "\"name\" is not a string"},
           Bad{R"({"name":null})", "\"name\" is not a string"},
           Bad{R"({"name":""})", "\"name\": a domain name is empty"},
           Bad{R"({"name":"a..b"})", "empty label"},
           Bad{R"({"name":"."})", "root"},
           Bad{R"({"name":"*.example.com"})", "is a wildcard; leave \"*.\" out"},
           Bad{R"({"name":"b\u00fccher.example"})", "A-labels"},
           Bad{R"({"name":"a b"})", "character other than"},
           Bad{R"({"name":"a\\.b.example"})", "character other than"},
           Bad{R"({"for":"example.com"})", "\"for\" is not a list"},
           Bad{R"({"for":[7]})", "\"for\" has something in it"},
           Bad{R"({"for":["example.com","*.example.com"]})", "is a wildcard"},
           Bad{R"({"for":["*"]})", "is a wildcard"},
           Bad{R"({"for":["_acme-challenge.example.com"]})", "leave \"_acme-challenge.\" out"},
           Bad{R"({"for":["."]})", "root"},
           Bad{R"({"for":[""]})", "empty"},
           Bad{R"({"for":["a/b.example"]})", "character other than"},
           Bad{too_long.c_str(), "is too long: with _acme-challenge."},
           Bad{R"({"label":["x"]})", "\"label\" is not a string"},
           Bad{R"({"label":"a\nb"})", "control character"},
           Bad{R"({"label":"a\u001bb"})", "control character"},
           Bad{R"({"label":"a\u0085b"})", "control character"},
           Bad{"{\"label\":\"\xff\"}", "JSON"},
           Bad{long_label.c_str(), "201 octets"},
           Bad{R"({"allow_from":"192.0.2.0/24"})", "\"allow_from\" is not a list"},
           Bad{R"({"allow_from":["192.0.2.0/33"]})", "\"allow_from\""},
           Bad{R"({"allow_from":[""]})", "\"allow_from\""},
           Bad{R"({"allow_from":["example.com"]})", "\"allow_from\""},
           Bad{R"({"allow_from":["192.0.2.1 "]})", "\"allow_from\""},
       }) {
    INFO(bad.body);
    ApiResponse response = api.ask("POST", "/v1/registrations", bad.body);
    CHECK(response.status == 400);
    CHECK(error_code(response) == "invalid");
    std::string message = error_message(response);
    INFO(message);
    CHECK(message.find(bad.part) != std::string::npos);
  }
  for (const char* target :
       {"/v1/registrations?limit=0", "/v1/registrations?limit=1001", "/v1/registrations?limit=-1",
        "/v1/registrations?limit=", "/v1/registrations?limit=1x", "/v1/registrations?limit=99999999999999999999",
        "/v1/registrations?limit=1&limit=2", "/v1/registrations?after=a&after=b", "/v1/registrations?name=x"}) {
    INFO(target);
    CHECK(api.ask("GET", target).status == 400);
  }
  CHECK(api.ask("POST", "/v1/registrations?x=y", "{}").status == 400);
  CHECK(api.ask("GET", "/v1/registrations/x?y").status == 400);
  CHECK(api.ask("DELETE", "/v1/registrations/x?y").status == 400);
  CHECK(api.ask("POST", "/v1/registrations/x/rotate?y").status == 400);
  CHECK(api.ask("PUT", "/v1/registrations", "{}").allow == "GET, POST");
  CHECK(api.ask("POST", "/v1/registrations/x", "{}").allow == "GET, DELETE");
  CHECK(api.ask("GET", "/v1/registrations/x/rotate").allow == "POST");
  CHECK(api.ask("GET", "/v1/registrations/x/y").status == 404);
  CHECK(api.ask("DELETE", "/v1/registrations/%00'; --").status == 404);
  CHECK(api.ask("GET", "/v1/registrations").body == "[]");
}

TEST_CASE("a registration may be used from 32 ranges, and has each once", "[dnsd][api]") {
  Api api;
  auto body = [](std::size_t count) {
    json::array ranges;
    for (std::size_t i = 0; i < count; ++i) ranges.emplace_back(fmt::format("192.0.2.{}", i));
    ranges.emplace_back("192.0.2.0/32");
    return json::serialize(json::object{{"allow_from", std::move(ranges)}});
  };
  ApiResponse good = api.ask("POST", "/v1/registrations", body(32));
  CHECK(good.status == 201);
  CHECK(json::parse(good.body).at("allowfrom").as_array().size() == 32);
  ApiResponse bad = api.ask("POST", "/v1/registrations", body(33));
  CHECK(bad.status == 400);
  CHECK(error_message(bad).find("more than 32 ranges") != std::string::npos);
}

TEST_CASE("a registration serves up to 500 domains", "[dnsd][api]") {
  Api api;
  auto body = [](std::size_t count) {
    json::array domains;
    for (std::size_t i = 0; i < count; ++i) domains.emplace_back(fmt::format("host{}.example.com", i));
    domains.emplace_back("HOST0.example.com.");  // no other one
    return json::serialize(json::object{{"for", std::move(domains)}});
  };
  CHECK(api.made(body(500)).at("for").as_array().size() == 500);
  ApiResponse more = api.ask("POST", "/v1/registrations", body(501));
  CHECK(more.status == 400);
  CHECK(error_message(more).find("\"for\" has more than 500 domains") != std::string::npos);
  CHECK(usernames(api.ask("GET", "/v1/registrations")).size() == 1);
}

TEST_CASE("a name that is another's, or too many registrations, is 409", "[dnsd][api]") {
  Api api(2);
  api.made(R"({"name":"example.com"})");
  ApiResponse exists = api.ask("POST", "/v1/registrations", R"({"name":"EXAMPLE.com"})");
  CHECK(exists.status == 409);
  CHECK(error_code(exists) == "exists");
  api.made("{}");
  ApiResponse full = api.ask("POST", "/v1/registrations", "{}");
  CHECK(full.status == 409);
  CHECK(error_code(full) == "full");
  CHECK(usernames(api.ask("GET", "/v1/registrations")).size() == 2);
}

TEST_CASE("a name that cannot be served is refused", "[dnsd][api]") {
  Api api;
  // A CNAME stands there.
  CHECK(api.ask("POST", "/v1/registrations", R"({"name":"alias"})").status == 400);
  std::string long_name = R"({"name":")" + std::string(60, 'a') + "." + std::string(60, 'b') + "." +
                          std::string(60, 'c') + "." + std::string(60, 'd') + R"(.e"})";
  CHECK(api.ask("POST", "/v1/registrations", long_name).status == 400);
  CHECK(api.ask("GET", "/v1/registrations").body == "[]");
}

TEST_CASE("without a registrar there are no registrations", "[dnsd][api]") {
  Api api;
  ControlApi bare(api.context.get_executor(), api.zone.publisher(), api.facts, api.zone.clock());
  for (auto [method, target] : {std::pair("GET", "/v1/registrations"), std::pair("POST", "/v1/registrations"),
                                std::pair("GET", "/v1/registrations/x"), std::pair("DELETE", "/v1/registrations/x"),
                                std::pair("POST", "/v1/registrations/x/rotate")}) {
    ApiResponse response = api.wait(bare.handle_request(ApiRequest(method, target, "{}")));
    CHECK(response.status == 503);
    CHECK(error_code(response) == "unavailable");
  }
}
