// Directory, order, authorization, renewal information and revocation: what newer CAs say, and say wrongly.
#include "acme/protocol/order.hpp"

#include "acme/protocol/authorization.hpp"
#include "acme/protocol/renewal_info.hpp"
#include "acme/protocol/revocation.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using base::ErrorCode;
using tests::jws_header;
using tests::jws_part;
using tests::jws_payload;
using tests::last_jws;
using tests::MockCa;
using tests::MockReply;
using tests::MockRequest;
using tests::says;
using tests::session_of;
using tests::taken;

namespace {

constexpr const char* kPem = "application/pem-certificate-chain";

Directory directory_with(const std::string& extras) {
  MockCa ca;
  ca.directory_extras = extras;
  return taken(Session::open(ca.url("/dir"), {})).directory();
}

MockReply order_reply(const MockCa& ca, const std::string& more) {
  MockReply reply = MockCa::json(201, ca.order_body("pending", more));
  reply.headers.emplace_back("Location", ca.url("/order/1"));
  return reply;
}

Session renewing(MockCa& ca, const std::string& slash = "") {
  ca.directory_extras = R"(,"renewalInfo":")" + ca.url("/ari") + slash + "\"";
  return session_of(ca);
}

base::Result<RenewalInfo> window(MockCa& ca, const std::string& start, const std::string& end,
                                 std::vector<std::pair<std::string, std::string>> headers = {}) {
  Session session = renewing(ca);
  MockReply reply = MockCa::json(
      200, fmt::format(R"({{"suggestedWindow":{{"start":"{}","end":"{}"}},"explanationURL":"https://ca.test/why"}})",
                       start, end));
  for (auto& header : headers) reply.headers.push_back(std::move(header));
  ca.reply("/ari/id.1", reply);
  return fetch_renewal_info(session, "id.1");
}

// Self-signed: who signed it is not what is tested here.
CertificateChain some_chain() {
  constexpr const char* kCertificate =
      "-----BEGIN CERTIFICATE-----\n"
      "MIIBizCCATKgAwIBAgIUHQ3oKNAP2jl9eCOyUjor0cKhkyEwCgYIKoZIzj0EAwIw\n"
      "ETEPMA0GA1UEAwwGYS50ZXN0MCAXDTI2MTEyMjEwMDAxMFoYDzIxMjYxMDI5MTAw\n"
      "MDEwWjARMQ8wDQYDVQQDDAZhLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
      "AARUlwd5kf53XgEjmh58ubmdOK0vAC/bK76909oS95mlM2Vy+o4GpciEBN980WHx\n"
      "okhJncExGxN42lCTWvnpiLcyo2YwZDAdBgNVHQ4EFgQU/8t47hNLMpkGr2Vph7b5\n"
      "Ol53dncwHwYDVR0jBBgwFoAU/8t47hNLMpkGr2Vph7b5Ol53dncwDwYDVR0TAQH/\n"
      "BAUwAwEB/zARBgNVHREECjAIggZhLnRlc3QwCgYIKoZIzj0EAwIDRwAwRAIgI/Vr\n"
      "qQ2j2jt48ss/ixi38uM71L8EiAm87dy/dcvQOvQCIBYaP2x6tGBeOScpCGceiqki\n"
      "L8NKoHF7vJAHCFzJA1UF\n"
      "-----END CERTIFICATE-----\n";
  return taken(CertificateChain::parse(kCertificate, "x"));
}

}  // namespace

