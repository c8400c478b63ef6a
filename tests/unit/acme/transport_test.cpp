#include "acme/transport/http.hpp"

#include <chrono>

#include "acme/transport/url.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/mock_http_server.hpp"
#include "tests/support/pebble.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using tests::MockHttpServer;
using tests::MockReply;
using tests::MockRequest;

TEST_CASE("a batch is answered in the order of its requests", "[acme]") {
  MockHttpServer server([](const MockRequest& request) {
    return MockReply{200, {{"X-Path", request.path}}, request.method + " " + request.body};
  });
  HttpClient client({});
  std::vector<HttpRequest> requests;
  for (int i = 0; i < 40; ++i)
    requests.push_back({HttpRequest::Method::Post, server.url("/" + std::to_string(i)), {}, std::to_string(i)});
  requests.push_back({HttpRequest::Method::Put, server.url("/put"), {}, "p"});
  requests.push_back({HttpRequest::Method::Delete, server.url("/delete"), {}, ""});
  requests.push_back({HttpRequest::Method::Head, server.url("/head"), {}, ""});
  auto answers = client.perform(requests);
  REQUIRE(answers.size() == requests.size());
  for (std::size_t i = 0; i < 40; ++i) {
    REQUIRE(answers[i]);
    REQUIRE(answers[i]->body == "POST " + std::to_string(i));
    REQUIRE(answers[i]->header("x-path") == "/" + std::to_string(i));
  }
  REQUIRE(answers[40]->body == "PUT p");
  REQUIRE(answers[41]->body == "DELETE ");
  REQUIRE(answers[42]->header("x-path") == "/head");
  REQUIRE(answers[42]->body.empty());
}

TEST_CASE("every request names the program, and no content type that nobody gave", "[acme]") {
  MockHttpServer server([](const MockRequest&) { return MockReply{}; });
  HttpClient client({});
  REQUIRE(client.perform(HttpRequest{HttpRequest::Method::Post, server.url("/"), {}, "x"}));
  MockRequest seen = server.requests().front();
  REQUIRE(seen.header("user-agent").starts_with("countersign/"));
  REQUIRE(seen.header("user-agent").find("libcurl/") != std::string::npos);
  REQUIRE(seen.header("content-type").empty());
}

TEST_CASE("redirects are answers, not followed", "[acme]") {
  MockHttpServer server([](const MockRequest&) { return MockReply{302, {{"Location", "/elsewhere"}}, ""}; });
  HttpClient client({});
  auto answer = client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/"), {}, ""});
  REQUIRE(answer);
  REQUIRE(answer->status == 302);
  REQUIRE(server.requests().size() == 1);
}

