// The verbs of RFC 8555 against a real CA.
#include "tests/unit/acme/protocol_pebble.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace std::chrono_literals;
using namespace countersign::tests;

TEST_CASE("a certificate is obtained with accounts and keys of every kind", "[acme]") {
  Pebble pebble;
  for (auto type : {conf::KeyType::P256, conf::KeyType::P384, conf::KeyType::Rsa2048}) {
    Session session = open_session(pebble);
    use_new_account(session, type);
    auto key = taken(PrivateKey::generate(type));
    std::vector<std::string> names = {"example.test", "*.example.test"};
    CertificateChain chain = obtain(session, {.names = names}, key);
    auto now = base::SystemClock().wall();
    REQUIRE(chain.check(key.public_key(), names, now));
    REQUIRE(chain.names() == std::vector<std::string>{"*.example.test", "example.test"});
    REQUIRE_FALSE(chain.issuer().empty());
    REQUIRE_FALSE(chain.chain_pem().empty());
    REQUIRE(chain.full_pem() == chain.leaf_pem() + chain.chain_pem());

    auto other = taken(PrivateKey::generate(conf::KeyType::P256));
    REQUIRE(chain.check(other.public_key(), names, now).error().message.find("another key") != std::string::npos);
    REQUIRE(chain.check(key.public_key(), {"example.test"}, now).error().message.find("names") != std::string::npos);
    REQUIRE(chain.check(key.public_key(), names, chain.not_after() + 1s).error().message.find("clock") !=
            std::string::npos);
    // The leaf twice: the first is not signed by the second.
    auto broken = taken(CertificateChain::parse(chain.leaf_pem() + "\n\n" + chain.leaf_pem(), "x"));
    REQUIRE(broken.check(key.public_key(), names, now).error().message.find("not signed by the next") !=
            std::string::npos);
  }
}

TEST_CASE("half of all nonces refused does not stop a batch of many names", "[acme]") {
  Pebble pebble(tests::Environment{{"PEBBLE_WFE_NONCEREJECT", "50"}});
  Session session = open_session(pebble);
  use_new_account(session);
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) names.push_back("n" + std::to_string(i) + ".example.test");
  auto key = taken(PrivateKey::generate(conf::KeyType::P256));
  REQUIRE(obtain(session, {.names = names}, key).check(key.public_key(), names, base::SystemClock().wall()));
}

TEST_CASE("a CA that refuses every nonce is given up with its own words", "[acme]") {
  Pebble pebble(tests::Environment{{"PEBBLE_WFE_NONCEREJECT", "100"}});
  Session session = open_session(pebble);
  session.set_key(taken(PrivateKey::generate(conf::KeyType::P256)));
  auto account = new_account(session, {.terms = Terms::Agreed});
  REQUIRE(account.error().code == base::ErrorCode::Refused);
  REQUIRE(account.error().message.find("badNonce") != std::string::npos);
}

TEST_CASE("an account is found again by its key, and not made without consent", "[acme]") {
  Pebble pebble;
  Session session = open_session(pebble);
  session.set_key(taken(PrivateKey::generate(conf::KeyType::P256)));
  auto refused = new_account(session, {});
  REQUIRE(refused.error().code == base::ErrorCode::Refused);
  REQUIRE(refused.error().message.find(session.directory().terms_of_service) != std::string::npos);
  REQUIRE(refused.error().message.find("--agree-tos") != std::string::npos);
  REQUIRE(find_account(session).error().code == base::ErrorCode::NotFound);
  Account made = taken(new_account(session, {.terms = Terms::Agreed}));
  REQUIRE(taken(find_account(session)).url == made.url);
  REQUIRE(session.account_url() == made.url);
}

TEST_CASE("an account that the CA does not know is NotFound", "[acme]") {
  Pebble pebble;
  Session session = open_session(pebble);
  use_new_account(session);
  session.set_account(session.account_url() + "0");
  REQUIRE(new_order(session, {.names = {"example.test"}}).error().code == base::ErrorCode::NotFound);
}

TEST_CASE("what the CA refuses is told with its reason", "[acme]") {
  Pebble pebble({}, R"("domainBlocklist":["blocked.test"])");
  Session session = open_session(pebble);
  use_new_account(session);
  auto blocked = new_order(session, {.names = {"fine.test", "blocked.test"}});
  REQUIRE(blocked.error().code == base::ErrorCode::Refused);
  REQUIRE(blocked.error().message.find("rejectedIdentifier") != std::string::npos);

  auto key = taken(PrivateKey::generate(conf::KeyType::P256));
  Order order = taken(new_order(session, {.names = {"fine.test"}}));
  auto early = finalize_order(session, order, taken(make_csr(key, {"fine.test"})));
  REQUIRE(early.error().message.find("orderNotReady") != std::string::npos);
  for (auto& triggered : trigger_challenges(session, dns_challenges(session, order))) REQUIRE(triggered);
  order = poll(session, order, OrderStatus::Ready);
  auto other_names = finalize_order(session, order, taken(make_csr(key, {"other.test"})));
  REQUIRE(other_names.error().code == base::ErrorCode::Refused);
  auto account_key = finalize_order(session, order, taken(make_csr(session.key(), {"fine.test"})));
  REQUIRE(account_key.error().message.find("badCSR") != std::string::npos);
}

TEST_CASE("a CA that wants an external account is refused before a request", "[acme]") {
  Pebble pebble({}, R"("externalAccountBindingRequired":true)");
  Session session = open_session(pebble);
  session.set_key(taken(PrivateKey::generate(conf::KeyType::P256)));
  auto account = new_account(session, {.terms = Terms::Agreed});
  REQUIRE(account.error().message.find("external account") != std::string::npos);
}