TEST_CASE("a directory's profiles, issuers and hash prefix are read", "[acme]") {
  Directory directory = directory_with(
      R"(,"renewalInfo":"https://ca.test/ari","meta":{"profiles":{"classic":"as ever","short":7},)"
      R"("issuerDomainNames":["ca.test"],"accountHashPrefix":"https://ca.test/h/","caaIdentities":["ca.test"],)"
      R"("website":"https://ca.test/"})");
  REQUIRE(directory.profiles == std::map<std::string, std::string>{{"classic", "as ever"}, {"short", ""}});
  REQUIRE(directory.issuer_domain_names == std::vector<std::string>{"ca.test"});
  REQUIRE(directory.account_hash_prefix == "https://ca.test/h/");
  REQUIRE(directory.renewal_info == "https://ca.test/ari");
  REQUIRE(directory.caa_identities == std::vector<std::string>{"ca.test"});
}

TEST_CASE("a broken extra of a directory counts as absent, broken terms do not", "[acme]") {
  Directory directory = directory_with(
      R"(,"revokeCert":{},"keyChange":1,"renewalInfo":7,"meta":{"profiles":[1],"issuerDomainNames":{},"accountHashPrefix":1,"caaIdentities":"x",)"
      R"("website":[]})");
  REQUIRE(directory.profiles.empty());
  REQUIRE(directory.issuer_domain_names.empty());
  REQUIRE(directory.account_hash_prefix.empty());
  REQUIRE(directory.renewal_info.empty());
  REQUIRE(directory.revoke_certificate.empty());
  REQUIRE(directory.key_change.empty());
  REQUIRE(directory.caa_identities.empty());
  MockCa ca;
  for (const char* member : {"\"termsOfService\":7", "\"externalAccountRequired\":\"yes\""}) {
    ca.directory_extras = fmt::format(R"(,"meta":{{{}}})", member);
    REQUIRE(Session::open(ca.url("/dir"), {}).error().code == ErrorCode::Protocol);
  }
  ca.directory_extras = R"(,"meta":[])";
  REQUIRE(says(Session::open(ca.url("/dir"), {}).error(), "\"meta\" is not an object"));
}

TEST_CASE("an order asks for what was wanted and for nothing else", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order", order_reply(ca, R"(,"expires":"2026-12-01T00:00:00Z")"));
  Order plain = taken(new_order(session, {.names = {"a.test"}}));
  REQUIRE(jws_part(last_jws(ca, "/order"), "payload") == R"({"identifiers":[{"type":"dns","value":"a.test"}]})");
  REQUIRE(plain.expires == "2026-12-01T00:00:00Z");
  REQUIRE(plain.profile.empty());
  REQUIRE(plain.replaces.empty());

  ca.reply("/order", order_reply(ca, R"(,"profile":"short","replaces":"id.1")"));
  NewOrder wanted{{"a.test"}, "short", "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z", "id.1"};
  Order order = taken(new_order(session, wanted));
  auto payload = jws_payload(last_jws(ca, "/order"));
  REQUIRE(payload.as_object().size() == 5);
  REQUIRE(payload.at("profile").as_string() == "short");
  REQUIRE(payload.at("notBefore").as_string() == "2026-12-01T00:00:00Z");
  REQUIRE(payload.at("notAfter").as_string() == "2026-12-02T00:00:00Z");
  REQUIRE(payload.at("replaces").as_string() == "id.1");
  REQUIRE(order.profile == "short");
  REQUIRE(order.replaces == "id.1");

  ca.reply("/order", order_reply(ca, R"(,"profile":7,"replaces":[],"expires":{})"));
  REQUIRE(taken(new_order(session, wanted)).profile.empty());
}

TEST_CASE("what a CA says against an order is given back with its parts", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/order", MockCa::json(409, R"({"type":"urn:ietf:params:acme:error:alreadyReplaced","detail":"done"})"));
  Problem problem;
  REQUIRE_FALSE(new_order(session, {.names = {"a.test"}}, &problem));
  REQUIRE(problem.is("alreadyReplaced"));
  REQUIRE(problem.status == 409);
  ca.reply("/order", MockCa::json(400, R"({"type":"urn:ietf:params:acme:error:rejectedIdentifier","subproblems":[)"
                                       R"({"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no",)"
                                       R"("identifier":{"type":"dns","value":"a.test"}}]})"));
  REQUIRE_FALSE(new_order(session, {.names = {"a.test"}}, &problem));
  REQUIRE(problem.subproblems.size() == 1);
  REQUIRE(problem.subproblems[0].identifier == "a.test");
  ca.reply("/finalize", MockCa::problem(403, "orderNotReady", "wait"));
  Order order;
  order.url = ca.url("/order/1");
  order.finalize = ca.url("/finalize");
  REQUIRE_FALSE(finalize_order(session, order, "der", &problem));
  REQUIRE(problem.is("orderNotReady"));
}

TEST_CASE("alternate chains are found in any kind of Link, and only those that may be asked for", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply(
      "/cert",
      MockReply{200,
                {{"Content-Type", std::string(kPem) + "; charset=utf-8"},
                 {"Link", fmt::format(R"(<{0}>;rel="index", <{0}/1>;rel="alternate", <{0}/2>;rel="x alternate")",
                                      ca.url("/cert"))},
                 {"Link", fmt::format(R"(<{0}/1>;rel="alternate")", ca.url("/cert"))},
                 {"Link", fmt::format(R"(<{0}>;rel="alternate")", ca.url("/cert"))},
                 {"Link", R"(<http://elsewhere.test/>;rel="alternate", <relative>;rel="alternate", <>;rel=alternate)"}},
                "PEM"});
  Download download = taken(fetch_certificate(session, ca.url("/cert")));
  REQUIRE(download.pem == "PEM");
  REQUIRE(download.alternates == std::vector<std::string>{ca.url("/cert/1"), ca.url("/cert/2")});
  REQUIRE(jws_header(last_jws(ca, "/cert")).at("url").as_string() == ca.url("/cert"));

  MockReply many{200, {{"Content-Type", kPem}}, "PEM"};
  for (int i = 0; i < 50; ++i)
    many.headers.emplace_back("Link", fmt::format("<{}>;rel=alternate", ca.url("/a" + std::to_string(i))));
  ca.reply("/cert", many);
  REQUIRE(taken(fetch_certificate(session, ca.url("/cert"))).alternates.size() == 16);
}

TEST_CASE("of several chains each is judged by itself", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/1", MockReply{200, {{"Content-Type", kPem}}, "one"});
  ca.reply("/2", MockReply{404, {}, ""});
  ca.reply("/3", MockReply{200, {{"Content-Type", "text/html"}}, "<html>"});
  auto chains = fetch_certificates(session, {ca.url("/1"), ca.url("/2"), ca.url("/3"), "http://elsewhere.test/"});
  REQUIRE(chains.size() == 4);
  REQUIRE(taken(chains[0]).pem == "one");
  REQUIRE(chains[1].error().code == ErrorCode::Refused);
  REQUIRE(says(chains[2].error(), "\"text/html\", not"));
  REQUIRE(says(chains[3].error(), "not https"));
  REQUIRE(fetch_certificates(session, {}).empty());
}

TEST_CASE("the members of dns-persist-01 are read in both spellings", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/authz",
           MockCa::json(200, R"({"status":"pending","expires":"2026-12-01T00:00:00Z","identifier":{"value":"a.test"},)"
                             R"("challenges":[{"type":"dns-persist-01","url":"https://a/","status":"pending",)"
                             R"("issuer-domain-names":["old.test"],"accounturi":"https://ca.test/acct/1"},)"
                             R"({"type":"dns-persist-01","issuerDomainNames":["new.test","two.test"]}]})"));
  Authorization authorization = taken(fetch_authorizations(session, {ca.url("/authz")})).front();
  REQUIRE(authorization.expires == "2026-12-01T00:00:00Z");
  REQUIRE(authorization.challenges[0].issuer_domain_names == std::vector<std::string>{"old.test"});
  REQUIRE(authorization.challenges[0].account_uri == "https://ca.test/acct/1");
  REQUIRE(authorization.challenges[0].token.empty());
  REQUIRE(authorization.challenges[1].issuer_domain_names == std::vector<std::string>{"new.test", "two.test"});
}

