#include <fcntl.h>
#include <sys/resource.h>

#include <list>
#include <vector>

#include "dnsd/sandbox.hpp"
#include "tests/unit/dnsd/api_serving.hpp"

using namespace countersign;
using namespace countersign::dnsd;
using namespace std::chrono_literals;
using tests::ApiServing;
using tests::ClientSocket;
using tests::error_answer;
using tests::exchange;
using tests::last_exchange;
using tests::plain_answer;

namespace {

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

conf::Api limited(unsigned connections, unsigned per_address) {
  conf::Api api;
  api.max_connections = connections;
  api.max_per_address = per_address;
  return api;
}

std::string post(std::string_view body) {
  return fmt::format("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

}  // namespace

TEST_CASE("requests of one connection are answered one after the other", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  exchange(client, kGet, plain_answer("GET / "));
  exchange(client, post("body"), plain_answer("POST /p body"));
  exchange(client, "GET /empty HTTP/1.1\r\nHost: h\r\n\r\n", plain_answer(""));
  CHECK(serving.counters().requests == 3);
  CHECK(serving.counters().accepted == 1);
}

TEST_CASE("pipelined requests are answered in their order, however they are cut", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  std::string requests, answers;
  for (int i = 0; i < 300; ++i) {
    std::string body(static_cast<std::size_t>(i) * 13, static_cast<char>('a' + i % 26));
    requests += post(body) + "\r\n";  // an empty line before a request is none of it
    answers += plain_answer("POST /p " + body);
  }
  std::thread sender([&] {
    std::size_t cut = 1;
    for (std::string_view rest = requests; !rest.empty(); cut = cut * 7 % 4093) {
      client.send(rest.substr(0, cut));
      rest.remove_prefix(std::min(cut, rest.size()));
    }
  });
  std::string got = client.receive_exactly(answers.size());
  sender.join();
  CHECK(got == answers);
}

TEST_CASE("a request in segments of one octet is answered", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  std::string request = "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (char octet : request) client.send(std::string_view(&octet, 1));
  std::string answer = plain_answer("POST /c abc");
  CHECK(client.receive_exactly(answer.size()) == answer);
}

TEST_CASE("chunked bodies are put together, and their trailers are not fields", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  exchange(client,
           "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n4;x=y\r\nwork\r\n3\r\nson\r\n0\r\n\r\n",
           plain_answer("POST /c workson"));
  exchange(client,
           "POST /field/x-api-key HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n0\r\n"
           "X-Api-Key: late\r\n\r\n",
           plain_answer(""));
  last_exchange(serving.client(),
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(2048, 'a') +
                    "\r\n801\r\n" + std::string(2049, 'b') + "\r\n0\r\n\r\n",
                error_answer("413 Payload Too Large", "body_too_large"));
}

TEST_CASE("the fields that the API knows reach it, by any case of their names", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  exchange(client, "GET /field/x-api-user HTTP/1.1\r\nHost: h\r\nX-API-User:  me \r\n\r\n", plain_answer("me"));
  exchange(
      client,
      "GET /field/access-control-request-method HTTP/1.1\r\nHost: h\r\nAccess-Control-Request-Method: POST\r\n\r\n",
      plain_answer("POST"));
  exchange(client, "GET /field/x-forwarded-for HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: a\r\nX-Forwarded-For: b\r\n\r\n",
           plain_answer("a"));
  exchange(client, "GET /peer HTTP/1.1\r\nHost: h\r\n\r\n", plain_answer("127.0.0.1"));
  exchange(client, "GET http://name:80/a?b HTTP/1.1\r\nHost: h\r\n\r\n", plain_answer("GET /a?b "));
}

TEST_CASE("HTTP/1.0 connections end unless they ask to be kept", "[dnsd][api]") {
  ApiServing serving;
  auto as_old = [](std::string answer) { return "HTTP/1.0" + answer.substr(8); };
  last_exchange(serving.client(), "GET / HTTP/1.0\r\n\r\n", as_old(plain_answer("GET / ", "Connection: close\r\n")));
  ClientSocket client = serving.client();
  exchange(client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
           as_old(plain_answer("GET / ", "Connection: keep-alive\r\n")));
  exchange(client, kGet, plain_answer("GET / "));
}

TEST_CASE("a client or an answer that wants to close the connection has it closed", "[dnsd][api]") {
  ApiServing serving;
  last_exchange(serving.client(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + std::string(kGet),
                plain_answer("GET / ", "Connection: close\r\n"));
  // And a field that would begin another one is left out.
  last_exchange(serving.client(), "GET /odd HTTP/1.1\r\nHost: h\r\n\r\n",
                tests::head_of("405 Method Not Allowed") +
                    "Allow: GET\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
}

TEST_CASE("HEAD is answered like GET without its body, and 204 without a length", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  std::string answer = plain_answer("GET /h ");
  exchange(client, "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n", answer.substr(0, answer.size() - 7));
  exchange(client, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", tests::head_of("204 No Content") + "\r\n");
  exchange(client, kGet, plain_answer("GET / "));
}

TEST_CASE("a client that waits for 100 gets it when its body is within the limit", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  for (int i = 0; i < 2; ++i) {
    exchange(client, "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
             "HTTP/1.1 100 Continue\r\n\r\n");
    exchange(client, "body", plain_answer("POST /p body"));
  }
  // With its body there is nothing to wait for; of HTTP/1.0 it is not asked.
  exchange(client, "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
           plain_answer("POST /p body"));
  last_exchange(serving.client(), "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4097\r\n\r\n",
                error_answer("413 Payload Too Large", "body_too_large"));
}

TEST_CASE("requests over the limits are refused, and the client can read why", "[dnsd][api]") {
  ApiServing serving;
  // Megabytes of them are not taken, and do not reset the connection either.
  last_exchange(serving.client(), post(std::string(100'000, 'x')),
                error_answer("413 Payload Too Large", "body_too_large"));
  std::string longest(4096, 'x');
  ClientSocket client = serving.client();
  exchange(client, post(longest), plain_answer("POST /p " + longest));
  std::string too_large = error_answer("431 Request Header Fields Too Large", "header_too_large");
  last_exchange(serving.client(), "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(8192, 'x') + "\r\n\r\n", too_large);
  last_exchange(serving.client(), "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", too_large);
  // Each half is within the limit.
  last_exchange(serving.client(),
                "GET /" + std::string(5000, 'x') + " HTTP/1.1\r\nHost: h\r\nX: " + std::string(5000, 'x') + "\r\n\r\n",
                too_large);
  std::string target = "/" + std::string(4000, 'y');
  exchange(client, "GET " + target + " HTTP/1.1\r\nHost: h\r\nX: " + std::string(4000, 'x') + "\r\n\r\n",
           plain_answer("GET " + target + " "));
}

TEST_CASE("what is not HTTP, or could be read in two ways, is refused", "[dnsd][api]") {
  ApiServing serving;
  std::string malformed = error_answer("400 Bad Request", "malformed_request");
  for (const char* request :
       {"hello\r\n\r\n", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    INFO(request);
    last_exchange(serving.client(), request, malformed);
  }
  last_exchange(serving.client(), "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "HTTP/1.0" + malformed.substr(8));
  last_exchange(serving.client(), "GET / HTTP/1.1\r\n\r\n", error_answer("400 Bad Request", "missing_host"));
  last_exchange(serving.client(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                error_answer("501 Not Implemented", "unsupported_transfer_encoding"));
  last_exchange(serving.client(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
                error_answer("501 Not Implemented", "unsupported_transfer_encoding"));
  // A chunk's extension that never ends.
  last_exchange(serving.client(),
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(20'000, 'e'),
                malformed);
}

TEST_CASE("a client that has finished sending still gets its answers", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  client.send(std::string(kGet) + post("b") + "GET / HT");
  client.finish_sending();
  std::string answers = plain_answer("GET / ") + plain_answer("POST /p b");
  CHECK(client.receive_exactly(answers.size() + 1) == answers);
}

TEST_CASE("a request that comes drop by drop ends at its deadline", "[dnsd][api]") {
  ApiDeadlines deadlines;
  deadlines.request = 100ms;
  ApiServing serving({}, deadlines);
  std::string late = error_answer("408 Request Timeout", "request_timeout");
  last_exchange(serving.client(), "GET / HT", late);
  last_exchange(serving.client(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab", late);
  // Each octet starts nothing anew.
  ClientSocket dripping = serving.client();
  for (int i = 0; i < 4000; ++i) dripping.send("x");
  serving.until([&] { return serving.server.counters().closed_idle == 3; });
  CHECK(dripping.receive_exactly(late.size() + 1) == late);
}

TEST_CASE("an idle connection is closed at its deadline, one that asks is not", "[dnsd][api]") {
  ApiDeadlines deadlines;
  deadlines.idle = 1000ms;
  ApiServing serving({}, deadlines);
  ClientSocket silent = serving.client();
  CHECK(silent.is_ended());
  ClientSocket client = serving.client();
  exchange(client, kGet, plain_answer("GET / "));
  CHECK(client.is_ended());
  CHECK(serving.counters().closed_idle == 2);
}

TEST_CASE("a client that does not take its answer is closed at the deadline", "[dnsd][api]") {
  ApiDeadlines deadlines;
  deadlines.sending = 100ms;
  ApiServing serving({}, deadlines);
  ClientSocket client = serving.client();
  client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
  serving.until([&] { return serving.server.counters().closed_idle == 1; });
  serving.until([&] { return serving.server.connections() == 0; });
}

TEST_CASE("a request that is not answered in all its time is given up, and the server with it is not", "[dnsd][api]") {
  ApiDeadlines deadlines;
  deadlines.in_all = 100ms;
  ApiServing serving({}, deadlines);
  ClientSocket client = serving.client();
  client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(client.is_ended());
  CHECK(serving.counters().closed_idle == 1);
  ClientSocket other = serving.client();
  exchange(other, kGet, plain_answer("GET / "));
  serving.on_loop([&] { serving.echo.release(); });
  serving.until([&] { return serving.echo.waiting == 0 && serving.server.connections() == 1; });
}

TEST_CASE("an answer of megabytes reaches a client that takes it slowly", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket client = serving.client();
  client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
  std::size_t expected = plain_answer(std::string(tests::EchoApi::kLarge, 'x')).size();
  CHECK(client.receive_exactly(expected).size() == expected);
  exchange(client, kGet, plain_answer("GET / "));
}

TEST_CASE("a thousand idle connections keep nobody out", "[dnsd][api]") {
  constexpr unsigned kMost = 100;
  ApiServing serving(limited(kMost, 1000));
  std::vector<ClientSocket> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(serving.client(fmt::format("127.0.0.{}:0", 2 + i % 5)));
  ClientSocket client = serving.client();
  exchange(client, kGet, plain_answer("GET / "));
  CHECK(serving.counters().closed_for_room == 1001 - kMost);
  CHECK(serving.connections() == kMost);
  CHECK(idle.front().is_ended());
  exchange(idle.back(), kGet, plain_answer("GET / "));
}

TEST_CASE("the connection that is idle for longest goes, not one that is being answered", "[dnsd][api]") {
  ApiServing serving(limited(3, 1000));
  ClientSocket answered = serving.client();
  answered.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  serving.until([&] { return serving.echo.waiting == 1; });
  ClientSocket first = serving.client(), second = serving.client();
  exchange(first, kGet, plain_answer("GET / "));
  exchange(second, kGet, plain_answer("GET / "));
  exchange(first, kGet, plain_answer("GET / "));
  ClientSocket third = serving.client();
  CHECK(second.is_ended());
  exchange(third, kGet, plain_answer("GET / "));
  exchange(first, kGet, plain_answer("GET / "));
  serving.on_loop([&] { serving.echo.release(); });
  std::string answer = plain_answer("GET /wait ");
  CHECK(answered.receive_exactly(answer.size()) == answer);
}

TEST_CASE("when all are being answered a new connection is let in all the same", "[dnsd][api]") {
  ApiServing serving(limited(2, 1000));
  std::vector<ClientSocket> waiting;
  for (int i = 0; i < 2; ++i) {
    waiting.push_back(serving.client());
    waiting.back().send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    serving.until([&] { return serving.echo.waiting == i + 1; });
  }
  ClientSocket client = serving.client();
  exchange(client, kGet, plain_answer("GET / "));
  CHECK(waiting[0].is_ended());
  serving.on_loop([&] { serving.echo.release(); });
  std::string answer = plain_answer("GET /wait ");
  CHECK(waiting[1].receive_exactly(answer.size()) == answer);
}

TEST_CASE("one address has its share, a trusted proxy more", "[dnsd][api]") {
  conf::Api api = limited(100, 2);
  api.trusted_proxies.push_back(*base::AddressRange::parse_or_address("127.0.0.7"));
  ApiServing serving(api);
  std::vector<ClientSocket> of_one, of_proxy;
  ClientSocket other = serving.client("127.0.0.3:0");
  for (int i = 0; i < 5; ++i) {
    of_one.push_back(serving.client("127.0.0.2:0"));
    exchange(of_one.back(), kGet, plain_answer("GET / "));
    of_proxy.push_back(serving.client("127.0.0.7:0"));
  }
  CHECK(serving.counters().closed_for_address == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(of_one[i].is_ended());
  for (ClientSocket& client : of_proxy) exchange(client, kGet, plain_answer("GET / "));
  exchange(other, kGet, plain_answer("GET / "));
  // A reload that allows fewer closes the rest.
  REQUIRE(serving.use(limited(4, 2)));
  serving.until([&] { return serving.server.connections() == 4; });
  exchange(other, kGet, plain_answer("GET / "));
}

TEST_CASE("a server that stops answers what is under way and nothing more", "[dnsd][api]") {
  ApiServing serving;
  ClientSocket idle = serving.client(), begun = serving.client(), waiting = serving.client();
  begun.send("GET / HT");
  waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + std::string(kGet));
  serving.until([&] { return serving.echo.waiting == 1 && serving.server.connections() == 3; });
  serving.on_loop([&] { serving.server.stop(); });
  CHECK(idle.is_ended());
  CHECK(begun.is_ended());
  serving.on_loop([&] { serving.echo.release(); });
  std::string answer = plain_answer("GET /wait ", "Connection: close\r\n");
  CHECK(waiting.receive_exactly(answer.size() + 1) == answer);
}

TEST_CASE("an address that is in use is named with the remedy", "[dnsd][api]") {
  ApiServing serving;
  auto again = bind_api_listeners({serving.address});
  REQUIRE_FALSE(again);
  CHECK(again.error().code == base::ErrorCode::Exists);
  CHECK(again.error().message.starts_with("cannot bind " + serving.address.text() + "/tcp for the API: "));
  auto foreign = bind_api_listeners({*base::SocketAddress::parse("192.0.2.1:80")});
  REQUIRE_FALSE(foreign);
  CHECK(foreign.error().message.find("does not have the address") != std::string::npos);
  auto none = bind_api_listeners({});
  REQUIRE(none);
  CHECK(none->empty());
}

TEST_CASE("without descriptors the idle connections make room", "[dnsd][api]") {
  // The sanitizers open pipes to see whether memory can be read, and take it that they cannot for an error.
  if (kSanitizedBuild) return;
  ApiServing serving(limited(1000, 1000));
  std::vector<ClientSocket> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(serving.client());
  exchange(idle.back(), kGet, plain_answer("GET / "));
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // One for the client that follows, none for the server's end of it.
  base::Descriptor next(fcntl(0, F_DUPFD_CLOEXEC, 0));
  rlimit narrow = before;
  narrow.rlim_cur = static_cast<rlim_t>(next.get()) + 1;
  next.close();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &narrow) == 0);
  ClientSocket client = serving.client();
  serving.until([&] { return serving.server.counters().accepted == 21; });
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  exchange(client, kGet, plain_answer("GET / "));
  CHECK(serving.counters().closed_for_room == 8);
  CHECK(serving.counters().accept_errors == 1);
  CHECK(idle.front().is_ended());
  exchange(idle.back(), kGet, plain_answer("GET / "));
}

TEST_CASE("no more than a quarter of the descriptors are connections", "[dnsd][api]") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  ApiServing serving(limited(1000, 1000));
  rlimit narrow = before;
  narrow.rlim_cur = 200;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &narrow) == 0);
  auto used = serving.use(limited(1000, 1000));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(used);
  std::vector<ClientSocket> clients;
  for (int i = 0; i < 60; ++i) clients.push_back(serving.client());
  exchange(clients.back(), kGet, plain_answer("GET / "));
  CHECK(serving.counters().closed_for_room == 10);
}

TEST_CASE("an IPv6 client is its /64, an IPv4 client its address", "[dnsd][api]") {
  ApiSessions sessions({});
  ApiLimits limits;
  limits.max_per_address = 2;
  sessions.set_limits(limits);
  std::list<ApiPlace> places;
  auto connect = [&](const char* peer) {
    ApiPlace& place = places.emplace_back();
    sessions.add(place, *base::SocketAddress::parse(peer, 1), ApiSessions::Client::Counted, ApiPhase::Idle, {});
    return sessions.surplus_of_client(place);
  };
  CHECK(connect("2001:db8:0:1::1") == nullptr);
  CHECK(connect("2001:db8:0:1:ffff::2") == nullptr);
  CHECK(connect("2001:db8:0:2::1") == nullptr);
  CHECK(connect("2001:db8:0:1::1") == &places.front());
  CHECK(connect("192.0.2.1") == nullptr);
  CHECK(connect("192.0.2.2") == nullptr);
  CHECK(connect("192.0.2.1") == nullptr);
  // The IPv4 client of an IPv6 socket is the IPv4 client that it is.
  CHECK(connect("[::ffff:192.0.2.1]:1") == &*std::next(places.begin(), 4));
  for (ApiPlace& place : places) sessions.remove(place);
  CHECK(sessions.all() == 0);
}
