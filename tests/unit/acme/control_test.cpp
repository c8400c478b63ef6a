#include "acme/control/daemon.hpp"

#include "acme/control/chunked_lines.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/acme/fake_control_socket.hpp"

using namespace countersign;
using namespace countersign::acme;
using base::ErrorCode;
using std::chrono::milliseconds;
using test::ControlRequest;
using test::FakeControlSocket;
using test::http_answer;

namespace {

base::Name name(std::string_view text) {
  return base::Name::parse(text).value();
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

constexpr const char* kStatus =
    R"({"version":"0.1.0","uptime_s":5,"zones":[{"name":"Auth.example.net.","serial":4294967295,
"names":2,"values":3}],"listen":["127.0.0.1:53","[::1]:53"],"values":3,"registrations":0,"queries":{},"store":{"ok":true}})";

base::Result<DaemonStatus> status_from(const std::string& body, int status = 200) {
  FakeControlSocket socket([&](const ControlRequest&) { return http_answer(status, body); });
  return Daemon(socket.path()).status();
}

std::string chunk(const std::string& text) {
  return fmt::format("{:x};ext\r\n{}\r\n", text.size(), text);
}

constexpr const char* kLine =
    R"({"time":"2026-11-22T10:00:00Z","client":"192.0.2.1","transport":"udp","name":"www.auth.example.net","type":"TXT","rcode":"NOERROR","values":2})";
const std::string kHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

TEST_CASE("the daemon's status is read, and kept whole for programs", "[acme][control]") {
  auto status = status_from(kStatus);
  REQUIRE(status);
  CHECK(status->version == "0.1.0");
  REQUIRE(status->zones.size() == 1);
  CHECK(status->zones[0].name == name("auth.example.net"));
  CHECK(status->zones[0].serial == 4294967295U);
  CHECK(status->zones[0].values == 3);
  REQUIRE(status->listen.size() == 2);
  CHECK(status->listen[1].text() == "[::1]:53");
  CHECK(status->document == kStatus);
}

TEST_CASE("an answer that is not the daemon's is a protocol error", "[acme][control]") {
  for (const char* body :
       {"", "nonsense", "[]", "{}", R"({"version":"1","zones":[{}],"listen":[]})",
        R"({"version":"1","zones":[{"name":"a..b"}],"listen":[]})",
        R"({"version":"1","zones":[],"listen":["localhost"]})", R"({"version":1,"zones":[],"listen":[]})"}) {
    INFO(body);
    auto status = status_from(body);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == ErrorCode::Protocol);
  }
}

TEST_CASE("a socket that is not there names the socket and what to do", "[acme][control]") {
  auto status = Daemon("/nonexistent/control.sock").status();
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::Unavailable);
  CHECK(contains(status.error().message, "cannot reach countersignd at /nonexistent/control.sock"));
  CHECK(contains(status.error().message, "start it or set control_socket"));
  auto stream = QueryStream::open("/nonexistent/control.sock");
  REQUIRE_FALSE(stream);
  CHECK(stream.error().code == ErrorCode::Unavailable);
  CHECK_FALSE(QueryStream::open(std::string(200, 'x')));
}

TEST_CASE("values are put one request each, with name and lifetime", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) { return http_answer(200, "[]"); });
  Daemon daemon(socket.path());
  std::vector<TxtValue> values;
  for (int i = 0; i < 50; ++i)
    values.push_back({name("n" + std::to_string(i) + ".auth.example.net"), "v" + std::to_string(i)});
  REQUIRE(daemon.add(values, milliseconds(600'000)));
  auto log = socket.log();
  REQUIRE(log.size() == 50);
  std::sort(log.begin(), log.end(), [](const auto& a, const auto& b) { return a.target < b.target; });
  CHECK(log[0].method == "PUT");
  CHECK(log[0].target == "/v1/txt/n0.auth.example.net");
  CHECK(log[0].body == R"({"value":"v0","lifetime":"10m"})");
  REQUIRE(daemon.add({values[0]}, std::nullopt));
  CHECK(socket.log().back().body == R"({"value":"v0"})");
}

TEST_CASE("removing names the value, or the whole name", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) { return std::string("HTTP/1.1 204 No Content\r\n\r\n"); });
  Daemon daemon(socket.path());
  REQUIRE(daemon.remove({{name("www.auth.example.net"), "a+b &c"}}));
  CHECK(socket.log().back().method == "DELETE");
  CHECK(socket.log().back().target == "/v1/txt/www.auth.example.net?value=a%2Bb%20%26c");
  REQUIRE(daemon.remove_all(name("www.auth.example.net")));
  CHECK(socket.log().back().target == "/v1/txt/www.auth.example.net");
}

