#include "acme/issue/remote_publisher.hpp"

#include <boost/json.hpp>
#include <mutex>
#include <set>

#include "base/encoding.hpp"
#include "base/files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_http_server.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/acme/fake_name_server.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using std::chrono::milliseconds;
using test::FakeNameServer;
using tests::MockReply;
using tests::MockRequest;

namespace {

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

std::string basic(const std::string& text) {
  return "Basic " + base::base64_encode(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

// The daemon's API as two registrations see it: /present and /cleanup on a table of values.
class Api {
 public:
  Api() : server([this](const MockRequest& request) { return answer(request); }) {}

  [[nodiscard]] std::set<std::string> values() {
    std::lock_guard lock(mutex);
    return served;
  }

  std::map<std::string, std::string> names{{basic("ua:pa"), "a1.auth.example.net."},
                                           {basic("ub:pb"), "b1.auth.example.net."}};
  // Answers instead, while there are any.
  std::vector<MockReply> instead;
  tests::MockHttpServer server;

 private:
  MockReply answer(const MockRequest& request) {
    std::lock_guard lock(mutex);
    if (!instead.empty()) {
      MockReply reply = instead.front();
      instead.erase(instead.begin());
      if (reply.status != 200) return reply;
    }
    if (!request.path.ends_with("/present") && !request.path.ends_with("/cleanup"))
      return {404, {}, "404 page not found"};
    auto known = names.find(request.header("authorization"));
    if (known == names.end()) return {401, {}, R"({"error": "forbidden"})"};
    auto body = boost::json::parse(request.body).as_object();
    std::string fqdn(body.at("fqdn").as_string());
    if (fqdn != known->second) return {403, {}, R"({"error": "not your name"})"};
    std::string entry = fqdn + " " + std::string(body.at("value").as_string());
    if (request.path.ends_with("/present"))
      served.insert(entry);
    else
      served.erase(entry);
    return {200, {}, "{}"};
  }

  std::mutex mutex;
  std::set<std::string> served;
};

constexpr const char* kStorage = R"({
  "example.test": {"fulldomain":"a1.auth.example.net","subdomain":"a1","username":"ua","password":"pa"},
  "www.example.test": {"fulldomain":"b1.auth.example.net","subdomain":"b1","username":"ub","password":"pb"}
})";

const TxtValue kA{base::Name::parse("a1.auth.example.net").value(), "value-a"};
const TxtValue kB{base::Name::parse("b1.auth.example.net").value(), "value-b"};

struct Setting {
  tests::TemporaryFolder folder;
  Api api;
  conf::Acme acme;
  std::string credentials = kStorage;

  std::unique_ptr<RemotePublisher> open(const std::string& prefix = "") {
    auto file = folder.path / "credentials.json";
    REQUIRE(base::replace_file(file, credentials, 0600));
    auto opened = RemotePublisher::open(acme, api.server.url(prefix), file.string());
    if (!opened) FAIL(opened.error().message);
    return *std::move(opened);
  }
};

// A resolver's view with the zone delegated.
std::map<std::string, test::Says> with_zone(std::map<std::string, test::Says> entries) {
  entries.emplace("auth.example.net NS", test::Says{.answer = {"auth.example.net NS ns1.auth.example.net"}});
  return entries;
}

}  // namespace

TEST_CASE("values are presented and cleaned up, each with its own registration", "[acme][remote]") {
  Setting setting;
  auto publisher = setting.open();
  REQUIRE(publisher->publish({kA, kB}, std::nullopt));
  CHECK(setting.api.values() == std::set<std::string>{"a1.auth.example.net. value-a", "b1.auth.example.net. value-b"});
  REQUIRE(publisher->withdraw({kA}));
  CHECK(setting.api.values() == std::set<std::string>{"b1.auth.example.net. value-b"});
  // What is not there is no error.
  REQUIRE(publisher->withdraw({kA, kB}));
  CHECK(setting.api.values().empty());
  REQUIRE(publisher->publish({}, std::nullopt));
  for (const MockRequest& request : setting.api.server.requests()) {
    CHECK(request.method == "POST");
    CHECK(request.header("content-type") == "application/json");
  }
}

