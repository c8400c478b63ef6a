#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/json.hpp>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "dnsd/api/control_server.hpp"
#include "dnsd/api/control_socket.hpp"
#include "tests/unit/dnsd/live_zone.hpp"

using namespace countersign;
using namespace countersign::dnsd;
namespace json = boost::json;

namespace {

class UnixClient {
 public:
  explicit UnixClient(const std::filesystem::path& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    timeval patience{5, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  void send(const std::string& text) { REQUIRE(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0); }
  // Until `end` is there, or the server closes.
  std::string read_until(const std::string& end) {
    while (received_.find(end) == std::string::npos) {
      std::array<char, 4096> buffer{};
      ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      received_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    std::size_t at = received_.find(end);
    std::size_t length = at == std::string::npos ? received_.size() : at + end.size();
    std::string text = received_.substr(0, length);
    received_.erase(0, length);
    return text;
  }
  std::string read_all() { return read_until("\x01 never sent"); }
  void close() { fd_.close(); }

 private:
  base::Descriptor fd_;
  std::string received_;
};

struct Serving {
  tests::TemporaryFolder folder;
  std::filesystem::path path = folder.path / "run" / "control.sock";
  // Before the zone, as in the daemon: the store thread's last completions still hold timers and work of this loop.
  asio::io_context context{1};
  tests::LiveZone zone;
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  DaemonFacts facts;
  SeenRing ring;
  SeenStream seen{context.get_executor(), zone.clock()};
  ControlApi api{context.get_executor(), zone.publisher(), facts, zone.clock()};
  ControlServer server{context, api, seen};
  std::thread thread;

  Serving() {
    seen.add(ring);
    auto socket = bind_control_socket(path, std::nullopt);
    if (!socket) FAIL(socket.error().message);
    server.serve(std::move(*socket));
    thread = std::thread([this] { context.run(); });
  }
  ~Serving() {
    on_loop([this] { server.stop(); });
    guard.reset();
    thread.join();
  }
  template <class Function>
  std::invoke_result_t<Function> on_loop(Function function) {
    std::packaged_task<std::invoke_result_t<Function>()> task(std::move(function));
    auto result = task.get_future();
    asio::post(context, [&task] { task(); });
    return result.get();
  }
  // From the loop's thread, which is the ring's only producer here.
  void ask(const std::string& name, std::uint16_t values) {
    on_loop([&] {
      std::string wire = tests::wire_name(name);
      auto client = *base::SocketAddress::parse("192.0.2.9:4000");
      ring.push(client.data(), client.size(), Transport::Udp, Seen{wire, 16, 0, values});
    });
  }
};

std::string put_request(const std::string& body, const std::string& headers = {}) {
  return fmt::format("PUT /v1/txt/a.auth.test HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n{}", body.size(),
                     headers, body);
}

bool starts_with(const std::string& text, std::string_view start) {
  INFO(text);
  return text.starts_with(start);
}

}  // namespace

TEST_CASE("several requests on one connection are answered one after another", "[dnsd][api]") {
  Serving serving;
  UnixClient client(serving.path);
  client.send(put_request(R"({"value":"one"})"));
  CHECK(starts_with(client.read_until("}]\n"), "HTTP/1.1 200 OK\r\n"));
  // Two at once, the second one asking for the end.
  client.send(
      "DELETE /v1/txt/a.auth.test HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/txt HTTP/1.1\r\nConnection: close\r\n\r\n");
  std::string deleted = client.read_until("\r\n\r\n");
  CHECK(starts_with(deleted, "HTTP/1.1 204 No Content\r\n"));
  CHECK(deleted.find("Content-Length") == std::string::npos);
  std::string rest = client.read_all();
  CHECK(starts_with(rest, "HTTP/1.1 200 OK\r\n"));
  CHECK(rest.ends_with("\r\n\r\n[]\n"));
}

TEST_CASE("HEAD is answered by a header alone, and the connection goes on", "[dnsd][api]") {
  Serving serving;
  UnixClient client(serving.path);
  client.send("HEAD /v1/txt HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/txt HTTP/1.1\r\nConnection: close\r\n\r\n");
  std::string all = client.read_all();
  CHECK(starts_with(all, "HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(all.find("\r\n\r\nHTTP/1.1 200 OK\r\n") != std::string::npos);
}

TEST_CASE("requests beyond the limits are refused and the connection closed", "[dnsd][api]") {
  Serving serving;
  {
    UnixClient client(serving.path);
    client.send(put_request(R"({"value":")" + std::string(70'000, 'x') + R"("})"));
    std::string answer = client.read_all();
    CHECK(starts_with(answer, "HTTP/1.1 413 "));
    CHECK(answer.find(R"("code":"too_large")") != std::string::npos);
  }
  {
    UnixClient client(serving.path);
    // As long as a registration with hundreds of domains; only the value is too long.
    client.send(put_request(R"({"value":")" + std::string(60'000, 'x') + R"("})"));
    CHECK(starts_with(client.read_until("\r\n\r\n"), "HTTP/1.1 400 "));
  }
  {
    UnixClient client(serving.path);
    client.send(put_request("{}", "X-Long: " + std::string(9000, 'x') + "\r\n"));
    CHECK(starts_with(client.read_all(), "HTTP/1.1 431 "));
  }
  {
    UnixClient client(serving.path);
    client.send("hello\r\n\r\n");
    CHECK(starts_with(client.read_all(), "HTTP/1.1 400 "));
  }
}

TEST_CASE("a stream of queries begins at once and tells each one that fits the name", "[dnsd][api]") {
  Serving serving;
  UnixClient client(serving.path);
  client.send("GET /v1/queries?name=A.auth.test HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string head = client.read_until("\r\n\r\n");
  CHECK(starts_with(head, "HTTP/1.1 200 OK\r\n"));
  CHECK(head.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  serving.ask("b.auth.test", 1);
  serving.ask("a.auth.test", 2);
  std::string chunk = client.read_until("}\n\r\n");
  std::size_t line = chunk.find('{');
  REQUIRE(line != std::string::npos);
  CHECK(std::stoul(chunk, nullptr, 16) == chunk.size() - line - 2);
  json::value query = json::parse(chunk.substr(line, chunk.size() - line - 3));
  CHECK(query.at("name").as_string() == "a.auth.test");
  CHECK(query.at("client").as_string() == "192.0.2.9");
  CHECK(query.at("transport").as_string() == "udp");
  CHECK(query.at("type").as_string() == "TXT");
  CHECK(query.at("rcode").as_string() == "NOERROR");
  CHECK(query.at("values").to_number<int>() == 2);
  CHECK(base::parse_rfc3339(std::string(query.at("time").as_string())));
}

TEST_CASE("a stream that nobody reads any more ends, and the rings are switched off", "[dnsd][api]") {
  Serving serving;
  UnixClient client(serving.path);
  client.send("GET /v1/queries HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("\r\n\r\n");
  CHECK(serving.on_loop([&] { return serving.ring.wanted(); }));
  client.close();
  while (serving.on_loop([&] { return serving.ring.wanted() || serving.server.connections() > 0; }))
    std::this_thread::yield();
}

TEST_CASE("lines that a slow reader has no room for are counted as lost", "[dnsd][api]") {
  Serving serving;
  UnixClient client(serving.path);
  client.send("GET /v1/queries HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("\r\n\r\n");
  // What is not read fills the socket's buffers and then the session's; a line is 150 octets and more. Rings lose
  // nothing, because each round waits until they are empty.
  std::uint64_t ring_lost = 0;
  for (int round = 0; round < 2000 && serving.on_loop([&] { return serving.seen.lost(); }) == 0; ++round) {
    for (int i = 0; i < 100; ++i) serving.ask("a.auth.test", 1);
    ring_lost = serving.on_loop([&] { return serving.ring.lost(); });
  }
  CHECK(ring_lost == 0);
  CHECK(serving.on_loop([&] { return serving.seen.lost(); }) > 0);
}

TEST_CASE("connections beyond a quarter of the descriptors wait for one that ends", "[dnsd][api]") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few{40, before.rlim_max};
  std::optional<Serving> serving;
  setrlimit(RLIMIT_NOFILE, &few);
  serving.emplace();
  setrlimit(RLIMIT_NOFILE, &before);
  std::vector<std::unique_ptr<UnixClient>> clients;
  for (int i = 0; i < 11; ++i) {
    clients.push_back(std::make_unique<UnixClient>(serving->path));
    clients.back()->send("GET /v1/txt HTTP/1.1\r\nHost: x\r\n\r\n");
    if (i < 10) CHECK(clients.back()->read_until("[]\n").ends_with("[]\n"));
  }
  CHECK(serving->on_loop([&] { return serving->server.connections(); }) == 10);
  clients.front()->close();
  CHECK(clients.back()->read_until("[]\n").ends_with("[]\n"));
}

TEST_CASE("stopping ends streams properly and idle connections at once", "[dnsd][api]") {
  Serving serving;
  UnixClient stream(serving.path), idle(serving.path);
  stream.send("GET /v1/queries HTTP/1.1\r\nHost: x\r\n\r\n");
  stream.read_until("\r\n\r\n");
  idle.send("GET /v1/txt HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.read_until("[]\n");
  serving.on_loop([&] { serving.server.stop(); });
  CHECK(stream.read_all() == "0\r\n\r\n");
  CHECK(idle.read_all().empty());
}

TEST_CASE("the control socket is for its group alone", "[dnsd][api]") {
  Serving serving;
  struct stat found{};
  REQUIRE(stat(serving.path.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777U) == 0660U);
  REQUIRE(stat(serving.path.parent_path().c_str(), &found) == 0);
  CHECK((found.st_mode & 0777U) == 0755U);
}

TEST_CASE("a socket that is left over is replaced, one in use and other files are not", "[dnsd][api]") {
  tests::TemporaryFolder folder;
  std::filesystem::path path = folder.path / "control.sock";
  auto first = bind_control_socket(path, std::nullopt);
  REQUIRE(first);
  auto second = bind_control_socket(path, std::nullopt);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == base::ErrorCode::Exists);
  CHECK(second.error().message.starts_with("another countersignd (pid "));
  first->close();
  CHECK(bind_control_socket(path, std::nullopt));
  std::filesystem::path file = folder.path / "file";
  std::ofstream(file) << "kept";
  CHECK_FALSE(bind_control_socket(file, std::nullopt));
  CHECK(std::filesystem::file_size(file) == 4);
  auto long_path = bind_control_socket(folder.path / std::string(120, 'x'), std::nullopt);
  REQUIRE_FALSE(long_path);
  CHECK(long_path.error().code == base::ErrorCode::Invalid);
}
