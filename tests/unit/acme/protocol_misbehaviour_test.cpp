// A CA that breaks the rules: each break is told, none is believed, nothing waits for ever.
#include <boost/json/parse.hpp>
#include <map>
#include <set>

#include "acme/protocol/account.hpp"
#include "acme/protocol/authorization.hpp"
#include "acme/protocol/order.hpp"
#include "acme/protocol/session.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using base::ErrorCode;
using tests::MockCa;
using tests::MockReply;
using tests::MockRequest;
using tests::says;
using tests::session_of;

namespace {

base::Result<Session> open(const MockCa& ca) {
  return Session::open(ca.url("/dir"), {});
}

std::string protected_member(const MockRequest& request, const char* member) {
  return std::string(tests::jws_header(boost::json::parse(request.body)).at(member).as_string());
}

}  // namespace

TEST_CASE("a directory with a member missing or of a wrong type names it", "[acme]") {
  MockCa ca;
  ca.reply("/dir", MockCa::json(200, R"({"newNonce":"https://a/","newAccount":"https://a/"})"));
  REQUIRE(open(ca).error().code == ErrorCode::Protocol);
  REQUIRE(says(open(ca).error(), "\"newOrder\" is missing"));
  REQUIRE(says(open(ca).error(), "/dir"));
  ca.reply("/dir", MockCa::json(200, R"({"newNonce":1,"newAccount":"https://a/","newOrder":"https://a/"})"));
  REQUIRE(says(open(ca).error(), "\"newNonce\" is not text"));
  ca.reply("/dir",
           MockCa::json(200, R"({"newNonce":"https://a/","newAccount":"https://a/","newOrder":"http://a.test/"})"));
  REQUIRE(says(open(ca).error(), "not https"));
}

TEST_CASE("a directory that is a web page, a list, a redirect or an error says what to check", "[acme]") {
  MockCa ca;
  for (MockReply reply : {MockReply{200, {{"Content-Type", "text/html"}}, "<html>"}, MockCa::json(200, "[]"),
                          MockReply{404, {}, "not here"}, MockReply{301, {{"Location", "https://other.test/"}}, ""}}) {
    ca.reply("/dir", reply);
    REQUIRE(says(open(ca).error(), "acme.ca"));
  }
  REQUIRE(says(open(ca).error(), "https://other.test/"));
}

TEST_CASE("a directory elsewhere without https is not asked", "[acme]") {
  REQUIRE(Session::open("http://ca.example.test/dir", {}).error().code == ErrorCode::Invalid);
  REQUIRE(Session::open("ca.example.test/dir", {}).error().code == ErrorCode::Invalid);
}

TEST_CASE("an order without Location, for other names or with a broken member is refused", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order", MockCa::json(201, ca.order_body("pending")));
  REQUIRE(says(new_order(session, {.names = {"a.test"}}).error(), "no Location"));
  auto with_location = [&](std::string body, const std::string& location) {
    MockReply reply = MockCa::json(201, std::move(body));
    reply.headers.emplace_back("Location", location);
    ca.reply("/order", reply);
    return new_order(session, {.names = {"a.test"}});
  };
  REQUIRE(with_location(ca.order_body("pending"), ca.url("/order/1"))->url == ca.url("/order/1"));
  REQUIRE(says(with_location(ca.order_body("pending"), "http://evil.test/").error(), "not https"));
  REQUIRE(
      says(with_location(ca.order_body("odd"), ca.url("/order/1")).error(), "\"status\" is \"odd\", no order status"));
  REQUIRE(says(with_location(ca.order_body("valid"), ca.url("/order/1")).error(), "\"certificate\" is missing"));
  REQUIRE(says(with_location("{}", ca.url("/order/1")).error(), "\"status\" is missing"));
  REQUIRE(says(with_location("<html>", ca.url("/order/1")).error(), "not JSON"));
  REQUIRE(says(
      with_location(
          R"({"status":"pending","identifiers":[{"value":"b.test"}],"authorizations":["https://b/"],"finalize":"https://a/"})",
          ca.url("/order/1"))
          .error(),
      "other names"));
}

TEST_CASE("a page of a broken proxy is retried, then quoted", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order/1", MockReply{502, {{"Content-Type", "text/html"}, {"Retry-After", "0"}}, "<h1>Bad Gateway</h1>"});
  auto error = fetch_order(session, ca.url("/order/1")).error();
  REQUIRE(error.code == ErrorCode::Unavailable);
  REQUIRE(says(error, "Bad Gateway"));
  REQUIRE(ca.server().count("/order/1") == 3);
}

TEST_CASE("a busy CA is asked again when it says so", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  int asked = 0;
  ca.replies["/order/1"] = [&](const MockRequest&) {
    if (++asked == 1) return MockReply{503, {{"Retry-After", "0"}}, ""};
    return MockCa::json(200, ca.order_body("ready"));
  };
  REQUIRE(fetch_order(session, ca.url("/order/1"))->status == OrderStatus::Ready);
}

TEST_CASE("a rate limit for an hour is not waited for, but told with time and help", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  MockReply limited = MockCa::problem(429, "rateLimited", "too many orders");
  limited.headers.emplace_back("Retry-After", "3600");
  limited.headers.emplace_back("Link", "<https://ca.test/help>;rel=\"help\"");
  ca.reply("/order", limited);
  auto error = new_order(session, {.names = {"a.test"}}).error();
  REQUIRE(error.code == ErrorCode::Unavailable);
  REQUIRE(says(error, "too many orders"));
  REQUIRE(says(error, "try again after"));
  REQUIRE(says(error, "https://ca.test/help"));
  REQUIRE(ca.server().count("/order") == 1);
}

TEST_CASE("changed terms of service stop with the page to visit", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  MockReply reply = MockCa::json(403, R"({"type":"urn:ietf:params:acme:error:userActionRequired","detail":"new terms",)"
                                      R"("instance":"https://ca.test/agree"})");
  reply.headers.emplace_back("Link", "<https://ca.test/terms>;rel=\"terms-of-service\"");
  ca.reply("/order", reply);
  auto error = new_order(session, {.names = {"a.test"}}).error();
  REQUIRE(error.code == ErrorCode::Refused);
  REQUIRE(says(error, "https://ca.test/agree"));
  REQUIRE(says(error, "https://ca.test/terms"));
}

TEST_CASE("only the requests whose nonce was refused are sent again, with a fresh nonce and signature", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  std::set<std::string> refused;
  std::vector<Post> posts;
  for (int i = 0; i < 20; ++i) {
    std::string path = "/r/" + std::to_string(i);
    posts.push_back(Post{ca.url(path), "", "test", "", Post::Signer::Account});
    ca.replies[path] = [&, i, path](const MockRequest&) {
      if (i % 3 == 0 && refused.insert(path).second) return MockCa::problem(400, "badNonce", "again");
      return MockCa::json(200, "{}");
    };
  }
  auto answers = session.post(posts);
  for (const auto& answer : answers) REQUIRE(answer);
  std::map<std::string, std::vector<std::string>> bodies;
  std::vector<std::string> nonces;
  for (const MockRequest& request : ca.server().requests()) {
    if (request.method != "POST") continue;
    bodies[request.path].push_back(request.body);
    nonces.push_back(protected_member(request, "nonce"));
    REQUIRE(protected_member(request, "url") == ca.url(request.path));
    REQUIRE(request.header("content-type") == "application/jose+json");
  }
  for (int i = 0; i < 20; ++i) REQUIRE(bodies["/r/" + std::to_string(i)].size() == (i % 3 == 0 ? 2 : 1));
  std::sort(nonces.begin(), nonces.end());
  REQUIRE(std::adjacent_find(nonces.begin(), nonces.end()) == nonces.end());
  REQUIRE(ca.server().count("/nonce") <= Session::kWindow);
}

TEST_CASE("a CA without usable nonces is told as that", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/nonce", MockReply{200, {{"Replay-Nonce", "not a nonce"}}, ""});
  REQUIRE(says(fetch_order(session, ca.url("/order/1")).error(), "no usable Replay-Nonce"));
  ca.reply("/nonce", MockReply{404, {{"Replay-Nonce", ""}}, ""});
  REQUIRE(says(fetch_order(session, ca.url("/order/1")).error(), "HTTP 404"));
}

TEST_CASE("a silent CA is a timeout, a certificate of another type is refused", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order/1", MockReply{200, {}, "", MockReply::Fault::NeverAnswer});
  REQUIRE(fetch_order(session, ca.url("/order/1")).error().code == ErrorCode::Timeout);
  ca.reply("/cert", MockReply{200, {{"Content-Type", "text/plain"}}, "-----BEGIN CERTIFICATE-----"});
  REQUIRE(says(fetch_certificate(session, ca.url("/cert")).error(), "application/pem-certificate-chain"));
  ca.reply("/cert", MockReply{200, {}, std::string(5U << 20U, 'x')});
  REQUIRE(fetch_certificate(session, ca.url("/cert")).error().code == ErrorCode::Protocol);
}

TEST_CASE("a challenge type without a token is skipped over, an authorization without challenges is not", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/authz",
           MockCa::json(200, R"({"status":"pending","identifier":{"type":"dns","value":"a.test"},"wildcard":true,)"
                             R"("challenges":[{"type":"dns-persist-01","url":"https://a/"},)"
                             R"({"type":"dns-01","url":"https://b/","token":"abc","status":"pending"}]})"));
  auto authorizations = fetch_authorizations(session, {ca.url("/authz")});
  REQUIRE(authorizations);
  REQUIRE(authorizations->front().name() == "*.a.test");
  REQUIRE(authorizations->front().find("dns-01")->token == "abc");
  REQUIRE(authorizations->front().find("http-01") == nullptr);
  ca.reply("/authz", MockCa::json(200, R"({"status":"pending","identifier":{"value":"a.test"},"challenges":[7]})"));
  REQUIRE(says(fetch_authorizations(session, {ca.url("/authz")}).error(), "\"challenges\" has an item"));
  ca.reply("/authz", MockCa::json(200, R"({"status":"pending","identifier":{"value":"a.test"}})"));
  REQUIRE(says(fetch_authorizations(session, {ca.url("/authz")}).error(), "\"challenges\" is missing"));
}

TEST_CASE("an account answer without Location or not valid is refused", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/account", MockCa::json(201, R"({"status":"valid"})"));
  REQUIRE(says(new_account(session, {}).error(), "no Location"));
  MockReply deactivated = MockCa::json(200, R"({"status":"deactivated"})");
  deactivated.headers.emplace_back("Location", ca.url("/account/9"));
  ca.reply("/account", deactivated);
  REQUIRE(says(new_account(session, {}).error(), "deactivated"));
}

TEST_CASE("deeply nested JSON is refused, not recursed into", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order/1", MockCa::json(200, std::string(100'000, '[')));
  REQUIRE(fetch_order(session, ca.url("/order/1")).error().code == ErrorCode::Protocol);
}

TEST_CASE("a busy directory and a busy newNonce are asked again", "[acme]") {
  MockCa ca;
  int busy = 1;
  auto once_busy = [&](MockReply after) {
    return [&busy, after = std::move(after)](const MockRequest&) {
      return busy-- > 0 ? MockReply{503, {{"Retry-After", "0"}, {"Replay-Nonce", ""}}, ""} : after;
    };
  };
  ca.replies["/dir"] = once_busy(MockCa::json(200, ca.directory()));
  Session session = session_of(ca);
  REQUIRE(ca.server().count("/dir") == 2);
  busy = 1;
  ca.replies["/nonce"] = once_busy(MockReply{200, {}, ""});
  ca.reply("/order/1", MockCa::json(200, ca.order_body("ready")));
  REQUIRE(fetch_order(session, ca.url("/order/1")));
  REQUIRE(ca.server().count("/nonce") == 2);
}

TEST_CASE("more authorizations than names are refused, the same one twice is one", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  auto order_with = [&](const std::string& authorizations) {
    ca.reply("/order/1",
             MockCa::json(200, R"({"status":"pending","identifiers":[{"value":"a.test"}],"finalize":"https://f/",)"
                               R"("authorizations":[)" +
                                   authorizations + "]}"));
    return fetch_order(session, ca.url("/order/1"));
  };
  REQUIRE(order_with(R"("https://a/","https://a/")")->authorizations == std::vector<std::string>{"https://a/"});
  auto refused = order_with(R"("https://a/","https://b/")");
  REQUIRE(refused.error().code == ErrorCode::Protocol);
  REQUIRE(says(refused.error(), "2 authorizations for 1 identifiers"));
}

TEST_CASE("a JSON resource has no need of half a megabyte", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order/1", MockCa::json(200, ca.order_body("ready", ",\"x\":\"" + std::string(kMaxJson, 'x') + "\"")));
  REQUIRE(says(fetch_order(session, ca.url("/order/1")).error(), "is larger than"));
}

TEST_CASE("plain http is for a CA whose directory is plain http on loopback", "[acme]") {
  Directory tested, real;
  tested.url = "http://127.0.0.1:14000/dir";
  real.url = "https://ca.example.test/dir";
  REQUIRE(check_resource_url("http://127.0.0.1:8500/x", tested));
  REQUIRE(check_resource_url("https://ca.example.test/x", real));
  REQUIRE(says(check_resource_url("http://127.0.0.1:8500/x", real).error(), "not https"));
  REQUIRE(says(check_resource_url("HTTP://127.0.0.1:8500/x", real).error(), "not https"));
  REQUIRE(says(check_resource_url("http://ca.example.test/x", tested).error(), "not https"));
}

TEST_CASE("a challenge's reason that is not well formed is told as far as it goes", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/authz", MockCa::json(200, R"({"status":"invalid","identifier":{"value":"a.test\n\u009b"},"challenges":[)"
                                       R"({"type":"dns-01","error":{"type":7,"detail":"no TXT record"}}]})"));
  auto authorizations = fetch_authorizations(session, {ca.url("/authz")});
  REQUIRE(authorizations);
  REQUIRE(authorizations->front().failure() == "no TXT record");
  REQUIRE(authorizations->front().name() == "a.test ?");
}

TEST_CASE("a pending order without authorizations is not waited for", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  auto with_status = [&](const std::string& status) {
    ca.reply("/order/1", MockCa::json(200, R"({"status":")" + status +
                                               R"(","identifiers":[{"value":"a.test"}],"authorizations":[],)"
                                               R"("finalize":"https://a/","certificate":"https://a/"})"));
    return fetch_order(session, ca.url("/order/1"));
  };
  REQUIRE(says(with_status("pending").error(), "has no authorizations"));
  for (const char* status : {"ready", "processing", "valid", "invalid"}) REQUIRE(with_status(status));
}

TEST_CASE("a page in the place of a triggered challenge is quoted", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/1", MockCa::json(200, R"({"type":"dns-01","status":"processing"})"));
  ca.reply("/2", MockReply{200, {{"Content-Type", "text/html"}}, "<h1>Log\tin</h1>"});
  ca.reply("/3", MockReply{200, {}, ""});
  auto results = trigger_challenges(session, {ca.url("/1"), ca.url("/2"), ca.url("/3")});
  REQUIRE(results[0]);
  REQUIRE(results[1].error().code == ErrorCode::Protocol);
  REQUIRE(says(results[1].error(), ca.url("/2")));
  REQUIRE(says(results[1].error(), "\"text/html\": <h1>Log in</h1>"));
  REQUIRE(results[2].error().code == ErrorCode::Protocol);
}

TEST_CASE("an unknown status is quoted, harmless", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/authz", MockCa::json(200, R"({"status":"li\u001bmbo","identifier":{"value":"a.test"},"challenges":[]})"));
  REQUIRE(says(fetch_authorizations(session, {ca.url("/authz")}).error(),
               "\"status\" is \"li?mbo\", no authorization status"));
}
