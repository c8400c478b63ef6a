// The verbs of an account, against a CA that does and does not keep to RFC 8555 §7.3.
#include "acme/protocol/account.hpp"

#include "acme/protocol/order.hpp"
#include "tests/unit/acme/protocol_support.hpp"

using namespace countersign;
using namespace countersign::acme;
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

MockReply located(MockReply reply, const std::string& url) {
  reply.headers.emplace_back("Location", url);
  return reply;
}

MockReply linked(MockReply reply, const std::string& links) {
  reply.headers.emplace_back("Link", links);
  return reply;
}

Account listing(const MockCa& ca, const std::string& path = "/orders") {
  Account account;
  account.url = ca.url("/account/1");
  account.orders = ca.url(path);
  return account;
}

std::vector<MockReply> unusable_answers() {
  return {MockReply{200, {{"Content-Type", "text/html"}}, "<html>"}, MockCa::json(200, "[]"), MockCa::json(200, "{}"),
          MockCa::json(200, R"({"status":7})"), MockCa::json(200, "")};
}

}  // namespace

TEST_CASE("an account is asked for with its terms, contacts and binding, and nothing that was not said", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/account", located(MockCa::json(201, R"({"status":"valid","contact":["mailto:a@b.test"],"orders":")" +
                                                     ca.url("/orders") + R"("})"),
                               ca.url("/account/5")));
  Account made = taken(new_account(session, {}));
  REQUIRE(jws_payload(last_jws(ca, "/account")) == boost::json::object());
  REQUIRE(made.url == ca.url("/account/5"));
  REQUIRE(made.contact == std::vector<std::string>{"mailto:a@b.test"});
  REQUIRE(made.orders == ca.url("/orders"));
  REQUIRE(session.account_url() == made.url);

  ExternalAccountBinding binding{"kid-1", "0123456789abcdef0123456789abcdef", ExternalAccountBinding::Mac::Hs256};
  taken(new_account(session, {{"mailto:a@b.test", "mailto:c@d.test"}, Terms::Agreed, binding}));
  auto payload = jws_payload(last_jws(ca, "/account"));
  REQUIRE(payload.at("termsOfServiceAgreed").as_bool());
  REQUIRE(payload.at("contact") == boost::json::array{"mailto:a@b.test", "mailto:c@d.test"});
  const auto& inner = payload.at("externalAccountBinding");
  REQUIRE(jws_header(inner).at("url").as_string() == ca.url("/account"));
  REQUIRE(jws_header(inner).at("kid").as_string() == "kid-1");
  REQUIRE(jws_part(inner, "payload") == *session.key().jwk());
}

TEST_CASE("a CA that wants a binding is told apart from one that refuses it", "[acme]") {
  MockCa ca;
  ca.directory_extras = R"(,"meta":{"externalAccountRequired":true})";
  Session session = session_of(ca);
  auto missing = new_account(session, {});
  REQUIRE(missing.error().code == ErrorCode::Refused);
  REQUIRE(says(missing.error(), "--eab-kid"));
  REQUIRE(ca.server().count("/account") == 0);
  ca.reply("/account", MockCa::problem(403, "unauthorized", "unknown external account"));
  ExternalAccountBinding binding{"kid-1", "0123456789abcdef0123456789abcdef", ExternalAccountBinding::Mac::Hs256};
  auto refused = new_account(session, {{}, Terms::NotAgreed, binding});
  REQUIRE(refused.error().code == ErrorCode::Refused);
  REQUIRE(says(refused.error(), "unknown external account"));
}

TEST_CASE("an account is read, with any status, and its broken trimmings are left out", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/account/1", MockCa::json(200, R"({"status":"revoked","contact":"none","orders":[],"x":{}})"));
  Account account = taken(fetch_account(session));
  REQUIRE(account.url == ca.url("/account/1"));
  REQUIRE(account.status == "revoked");
  REQUIRE(account.contact.empty());
  REQUIRE(account.orders.empty());
  REQUIRE(last_jws(ca, "/account/1").at("payload").as_string().empty());
  REQUIRE(jws_header(last_jws(ca, "/account/1")).at("kid").as_string() == ca.url("/account/1"));
}