TEST_CASE("a body that is too large, cut short, absent or late is an error of its own", "[acme]") {
  MockHttpServer server([](const MockRequest& request) {
    if (request.path == "/large") return MockReply{200, {}, std::string(2000, 'x')};
    if (request.path == "/cut") return MockReply{200, {}, "half", MockReply::Fault::CutBodyShort};
    if (request.path == "/closed") return MockReply{200, {}, "", MockReply::Fault::CloseWithoutAnswer};
    if (request.path == "/late") return MockReply{200, {}, "", MockReply::Fault::NeverAnswer};
    return MockReply{200, {}, std::string(1000, 'y')};
  });
  HttpOptions options;
  options.max_body = 1000;
  options.timeout = 200ms;
  HttpClient client(options);
  auto code = [&](const char* path) {
    return client.perform(HttpRequest{HttpRequest::Method::Get, server.url(path), {}, ""}).error().code;
  };
  REQUIRE(code("/large") == base::ErrorCode::Protocol);
  REQUIRE(code("/cut") == base::ErrorCode::Unavailable);
  REQUIRE(code("/closed") == base::ErrorCode::Unavailable);
  REQUIRE(code("/late") == base::ErrorCode::Timeout);
  REQUIRE(client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/fits"), {}, ""})->body.size() == 1000);
  // One request may have a limit of its own.
  REQUIRE(client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/fits"), {}, "", 999}).error().code ==
          base::ErrorCode::Protocol);
  REQUIRE(client.perform(HttpRequest{HttpRequest::Method::Get, server.url("/large"), {}, "", 2000}));
}

TEST_CASE("one failing request leaves its batch alone", "[acme]") {
  MockHttpServer server([](const MockRequest&) { return MockReply{200, {}, "fine"}; });
  HttpClient client({});
  auto answers = client.perform(std::vector<HttpRequest>{{HttpRequest::Method::Get, "http://127.0.0.1:1/", {}, ""},
                                                         {HttpRequest::Method::Get, server.url("/"), {}, ""},
                                                         {HttpRequest::Method::Get, "ftp://127.0.0.1/", {}, ""}});
  REQUIRE(answers[0].error().code == base::ErrorCode::Unavailable);
  REQUIRE(answers[0].error().message == "cannot connect to 127.0.0.1:1: connection refused");
  REQUIRE(answers[1]->body == "fine");
  REQUIRE(answers[2].error().code == base::ErrorCode::Invalid);
}

TEST_CASE("a Unix socket that is not there is told by its path", "[acme]") {
  HttpOptions options;
  options.unix_socket = "/nonexistent/control.sock";
  HttpClient client(options);
  auto error = client.perform(HttpRequest{HttpRequest::Method::Get, "http://daemon/", {}, ""}).error();
  REQUIRE(error.code == base::ErrorCode::Unavailable);
  REQUIRE(error.message.find("/nonexistent/control.sock") != std::string::npos);
  REQUIRE(error.message.find("no such file") != std::string::npos);
}

TEST_CASE("a CA with a private root is trusted through the bundle alone", "[acme]") {
  tests::Pebble pebble;
  HttpRequest request{HttpRequest::Method::Get, pebble.directory_url(), {}, ""};
  HttpOptions options;
  auto refused = HttpClient(options).perform(request);
  REQUIRE_FALSE(refused);
  INFO(refused.error().message);
  REQUIRE(refused.error().code == base::ErrorCode::Unavailable);
  REQUIRE(refused.error().message.find("set acme.ca_bundle") != std::string::npos);
  options.ca_bundle = pebble.ca_file();
  REQUIRE(HttpClient(options).perform(request)->status == 200);
  options.ca_bundle = "/nonexistent/bundle.pem";
  auto missing = HttpClient(options).perform(request);
  REQUIRE(missing.error().code == base::ErrorCode::Usage);
  REQUIRE(missing.error().message.find("acme.ca_bundle") != std::string::npos);
}

TEST_CASE("URLs are taken apart and bad ones refused", "[acme]") {
  auto url = Url::parse("https://CA.example:8443/dir?x=1");
  REQUIRE(url);
  REQUIRE(url->is_https());
  REQUIRE(url->host() == "ca.example");
  REQUIRE(url->port() == 8443);
  REQUIRE(url->path() == "/dir?x=1");
  REQUIRE(url->origin() == "ca.example:8443");
  REQUIRE_FALSE(url->is_loopback());
  REQUIRE(Url::parse("http://[::1]:80/")->is_loopback());
  REQUIRE(Url::parse("http://127.1.2.3/")->is_loopback());
  REQUIRE(Url::parse("http://localhost/")->is_loopback());
  REQUIRE_FALSE(Url::parse("http://127.example.com/")->is_loopback());
  for (const char* bad : {"", "/relative", "ca.example/dir", "ftp://ca.example/", "https://user@ca.example/",
                          "https://", "https://a/\n", "https://a b/", "https://a/\xc3\xbc", "https://a/\x9b"})
    REQUIRE_FALSE(Url::parse(bad));
  REQUIRE(Url::parse("https://a/\nforged: row\x9b").error().message.find_first_of("\n\x9b") == std::string::npos);
}