TEST_CASE("a challenge that is broken, unknown or without a token leaves the others usable", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/authz",
           MockCa::json(200, R"({"status":"pending","expires":7,"identifier":{"value":"a.test"},"challenges":[{},)"
                             R"({"type":7,"url":[],"token":{},"issuerDomainNames":"x","accounturi":1,"error":"no"},)"
                             R"({"type":"x-future-01","url":"https://f/"},{"type":"dns-01","url":"https://no-token/"},)"
                             R"({"type":"http-01","url":"https://h/","token":"def","status":"pending"}]})"));
  Authorization authorization = taken(fetch_authorizations(session, {ca.url("/authz")})).front();
  REQUIRE(authorization.challenges.size() == 5);
  REQUIRE(authorization.expires.empty());
  REQUIRE(authorization.find("http-01")->token == "def");
  // The one without its token is found, and cannot be used.
  REQUIRE(key_authorization(authorization.find("dns-01")->token, "t").error().code == ErrorCode::Protocol);
}

TEST_CASE("authorizations are given up at once, and a CA that minds is not heard", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/a1", MockCa::json(200, R"({"status":"deactivated"})"));
  ca.reply("/a2", MockCa::problem(403, "unauthorized", "no"));
  ca.reply("/a3", MockReply{404, {}, "<html>"});
  deactivate_authorizations(session, {ca.url("/a1"), ca.url("/a2"), ca.url("/a3")});
  for (const char* path : {"/a1", "/a2", "/a3"})
    REQUIRE(jws_part(last_jws(ca, path), "payload") == R"({"status":"deactivated"})");
  deactivate_authorizations(session, {});
}

TEST_CASE("renewal information is asked for without a signature, slash or none", "[acme]") {
  for (const char* slash : {"", "/"}) {
    MockCa ca;
    Session session = renewing(ca, slash);
    MockReply reply =
        MockCa::json(200, R"({"suggestedWindow":{"start":"2026-01-02T04:00:00Z",)"
                          R"("end":"2026-01-03T05:00:00+01:00"},"explanationURL":"https://ca.test/why"})");
    reply.headers.emplace_back("Retry-After", "21600");
    ca.reply("/ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", reply);
    RenewalInfo info = taken(fetch_renewal_info(session, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
    REQUIRE(base::format_rfc3339(info.start) == "2026-01-02T04:00:00Z");
    REQUIRE(base::format_rfc3339(info.end) == "2026-01-03T04:00:00Z");
    REQUIRE(info.explanation_url == "https://ca.test/why");
    REQUIRE(info.ask_again == 6h);
    REQUIRE(ca.server().requests().back().method == "GET");
    REQUIRE(ca.server().requests().back().body.empty());
    REQUIRE(ca.server().count("/nonce") == 0);
  }
}

TEST_CASE("the time of the next question is kept between a minute and a day, and six hours when nothing good is said",
          "[acme]") {
  auto asked_again = [](std::vector<std::pair<std::string, std::string>> headers) {
    MockCa ca;
    return taken(window(ca, "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", std::move(headers))).ask_again;
  };
  REQUIRE(asked_again({}) == 6h);
  REQUIRE(asked_again({{"Retry-After", "soon"}}) == 6h);
  REQUIRE(asked_again({{"Retry-After", "1"}}) == 1min);
  REQUIRE(asked_again({{"Retry-After", "7200"}}) == 2h);
  REQUIRE(asked_again({{"Retry-After", "99999999"}}) == 24h);
  REQUIRE(asked_again({{"Date", "Thu, 01 Jan 2026 00:00:00 GMT"}, {"Retry-After", "Thu, 01 Jan 2026 03:00:00 GMT"}}) ==
          3h);
}

TEST_CASE("a window that is none counts as no answer", "[acme]") {
  MockCa ca;
  REQUIRE(says(window(ca, "2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z").error(), "is not after"));
  REQUIRE(window(ca, "2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z").error().code == ErrorCode::Protocol);
  REQUIRE(says(window(ca, "2026-01-03T00:00:00Z", "9999-12-31T23:59:59Z").error(), "more than ten years away"));
  REQUIRE(window(ca, "0000-01-01T00:00:00+01:00", "2026-01-03T00:00:00Z").error().code == ErrorCode::Protocol);
  REQUIRE(base::format_rfc3339(taken(window(ca, "0000-01-01T00:00:00Z", "0000-01-02T00:00:00Z")).start) ==
          "0000-01-01T00:00:00Z");
  REQUIRE(says(window(ca, "yesterday", "2026-01-03T00:00:00Z").error(), "\"suggestedWindow.start\" is no date-time"));
  Session session = renewing(ca);
  for (const char* body :
       {"", "{}", "[]", "<html>", R"({"suggestedWindow":[]})", R"({"suggestedWindow":{"start":1}})"}) {
    ca.reply("/ari/id.1", MockCa::json(200, body));
    REQUIRE(fetch_renewal_info(session, "id.1").error().code == ErrorCode::Protocol);
  }
  // What explains it is for a person only.
  ca.reply("/ari/id.1",
           MockCa::json(200, R"({"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z"},)"
                             R"("explanationURL":"javascript:alert"})"));
  REQUIRE(taken(fetch_renewal_info(session, "id.1")).explanation_url.empty());
}

TEST_CASE("renewal information that cannot be had says whether it may pass", "[acme]") {
  MockCa ca;
  Session none = session_of(ca);
  REQUIRE(fetch_renewal_info(none, "id.1").error().code == ErrorCode::NotFound);
  Session session = renewing(ca);
  REQUIRE(fetch_renewal_info(session, "").error().code == ErrorCode::NotFound);
  REQUIRE(fetch_renewal_info(session, "unknown").error().code == ErrorCode::Refused);
  auto answered = [&](MockReply reply) {
    ca.reply("/ari/id.1", std::move(reply));
    return fetch_renewal_info(session, "id.1").error();
  };
  REQUIRE(answered({503, {{"Content-Type", "text/html"}, {"Retry-After", "0"}}, "<h1>busy</h1>"}).code ==
          ErrorCode::Unavailable);
  REQUIRE(ca.server().count("/ari/id.1") == 1);
  REQUIRE(answered({429, {{"Retry-After", "60"}}, ""}).code == ErrorCode::Unavailable);
  REQUIRE(says(answered({302, {{"Location", "https://elsewhere.test/"}}, ""}), "https://elsewhere.test/"));
  REQUIRE(answered({204, {}, ""}).code == ErrorCode::Refused);
  REQUIRE(answered({200, {}, std::string(100'000, ' ')}).code == ErrorCode::Protocol);
  REQUIRE(answered({200, {}, "", MockReply::Fault::NeverAnswer}).code == ErrorCode::Timeout);
  REQUIRE(answered({200, {}, "", MockReply::Fault::CloseWithoutAnswer}).code == ErrorCode::Unavailable);
  ca.directory_extras = R"(,"renewalInfo":"http://elsewhere.test/ari")";
  Session odd = session_of(ca);
  REQUIRE(says(fetch_renewal_info(odd, "id.1").error(), "not https"));
}

TEST_CASE("a revocation carries the certificate and the reason, by account or by the certificate's key", "[acme]") {
  MockCa ca;
  ca.directory_extras = R"(,"revokeCert":")" + ca.url("/revoke") + "\"";
  Session session = session_of(ca);
  CertificateChain chain = some_chain();
  ca.reply("/revoke", MockReply{200, {}, ""});
  REQUIRE(taken(revoke_certificate(session, chain, std::nullopt, Post::Signer::Account)) == Revoked::Now);
  auto jws = last_jws(ca, "/revoke");
  REQUIRE(jws_payload(jws).as_object().size() == 1);
  auto der = taken(base::base64url_decode(std::string(jws_payload(jws).at("certificate").as_string())));
  REQUIRE(base::as_text(der) == chain.leaf_der());
  REQUIRE(jws_header(jws).at("kid").as_string() == session.account_url());
  for (auto [reason, number] : {std::pair(RevocationReason::Unspecified, 0),
                                {RevocationReason::KeyCompromise, 1},
                                {RevocationReason::Superseded, 4},
                                {RevocationReason::CessationOfOperation, 5}}) {
    taken(revoke_certificate(session, chain, reason, Post::Signer::BareKey));
    REQUIRE(jws_payload(last_jws(ca, "/revoke")).at("reason").as_int64() == number);
    REQUIRE(jws_header(last_jws(ca, "/revoke")).as_object().contains("jwk"));
  }
}

TEST_CASE("a certificate that is revoked already is, what the CA refuses is not", "[acme]") {
  MockCa ca;
  Session unable = session_of(ca);
  CertificateChain chain = some_chain();
  REQUIRE(revoke_certificate(unable, chain, {}, Post::Signer::Account).error().code == ErrorCode::NotFound);
  ca.directory_extras = R"(,"revokeCert":")" + ca.url("/revoke") + "\"";
  Session session = session_of(ca);
  auto revoked = [&](MockReply reply) {
    ca.reply("/revoke", std::move(reply));
    return revoke_certificate(session, chain, RevocationReason::Superseded, Post::Signer::Account);
  };
  REQUIRE(taken(revoked(MockCa::problem(400, "alreadyRevoked", "done"))) == Revoked::Already);
  REQUIRE(revoked(MockCa::problem(403, "unauthorized", "not yours")).error().code == ErrorCode::Refused);
  REQUIRE(says(revoked(MockCa::problem(400, "badRevocationReason", "7")).error(), "--reason"));
  REQUIRE(revoked({500, {{"Content-Type", "text/html"}}, "alreadyRevoked"}).error().code == ErrorCode::Unavailable);
}
