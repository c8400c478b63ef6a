#include "acme/control/daemon.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/acme/fake_control_socket.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using test::ControlRequest;
using test::FakeControlSocket;
using test::http_answer;

namespace {

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

constexpr const char* kIssued =
    R"({"username":"u","password":"p","fulldomain":"Example.com.auth.test.","subdomain":"example.com","allowfrom":["192.0.2.0/24"],"zone":"auth.test","for":["example.com"],"label":"web","created":"2026-11-22T10:00:00Z"})";

std::string listed(const std::string& username) {
  return fmt::format(
      R"({{"username":"{}","fulldomain":"x.auth.test","subdomain":"x","allowfrom":[],"for":[],"label":"","created":"2026-11-22T10:00:00Z","used":null}})",
      username);
}

std::string page(const std::string& body, const std::string& link) {
  std::string answer = http_answer(200, body);
  answer.insert(answer.find("Content-Type"), "Link: " + link + "\r\n");
  return answer;
}

}  // namespace

TEST_CASE("a registration is asked for with what is wished alone, and read", "[acme][control]") {
  FakeControlSocket socket([](const ControlRequest&) { return http_answer(201, kIssued); });
  Daemon daemon(socket.path());
  auto issued = daemon.make_registration({"example.com", {"a.test"}, "x\"y", {"::/0"}});
  REQUIRE(issued);
  CHECK(issued->password == "p");
  CHECK(issued->zone.text() == "auth.test");
  CHECK(issued->listed.fulldomain.text() == "example.com.auth.test");
  CHECK(issued->listed.allow_from == std::vector<std::string>{"192.0.2.0/24"});
  CHECK(issued->listed.domains == std::vector<std::string>{"example.com"});
  CHECK(issued->listed.document == kIssued);
  REQUIRE(daemon.make_registration({}));
  CHECK(socket.log()[0].body == R"({"name":"example.com","for":["a.test"],"label":"x\"y","allow_from":["::/0"]})");
  CHECK(socket.log()[1].body == "{}");
}

TEST_CASE("a registration that is none is a protocol error", "[acme][control]") {
  for (const char* body : {"", "nonsense", "[]", "{}", R"({"username":"u"})",
                           R"({"username":"","password":"p","fulldomain":"a.b","allowfrom":[],"for":[],"zone":"b"})",
                           R"({"username":"u","password":"p","fulldomain":"a..b","allowfrom":[],"for":[],"zone":"b"})",
                           R"({"username":"u","password":"p","fulldomain":"a.b","allowfrom":{},"for":[],"zone":"b"})",
                           R"({"username":"u","password":"p","fulldomain":"a.b","allowfrom":[],"for":[7],"zone":"b"})",
                           R"({"username":"u","password":"","fulldomain":"a.b","allowfrom":[],"for":[],"zone":"b"})",
                           R"({"username":"u","password":"p","fulldomain":"a.b","allowfrom":[],"for":[]})"}) {
    INFO(body);
    FakeControlSocket socket([&](const ControlRequest&) { return http_answer(201, body); });
    auto issued = Daemon(socket.path()).make_registration({});
    REQUIRE_FALSE(issued);
    CHECK(issued.error().code == ErrorCode::Protocol);
  }
}

TEST_CASE("what the daemon refuses about a registration is told with its code", "[acme][control]") {
  struct Case {
    int status;
    const char* code;
    ErrorCode expected;
  };
  for (const Case& one : {Case{409, "exists", ErrorCode::Exists}, Case{409, "full", ErrorCode::Full},
                          Case{400, "invalid", ErrorCode::Invalid}, Case{404, "not_found", ErrorCode::NotFound},
                          Case{503, "unavailable", ErrorCode::Unavailable}}) {
    FakeControlSocket socket([&](const ControlRequest&) {
      return http_answer(one.status, fmt::format(R"({{"error":{{"code":"{}","message":"because"}}}})", one.code));
    });
    Daemon daemon(socket.path());
    CHECK(daemon.make_registration({}).error().code == one.expected);
    CHECK(daemon.rotate_registration("u").error().code == one.expected);
    CHECK(contains(daemon.remove_registration("u").error().message, "because"));
    CHECK(daemon.registrations().error().code == one.expected);
    CHECK(daemon.registration("u").error().code == one.expected);
  }
}

TEST_CASE("a list goes on where the daemon says, and nowhere else", "[acme][control]") {
  std::size_t pages = 0;
  FakeControlSocket socket([&](const ControlRequest&) {
    if (++pages == 3) return http_answer(200, "[" + listed("c") + "]");
    std::string username = pages == 1 ? "a" : "b";
    return page("[" + listed(username) + "]", "</v1/registrations?after=" + username + "&limit=1>; rel=\"next\"");
  });
  auto all = Daemon(socket.path()).registrations();
  REQUIRE(all);
  REQUIRE(all->size() == 3);
  CHECK((*all)[2].username == "c");
  CHECK((*all)[2].used == "");
  for (const char* link : {"</v1/txt>; rel=\"next\"", "<http://elsewhere.test/v1/registrations?a=b>; rel=\"next\"",
                           "</v1/registrations?after=a>; rel=\"prev\"", "nonsense", "<"}) {
    INFO(link);
    FakeControlSocket other([&](const ControlRequest&) { return page("[" + listed("a") + "]", link); });
    auto one = Daemon(other.path()).registrations();
    REQUIRE(one);
    CHECK(one->size() == 1);
    CHECK(other.log().size() == 1);
  }
}

TEST_CASE("a list that goes round in circles is noticed", "[acme][control]") {
  FakeControlSocket socket([](const ControlRequest&) {
    return page("[" + listed("a") + "]", "</v1/registrations?after=a&limit=1>; rel=\"next\"");
  });
  auto all = Daemon(socket.path()).registrations();
  REQUIRE_FALSE(all);
  CHECK(all.error().code == ErrorCode::Protocol);
  CHECK(socket.log().size() == 2);
  FakeControlSocket empty(
      [](const ControlRequest&) { return page("[]", "</v1/registrations?after=a&limit=1>; rel=\"next\""); });
  CHECK(Daemon(empty.path()).registrations().value().empty());
  CHECK(empty.log().size() == 1);
}