TEST_CASE("an account answer that is none is refused by every verb", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  for (const MockReply& reply : unusable_answers()) {
    ca.reply("/account/1", reply);
    REQUIRE(fetch_account(session).error().code == ErrorCode::Protocol);
    REQUIRE(update_contact(session, {}).error().code == ErrorCode::Protocol);
    REQUIRE(deactivate_account(session).error().code == ErrorCode::Protocol);
    REQUIRE(says(fetch_account(session).error(), "/account/1"));
  }
  ca.reply("/account/1", MockReply{302, {{"Location", "https://elsewhere.test/"}}, ""});
  REQUIRE(says(fetch_account(session).error(), "redirects to https://elsewhere.test/"));
  ca.reply("/account/1", MockCa::json(200, R"({"status":"valid","x":")" + std::string(kMaxJson, 'x') + "\"}"));
  REQUIRE(fetch_account(session).error().code == ErrorCode::Protocol);
  ca.reply("/account/1", MockCa::problem(400, "accountDoesNotExist", "gone"));
  REQUIRE(fetch_account(session).error().code == ErrorCode::NotFound);
  ca.reply("/account/1", MockReply{500, {{"Content-Type", "text/html"}}, "<h1>oops</h1>"});
  REQUIRE(fetch_account(session).error().code == ErrorCode::Unavailable);
}

TEST_CASE("contacts are replaced, and all removed by an empty list", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/account/1", MockCa::json(200, R"({"status":"valid","contact":["mailto:new@b.test"]})"));
  REQUIRE(taken(update_contact(session, {"mailto:new@b.test"})).contact.size() == 1);
  REQUIRE(jws_part(last_jws(ca, "/account/1"), "payload") == R"({"contact":["mailto:new@b.test"]})");
  taken(update_contact(session, {}));
  REQUIRE(jws_part(last_jws(ca, "/account/1"), "payload") == R"({"contact":[]})");
  ca.reply("/account/1", MockCa::problem(400, "invalidContact", "not an address"));
  auto refused = update_contact(session, {"mailto:x"});
  REQUIRE(refused.error().code == ErrorCode::Refused);
  REQUIRE(says(refused.error(), "mailto:NAME@DOMAIN"));
}

TEST_CASE("an account that stays valid after its deactivation is told", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/account/1", MockCa::json(200, R"({"status":"deactivated"})"));
  REQUIRE(taken(deactivate_account(session)).status == "deactivated");
  REQUIRE(jws_part(last_jws(ca, "/account/1"), "payload") == R"({"status":"deactivated"})");
  ca.reply("/account/1", MockCa::json(200, R"({"status":"valid"})"));
  auto odd = deactivate_account(session);
  REQUIRE(odd.error().code == ErrorCode::Protocol);
  REQUIRE(says(odd.error(), "still \"valid\""));
}