TEST_CASE("the daemon's refusals keep its words and become codes", "[acme][control]") {
  struct Case {
    int status;
    const char* body;
    ErrorCode code;
    const char* words;
  };
  for (const Case& one :
       {Case{400, R"({"error":{"code":"invalid","message":"value is longer than 255 octets"}})", ErrorCode::Invalid,
             "longer than 255"},
        Case{404, "404 page not found\n", ErrorCode::NotFound, "404 page not found"},
        Case{404, "{}", ErrorCode::NotFound, "not in a zone"},
        Case{409, R"({"error":{"code":"full","message":"16 values are there"}})", ErrorCode::Full,
             "16 values are there"},
        Case{503, "", ErrorCode::Unavailable, "store fails"}, Case{418, "", ErrorCode::Protocol, "HTTP status 418"}}) {
    FakeControlSocket socket([&](const ControlRequest& request) {
      return request.target.find("bad") != std::string::npos ? http_answer(one.status, one.body)
                                                             : http_answer(200, "[]");
    });
    auto added = Daemon(socket.path())
                     .add({{name("good.auth.example.net"), "x"}, {name("bad.auth.example.net"), "x"}}, std::nullopt);
    INFO(one.status);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == one.code);
    CHECK(contains(added.error().message, one.words));
    CHECK(contains(added.error().message, "bad.auth.example.net"));
  }
}

TEST_CASE("the list of values is read, with and without an end of life", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) {
    return http_answer(200,
                       R"([{"name":"a.auth.example.net","value":"v","owner":"control","expires":"2026-11-22T10:00:00Z"},
                               {"name":"b.auth.example.net","value":"w","owner":"control","expires":null}])");
  });
  auto values = Daemon(socket.path()).list(name("a.auth.example.net"));
  REQUIRE(values);
  REQUIRE(values->size() == 2);
  CHECK(values->at(0).expires == "2026-11-22T10:00:00Z");
  CHECK(values->at(1).expires == "");
  CHECK(socket.log()[0].target == "/v1/txt?name=a.auth.example.net");
}

TEST_CASE("chunks are cut into lines wherever they are split", "[acme][control]") {
  std::string stream = kHead + chunk("one\ntw") + chunk("o\r\n\nth") + chunk("ree\nrest") + "0\r\n\r\n";
  for (std::size_t step = 1; step < stream.size(); ++step) {
    ChunkedLines lines;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < stream.size(); at += step)
      for (auto& line : lines.feed(std::string_view(stream).substr(at, step))) got.push_back(line);
    INFO(step);
    CHECK(got == std::vector<std::string>{"one", "two", "three"});
    CHECK(lines.ended());
  }
}

TEST_CASE("a stream that is not one ends it, in bounded memory", "[acme][control]") {
  auto ends = [](const std::string& stream) {
    ChunkedLines lines;
    static_cast<void>(lines.feed(stream));
    return lines.ended();
  };
  CHECK(ends("SSH-2.0-OpenSSH\r\n"));
  CHECK(ends("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
  CHECK(ends(std::string(100'000, 'x')));
  CHECK(ends(kHead + "zz\r\n"));
  CHECK(ends(kHead + "ffffffffffffffffff\r\n"));
  CHECK(ends(kHead + "3\r\nabcdef\r\n"));
  CHECK(ends(kHead + chunk(std::string(20'000, 'x'))));
  CHECK_FALSE(ends(kHead + "5\r\nab"));
}

TEST_CASE("seen queries come as they are streamed, and bad lines are left out", "[acme][control]") {
  FakeControlSocket socket(
      [&](const ControlRequest&) { return kHead + chunk(std::string("nonsense\n{}\n{\"name\":5}\n") + kLine + "\n"); });
  auto stream = QueryStream::open(socket.path());
  REQUIRE(stream);
  auto queries = stream->wait(milliseconds(5000));
  REQUIRE(queries.size() == 1);
  CHECK(queries[0].name == name("www.auth.example.net"));
  CHECK(queries[0].client == "192.0.2.1");
  CHECK(queries[0].type == "TXT");
  CHECK(queries[0].values == 2);
  CHECK(socket.log()[0].target == "/v1/queries");
  CHECK(stream->wait(milliseconds(1)).empty());
}

TEST_CASE("a daemon that dies only ends the stream, and waiting still takes its time", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) { return kHead; });
  auto stream = QueryStream::open(socket.path());
  REQUIRE(stream);
  while (socket.log().empty()) std::this_thread::yield();
  socket.hang_up();
  auto before = std::chrono::steady_clock::now();
  CHECK(stream->wait(milliseconds(60)).empty());
  CHECK(stream->wait(milliseconds(60)).empty());
  CHECK(std::chrono::steady_clock::now() - before >= milliseconds(120));
}
