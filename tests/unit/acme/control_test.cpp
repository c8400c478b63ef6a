#include "acme/control/daemon.hpp"

#include <atomic>
#include <thread>

#include "acme/control/chunked_lines.hpp"
#include "acme/control/question_log.hpp"
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

namespace {

std::string seen(const std::string& of, const std::string& type = "TXT", const std::string& client = "192.0.2.1") {
  return fmt::format(
      R"({{"time":"2026-11-22T10:00:00.001Z","client":"{}","transport":"udp","name":"{}","type":"{}","rcode":"NOERROR","values":1}})"
      "\n",
      client, of, type);
}

// A daemon whose stream says what the test tells it to say.
class TellingDaemon {
 public:
  TellingDaemon() : socket_([](const ControlRequest&) { return kHead; }) {}
  [[nodiscard]] std::unique_ptr<QuestionLog> follow() {
    auto log = QuestionLog::open(socket_.path());
    REQUIRE(log);
    start_ = (*log)->mark();
    return *std::move(log);
  }
  // Until so many queries are in the log.
  void wait_for(const QuestionLog& log, QuestionLog::Mark count) const {
    while (log.mark() < start_ + count) std::this_thread::yield();
  }
  void tell(const std::string& lines) { socket_.send(chunk(lines)); }
  void hang_up() { socket_.hang_up(); }

 private:
  FakeControlSocket socket_;
  QuestionLog::Mark start_ = 0;
};

}  // namespace

TEST_CASE("the log says who asked after a mark, name by name", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  CHECK(log->follows());
  daemon.tell(seen("a.example", "TXT", "192.0.2.1") + seen("b.example"));
  daemon.wait_for(*log, 2);
  auto mark = log->mark();
  CHECK(log->of(mark, name("a.example")).empty());
  daemon.tell(seen("a.example", "TXT", "192.0.2.2") + seen("a.example", "CAA", "192.0.2.3"));
  daemon.wait_for(*log, 4);
  auto after = log->of(mark, name("A.example"));
  REQUIRE(after.size() == 2);
  CHECK(after[0].client == "192.0.2.2");
  CHECK(after[1].type == "CAA");
  CHECK(log->of(0, name("a.example")).size() == 3);
  CHECK(log->of(0, name("c.example")).empty());
}