TEST_CASE("all pages of an account's orders are read", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  ca.reply("/orders",
           linked(MockCa::json(200, R"({"orders":["https://ca/1","https://ca/2"]})"),
                  fmt::format(R"(<{}>;rel="index", <{}>;rel="next")", ca.url("/dir"), ca.url("/orders?c=2"))));
  ca.reply("/orders?c=2", linked(MockCa::json(200, R"({"orders":[]})"), "<" + ca.url("/orders?c=3") + ">;rel=next"));
  ca.reply("/orders?c=3", MockCa::json(200, R"({"orders":["https://ca/3"]})"));
  REQUIRE(taken(list_orders(session, listing(ca))) ==
          std::vector<std::string>{"https://ca/1", "https://ca/2", "https://ca/3"});
  REQUIRE(last_jws(ca, "/orders").at("payload").as_string().empty());
}

TEST_CASE("a CA without a list of orders says so by leaving it out", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  Account account;
  account.url = ca.url("/account/1");
  auto none = list_orders(session, account);
  REQUIRE(none.error().code == ErrorCode::NotFound);
  REQUIRE(says(none.error(), "keeps no list"));
}

TEST_CASE("pages that lead in a circle, on for ever or elsewhere end the list", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  auto to = [&](const std::string& url) {
    return linked(MockCa::json(200, R"({"orders":["https://ca/1"]})"), "<" + url + ">;rel=\"next\"");
  };
  ca.reply("/orders", to(ca.url("/two")));
  ca.reply("/two", to(ca.url("/orders")));
  REQUIRE(says(list_orders(session, listing(ca)).error(), "circle"));
  for (int i = 0; i < 200; ++i) ca.reply("/p" + std::to_string(i), to(ca.url("/p" + std::to_string(i + 1))));
  REQUIRE(says(list_orders(session, listing(ca, "/p0")).error(), "more than 100 pages"));
  REQUIRE(ca.server().count("/p99") == 1);
  REQUIRE(ca.server().count("/p100") == 0);
  ca.reply("/orders", to("http://elsewhere.test/orders"));
  REQUIRE(says(list_orders(session, listing(ca)).error(), "not https"));
  ca.reply("/orders", to("/orders/relative"));
  REQUIRE(list_orders(session, listing(ca)).error().code == ErrorCode::Protocol);
  for (const char* body : {R"({"orders":[1]})", R"({"orders":{}})", "{}", "<html>", R"({"orders":["ftp://x/"]})"}) {
    ca.reply("/orders", MockCa::json(200, body));
    REQUIRE(list_orders(session, listing(ca)).error().code == ErrorCode::Protocol);
  }
  Account odd = listing(ca);
  odd.orders = "http://elsewhere.test/";
  REQUIRE(list_orders(session, odd).error().code == ErrorCode::Protocol);
}

TEST_CASE("a key change is signed inside by the new key and outside by the account's", "[acme]") {
  MockCa ca;
  ca.directory_extras = R"(,"keyChange":")" + ca.url("/rollover") + "\"";
  Session session = session_of(ca);
  auto next = taken(PrivateKey::generate(conf::KeyType::P384));
  ca.reply("/rollover", MockReply{200, {}, ""});
  taken(change_key(session, next));
  auto outer = last_jws(ca, "/rollover");
  REQUIRE(jws_header(outer).at("kid").as_string() == session.account_url());
  REQUIRE(jws_header(outer).at("alg").as_string() == "ES256");
  auto inner = jws_payload(outer);
  auto header = jws_header(inner);
  // RFC 8555 §7.3.5: alg, jwk and url, and no nonce.
  REQUIRE(header ==
          boost::json::value{{"alg", "ES384"}, {"jwk", boost::json::parse(*next.jwk())}, {"url", ca.url("/rollover")}});
  REQUIRE(jws_payload(inner) ==
          boost::json::value{{"account", session.account_url()}, {"oldKey", boost::json::parse(*session.key().jwk())}});
  // The caller decides when the old key goes.
  REQUIRE(session.key().type() == conf::KeyType::P256);
}

TEST_CASE("a refused nonce makes a new outer signature around the same inner one", "[acme]") {
  MockCa ca;
  ca.directory_extras = R"(,"keyChange":")" + ca.url("/rollover") + "\"";
  Session session = session_of(ca);
  int asked = 0;
  ca.replies["/rollover"] = [&](const MockRequest&) {
    return ++asked == 1 ? MockCa::problem(400, "badNonce", "again") : MockReply{200, {}, ""};
  };
  taken(change_key(session, taken(PrivateKey::generate(conf::KeyType::P256))));
  std::vector<boost::json::value> sent;
  for (const MockRequest& request : ca.server().requests())
    if (request.path == "/rollover") sent.push_back(boost::json::parse(request.body));
  REQUIRE(sent.size() == 2);
  REQUIRE(sent[0].at("payload") == sent[1].at("payload"));
  REQUIRE(jws_header(sent[0]).at("nonce") != jws_header(sent[1]).at("nonce"));
}

TEST_CASE("a key that another account has is named with that account", "[acme]") {
  MockCa ca;
  ca.directory_extras = R"(,"keyChange":")" + ca.url("/rollover") + "\"";
  Session session = session_of(ca);
  auto next = taken(PrivateKey::generate(conf::KeyType::P256));
  ca.reply("/rollover", located(MockCa::json(409, R"({"detail":"in use"})"), "https://ca.test/acct/9"));
  auto taken_key = change_key(session, next);
  REQUIRE(taken_key.error().code == ErrorCode::Exists);
  REQUIRE(says(taken_key.error(), "https://ca.test/acct/9"));
  ca.reply("/rollover", MockReply{409, {}, ""});
  REQUIRE(change_key(session, next).error().code == ErrorCode::Exists);
  ca.reply("/rollover", MockCa::problem(400, "badPublicKey", "weak"));
  REQUIRE(change_key(session, next).error().code == ErrorCode::Refused);
  ca.reply("/rollover", MockReply{500, {{"Content-Type", "text/html"}}, "<h1>oops</h1>"});
  REQUIRE(change_key(session, next).error().code == ErrorCode::Unavailable);
}

TEST_CASE("a key change to the same key, or at a CA without one, is not sent", "[acme]") {
  MockCa ca;
  Session session = session_of(ca);
  auto same = taken(PrivateKey::from_pem(taken(session.key().to_pem())));
  auto next = taken(PrivateKey::generate(conf::KeyType::P256));
  REQUIRE(change_key(session, next).error().code == ErrorCode::NotFound);
  ca.directory_extras = R"(,"keyChange":"http://elsewhere.test/")";
  Session odd = session_of(ca);
  REQUIRE(says(change_key(odd, next).error(), "not https"));
  ca.directory_extras = R"(,"keyChange":")" + ca.url("/rollover") + "\"";
  Session able = session_of(ca);
  able.set_key(taken(PrivateKey::from_pem(taken(same.to_pem()))));
  REQUIRE(change_key(able, same).error().code == ErrorCode::Invalid);
  REQUIRE(ca.server().count("/rollover") == 0);
}