TEST_CASE("the API may stand below a path, with or without its final slash", "[acme][remote]") {
  Setting setting;
  for (const char* prefix : {"/dns", "/dns/"}) {
    auto publisher = setting.open(prefix);
    REQUIRE(publisher->publish({kA}, std::nullopt));
  }
  CHECK(setting.api.server.count("/dns/present") == 2);
}

TEST_CASE("what a remote server refuses is told with what to do", "[acme][remote]") {
  struct Row {
    int status;
    const char* body;
    ErrorCode code;
    const char* says;
  };
  for (const Row& row : {
           Row{400, R"({"error": "bad_txt"})", ErrorCode::Invalid,
               "refuses the value for a1.auth.example.net: bad_txt"},
           Row{401, R"({"error": "forbidden"})", ErrorCode::Denied, "does not accept the credentials"},
           Row{403, R"({"error":{"code":"denied","message":"198.51.100.1 is not in allowfrom"}})", ErrorCode::Denied,
               "198.51.100.1 is not in allowfrom"},
           Row{404, "404 page not found", ErrorCode::Usage, "has no /present"},
           Row{405, "Method Not Allowed", ErrorCode::Usage, "has no /present"},
           Row{409, R"({"error": "16 values are there"})", ErrorCode::Full, "16 values are there"},
           Row{500, "", ErrorCode::Unavailable, "see the log of the daemon there"},
           Row{302, "", ErrorCode::Protocol, "HTTP status 302"},
           Row{418, "<html>\x1b[2Jtea</html>", ErrorCode::Protocol, "is it a countersignd"},
       }) {
    Setting setting;
    setting.api.instead = {{row.status, {}, row.body}};
    auto published = setting.open()->publish({kA}, std::nullopt);
    INFO(row.status);
    REQUIRE_FALSE(published);
    CHECK(published.error().code == row.code);
    CHECK(contains(published.error().message, row.says));
    CHECK(published.error().message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("a wrong password is the server's 401, not a crash", "[acme][remote]") {
  Setting setting;
  setting.api.names.erase(basic("ub:pb"));
  auto published = setting.open()->publish({kA, kB}, std::nullopt);
  REQUIRE_FALSE(published);
  CHECK(published.error().code == ErrorCode::Denied);
  CHECK(contains(published.error().message, "b1.auth.example.net"));
  // The other one was tried all the same, so that withdraw() has to take it away.
  CHECK(setting.api.values().size() == 1);
}

TEST_CASE("a busy server is asked again, for what it did not do", "[acme][remote]") {
  Setting setting;
  setting.api.instead = {{200, {}, ""}, {503, {}, R"({"error": "store"})"}, {429, {{"Retry-After", "1"}}, ""}};
  REQUIRE(setting.open()->publish({kA, kB}, std::nullopt));
  CHECK(setting.api.values().size() == 2);
  CHECK(setting.api.server.count("/present") == 4);
}

TEST_CASE("a server that stays busy is given up, a long wait at once", "[acme][remote]") {
  Setting setting;
  setting.api.instead = {{429, {{"Retry-After", "3600"}}, ""}};
  auto began = std::chrono::steady_clock::now();
  auto limited = setting.open()->publish({kA}, std::nullopt);
  REQUIRE_FALSE(limited);
  CHECK(limited.error().code == ErrorCode::Unavailable);
  CHECK(contains(limited.error().message, "try again after 20"));
  CHECK(setting.api.server.count("/present") == 1);
  CHECK(std::chrono::steady_clock::now() - began < milliseconds(5'000));

  setting.api.instead.assign(10, MockReply{503, {{"Retry-After", "0"}}, "restarting"});
  auto busy = setting.open()->publish({kA}, std::nullopt);
  REQUIRE_FALSE(busy);
  CHECK(busy.error().code == ErrorCode::Unavailable);
  CHECK(contains(busy.error().message, "restarting"));
  CHECK(setting.api.server.count("/present") == 5);
}

TEST_CASE("a cut connection is an error that names the server", "[acme][remote]") {
  Setting setting;
  MockReply cut;
  cut.status = 500;
  cut.fault = MockReply::Fault::CloseWithoutAnswer;
  setting.api.instead.assign(4, cut);
  auto published = setting.open()->publish({kA}, std::nullopt);
  REQUIRE_FALSE(published);
  CHECK(contains(published.error().message, "127.0.0.1"));
}

TEST_CASE("a name without credentials is refused before anything is sent", "[acme][remote]") {
  Setting setting;
  auto publisher = setting.open();
  for (auto changed : {publisher->publish({kA, {name("c1.auth.example.net"), "x"}}, std::nullopt),
                       publisher->withdraw({{name("c1.auth.example.net"), "x"}})}) {
    REQUIRE_FALSE(changed);
    CHECK(changed.error().code == ErrorCode::NotFound);
    CHECK(contains(changed.error().message, "c1.auth.example.net"));
  }
  CHECK(setting.api.server.requests().empty());
}

TEST_CASE("a standing record needs the control socket", "[acme][remote]") {
  Setting setting;
  auto published = setting.open()->publish({kA}, milliseconds(0));
  REQUIRE_FALSE(published);
  CHECK(published.error().code == ErrorCode::Usage);
  CHECK(contains(published.error().message, "control socket"));
  CHECK(setting.api.server.requests().empty());
}

TEST_CASE("a server or credentials that cannot be used are a usage error", "[acme][remote]") {
  tests::TemporaryFolder folder;
  auto file = (folder.path / "credentials.json").string();
  REQUIRE(base::create_file(file, kStorage, 0600));
  struct Row {
    const char* server;
    const char* says;
  };
  for (const Row& row :
       {Row{"dns.example.net", "https://HOST"}, Row{"", "https://HOST"}, Row{"http://dns.example.net", "use https"},
        Row{"ftp://dns.example.net", "http"}, Row{"https://u:p@dns.example.net", "user name"},
        Row{"https://dns.example.net/?a=b", "without"}, Row{"https://dns.example.net/#x", "without"}}) {
    INFO(row.server);
    auto opened = RemotePublisher::open({}, row.server, file);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == ErrorCode::Usage);
    CHECK(contains(opened.error().message, row.says));
  }
  CHECK(RemotePublisher::open({}, "https://dns.example.net:8443/prefix/", file));
  CHECK(RemotePublisher::open({}, "http://127.0.0.1:8053", file));
  auto missing = RemotePublisher::open({}, "https://dns.example.net", file + "x");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::Usage);
  CHECK(contains(missing.error().message, "credentials.jsonx"));
}

TEST_CASE("a chain must end at the name of its registration", "[acme][remote]") {
  Setting setting;
  FakeNameServer resolver(test::table(with_zone({
      {"_acme-challenge.example.test CNAME", {.answer = {"_acme-challenge.example.test CNAME a1.auth.example.net"}}},
      // Another registration's.
      {"_acme-challenge.www.example.test CNAME",
       {.answer = {"_acme-challenge.www.example.test CNAME a1.auth.example.net"}}},
  })));
  setting.acme.resolver = resolver.address().text();
  auto publisher = setting.open();
  auto identifiers =
      parse_identifiers({"*.example.test", "other.test", "www.example.test", "example.test", "mail.example.test"})
          .value();
  auto located = publisher->locate(dns01_places(identifiers));
  REQUIRE(located);
  REQUIRE(located->size() == 5);
  CHECK(located->at(0).zone == name("auth.example.net"));
  CHECK(located->at(0).target == name("a1.auth.example.net"));
  CHECK_FALSE(located->at(1).zone);
  CHECK(contains(located->at(1).problem, "no registration for other.test"));
  CHECK(located->at(1).remedy == "");
  CHECK_FALSE(located->at(2).zone);
  CHECK(contains(located->at(2).problem,
                 "leads to a1.auth.example.net, but the registration may change b1.auth.example.net only"));
  CHECK(located->at(2).remedy == "_acme-challenge.www.example.test. IN CNAME b1.auth.example.net.");
  CHECK(located->at(3).identifier.text() == "example.test");
  CHECK(located->at(3).zone);
  CHECK_FALSE(located->at(4).zone);
}

TEST_CASE("a missing CNAME is named with the registration's own name", "[acme][remote]") {
  Setting setting;
  setting.credentials =
      R"({"username":"ua","password":"pa","fulldomain":"a1.auth.example.net","subdomain":"a1","allowfrom":[]})";
  FakeNameServer resolver(test::table(with_zone({
      {"_acme-challenge.elsewhere.test CNAME",
       {.answer = {"_acme-challenge.elsewhere.test CNAME elsewhere.acme-dns.example"}}},
  })));
  setting.acme.resolver = resolver.address().text();
  std::string label(60, 'a');
  std::string longest = label + "." + label + "." + label + "." + std::string(40, 'b') + ".test";
  auto places = dns01_places(parse_identifiers({"www.example.test", "elsewhere.test", longest}).value());
  places.push_back(place_of(places[0].identifier, "_ujmmovf2vn55tgye._acme-challenge").value());
  auto located = setting.open()->locate(places);
  REQUIRE(located);
  CHECK(located->at(0).problem == "_acme-challenge.www.example.test does not exist");
  CHECK(located->at(0).remedy == "_acme-challenge.www.example.test. IN CNAME a1.auth.example.net.");
  CHECK(contains(located->at(1).problem, "leads to elsewhere.acme-dns.example"));
  CHECK(located->at(1).remedy == "_acme-challenge.elsewhere.test. IN CNAME a1.auth.example.net.");
  // A registration's name is short, however long the domain is.
  CHECK_FALSE(contains(located->at(2).problem, "too long"));
  CHECK(located->at(2).remedy == "_acme-challenge." + longest + ". IN CNAME a1.auth.example.net.");
  CHECK(located->at(3).remedy == "_ujmmovf2vn55tgye._acme-challenge.www.example.test. IN CNAME a1.auth.example.net.");
}

TEST_CASE("a zone of the remote daemon that is not delegated is told", "[acme][remote]") {
  Setting setting;
  FakeNameServer resolver(test::table({
      {"_acme-challenge.example.test CNAME", {.answer = {"_acme-challenge.example.test CNAME a1.auth.example.net"}}},
  }));
  setting.acme.resolver = resolver.address().text();
  auto located = setting.open()->locate(dns01_places(parse_identifiers({"example.test"}).value()));
  REQUIRE(located);
  CHECK_FALSE(located->front().zone);
  CHECK(contains(located->front().problem, "auth.example.net is not delegated"));
}

TEST_CASE("no resolver is an error, and nothing to locate is none", "[acme][remote]") {
  Setting setting;
  setting.acme.resolver = test::closed_port().text();
  auto publisher = setting.open();
  auto located = publisher->locate(dns01_places(parse_identifiers({"example.test"}).value()));
  REQUIRE_FALSE(located);
  CHECK(located.error().code == ErrorCode::Unavailable);
  auto unknown = publisher->locate(dns01_places(parse_identifiers({"other.test"}).value()));
  REQUIRE(unknown);
  CHECK_FALSE(unknown->front().zone);
}

TEST_CASE("name servers that cannot be asked from here are a warning", "[acme][remote]") {
  Setting setting;
  // Nobody listens on port 53 there.
  FakeNameServer resolver(test::table(with_zone({
      {"ns1.auth.example.net A", {.answer = {"ns1.auth.example.net A 127.9.9.9"}}},
  })));
  setting.acme.resolver = resolver.address().text();
  auto warnings = setting.open()->await_visibility({kA}, {name("auth.example.net")});
  REQUIRE(warnings);
  REQUIRE(warnings->size() == 1);
  CHECK(contains(warnings->front(), "auth.example.net"));
  CHECK(contains(warnings->front(), "says that it serves the values"));
}

TEST_CASE("nobody tells who asks at a remote daemon, so that time passes", "[acme][remote]") {
  Setting setting;
  auto publisher = setting.open();
  CHECK_FALSE(publisher->watch_questions());
  std::set<base::Name> unasked{kA.name};
  auto began = std::chrono::steady_clock::now();
  CHECK_FALSE(publisher->await_questions(std::nullopt, unasked, milliseconds(50)));
  CHECK(std::chrono::steady_clock::now() - began >= milliseconds(50));
  CHECK(unasked.size() == 1);
  unasked.clear();
  CHECK(publisher->await_questions(std::nullopt, unasked, milliseconds(60'000)));
  CHECK(publisher->questions(std::nullopt, kA.name).empty());
}

TEST_CASE("a thousand values of one call share connections and all arrive", "[acme][remote]") {
  Setting setting;
  std::vector<TxtValue> values;
  for (int i = 0; i < 1000; ++i) values.push_back({kA.name, "v" + std::to_string(i)});
  auto publisher = setting.open();
  REQUIRE(publisher->publish(values, std::nullopt));
  CHECK(setting.api.values().size() == 1000);
  REQUIRE(publisher->withdraw(values));
  CHECK(setting.api.values().empty());
}