TEST_CASE("waiting ends with the last name that was asked for, and takes TXT queries only", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  daemon.tell(seen("a.example"));
  daemon.wait_for(*log, 1);
  std::set<base::Name> unasked{name("a.example")};
  CHECK(log->await(0, unasked, milliseconds(0)));
  CHECK(unasked.empty());
  unasked = {name("a.example"), name("b.example"), name("c.example")};
  auto mark = log->mark();
  daemon.tell(seen("b.example") + seen("c.example", "CAA"));
  CHECK_FALSE(log->await(mark, unasked, milliseconds(30)));
  CHECK(unasked == std::set<base::Name>{name("a.example"), name("c.example")});
  std::thread later([&] { daemon.tell(seen("a.example") + seen("c.example")); });
  CHECK(log->await(mark, unasked, milliseconds(10'000)));
  later.join();
}

TEST_CASE("many wait at once, each for its own names", "[acme][control]") {
  constexpr int kWaiters = 64;
  constexpr int kNames = 80;
  TellingDaemon daemon;
  auto log = daemon.follow();
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int waiter = 0; waiter < kWaiters; ++waiter)
    threads.emplace_back([&, waiter] {
      std::set<base::Name> unasked{name("shared.example")};
      for (int i = 0; i < kNames; ++i) unasked.insert(name(fmt::format("n{}.w{}.example", i, waiter)));
      if (log->await(0, unasked, milliseconds(30'000))) ++done;
    });
  daemon.tell(seen("shared.example"));
  for (int i = 0; i < kNames; ++i) {
    std::string lines;
    for (int waiter = 0; waiter < kWaiters; ++waiter) lines += seen(fmt::format("n{}.w{}.example", i, waiter));
    CHECK(done == 0);
    daemon.tell(lines);
  }
  for (auto& thread : threads) thread.join();
  CHECK(done == kWaiters);
}

TEST_CASE("a mark hides what was asked before, also from one who waits", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  daemon.tell(seen("a.example"));
  daemon.wait_for(*log, 1);
  std::set<base::Name> unasked{name("a.example")};
  CHECK_FALSE(log->await(log->mark(), unasked, milliseconds(20)));
  CHECK(unasked.size() == 1);
}

TEST_CASE("the client's own questions are no CA's, early or late", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  auto before = log->mark();
  // Of three, one is seen before the mark and two are still on their way.
  daemon.tell(seen("a.example", "TXT", "own1"));
  daemon.wait_for(*log, 1);
  log->disregard(before, {{name("a.example"), 3}, {name("b.example"), 0}});
  auto mark = log->mark();
  daemon.tell(seen("a.example", "TXT", "own2") + seen("a.example", "TXT", "own3") + seen("b.example") +
              seen("a.example", "TXT", "ca"));
  std::set<base::Name> unasked{name("a.example"), name("b.example")};
  CHECK(log->await(mark, unasked, milliseconds(10'000)));
  auto seen_after = log->of(mark, name("a.example"));
  REQUIRE(seen_after.size() == 1);
  CHECK(seen_after[0].client == "ca");
}

TEST_CASE("own questions that never came are waited for only a moment", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  log->disregard(0, {{name("a.example"), 5}});
  std::this_thread::sleep_for(milliseconds(80));
  daemon.tell(seen("a.example", "TXT", "ca"));
  std::set<base::Name> unasked{name("a.example")};
  CHECK(log->await(0, unasked, milliseconds(10'000)));
}

TEST_CASE("the log keeps the newest queries and forgets the rest", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  daemon.tell(seen("old.example"));
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += seen("flood.example");
  for (std::size_t i = 0; i < QuestionLog::kKept / 1000; ++i) daemon.tell(lines);
  daemon.wait_for(*log, QuestionLog::kKept + 1);
  CHECK(log->of(0, name("old.example")).empty());
  CHECK(log->of(0, name("flood.example")).size() == QuestionLog::kKept);
  std::set<base::Name> unasked{name("old.example"), name("flood.example")};
  CHECK_FALSE(log->await(0, unasked, milliseconds(0)));
  CHECK(unasked == std::set<base::Name>{name("old.example")});
}

TEST_CASE("a daemon that goes away ends the log but not the waiting", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  daemon.tell(seen("a.example"));
  daemon.wait_for(*log, 1);
  daemon.hang_up();
  while (log->follows()) std::this_thread::yield();
  CHECK(log->of(0, name("a.example")).size() == 1);
  std::set<base::Name> unasked{name("b.example")};
  auto began = std::chrono::steady_clock::now();
  CHECK_FALSE(log->await(0, unasked, milliseconds(60)));
  CHECK(std::chrono::steady_clock::now() - began >= milliseconds(60));
}

TEST_CASE("a mark of an ended log is before all of the next one", "[acme][control]") {
  TellingDaemon daemon;
  auto first = daemon.follow();
  daemon.tell(seen("a.example") + seen("a.example"));
  daemon.wait_for(*first, 2);
  auto mark = first->mark();
  TellingDaemon restarted;
  auto second = restarted.follow();
  restarted.tell(seen("a.example"));
  std::set<base::Name> unasked{name("a.example")};
  CHECK(second->await(mark, unasked, milliseconds(10'000)));
  CHECK(second->of(mark, name("a.example")).size() == 1);
}

TEST_CASE("the log ends at once, also while the daemon is silent", "[acme][control]") {
  TellingDaemon daemon;
  auto log = daemon.follow();
  auto began = std::chrono::steady_clock::now();
  log.reset();
  CHECK(std::chrono::steady_clock::now() - began < milliseconds(200));
}

TEST_CASE("a daemon without a stream of queries is an error", "[acme][control]") {
  FakeControlSocket other([](const ControlRequest&) { return http_answer(404, "{}"); });
  auto log = QuestionLog::open(other.path());
  REQUIRE_FALSE(log);
  CHECK(log.error().code == ErrorCode::Protocol);
  CHECK(contains(log.error().message, "404"));
  CHECK(QuestionLog::open("/nonexistent/control.sock").error().code == ErrorCode::Unavailable);
}

TEST_CASE("a lifetime of zero is for ever", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) { return http_answer(200, "[]"); });
  REQUIRE(Daemon(socket.path()).add({{name("a.auth.example.net"), "x"}}, milliseconds(0)));
  CHECK(socket.log().back().body == R"({"value":"x","lifetime":"0"})");
}

TEST_CASE("the daemon is used by many threads at once", "[acme][control]") {
  FakeControlSocket socket([&](const ControlRequest&) { return http_answer(200, "[]"); });
  Daemon daemon(socket.path());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 20; ++turn)
        if (daemon.add({{name(fmt::format("n{}.example", i)), "x"}}, std::nullopt)) ++good;
    });
  for (auto& thread : threads) thread.join();
  CHECK(good == 160);
}
