// The verbs that not every CA has, against every release of Pebble that is found.
#include "acme/protocol/experimental_challenges.hpp"
#include "acme/protocol/renewal_info.hpp"
#include "acme/protocol/revocation.hpp"
#include "tests/unit/acme/protocol_pebble.hpp"

using namespace countersign;
using namespace countersign::acme;
using namespace countersign::tests;
using namespace std::chrono_literals;
using base::ErrorCode;

namespace {

// Ignored by the releases that have none. With one alone, an order without a profile cannot get another.
constexpr const char* kProfiles = R"("profiles":{"default":{"description":"as ever","validityPeriod":7776000}})";

PrivateKey new_key(conf::KeyType type = conf::KeyType::P256) {
  return taken(PrivateKey::generate(type));
}

PrivateKey copy_of(const PrivateKey& key) {
  return taken(PrivateKey::from_pem(taken(key.to_pem())));
}

// Another conversation of the same account.
Session session_with(const Pebble& pebble, const PrivateKey& key, const std::string& account) {
  Session session = open_session(pebble);
  session.set_key(copy_of(key));
  session.set_account(account);
  return session;
}

// Pebble loses sight of serial numbers whose first octet is 0, one in 256 (it drops the sign octet that RFC 9773 §4.1
// wants); its answers about them are not what is tested here.
CertificateChain obtain_with_plain_serial(Session& session, const NewOrder& wanted) {
  for (;;) {
    CertificateChain chain = obtain(session, wanted, new_key());
    std::string id = chain.ari_id();
    std::size_t serial = id.find('.') + 1;
    if (id[serial] != 'A' || id[serial + 1] > 'P') return chain;
  }
}

template <class Test>
void with_every_release(Test test, const std::string& configuration = kProfiles, Environment environment = {}) {
  for (const PebbleRelease& release : pebble_releases()) {
    INFO("Pebble " << (release.version.empty() ? "as installed" : release.version));
    Pebble pebble(environment, configuration, "", release.program);
    test(pebble);
  }
}

}  // namespace

TEST_CASE("an account is read, gets another contact and is deactivated", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    Account account = taken(fetch_account(session));
    REQUIRE(account.status == "valid");
    REQUIRE(account.url == session.account_url());
    REQUIRE(account.contact == std::vector<std::string>{"mailto:admin@example.test"});
    REQUIRE(taken(update_contact(session, {"mailto:other@example.test"})).contact ==
            std::vector<std::string>{"mailto:other@example.test"});
    REQUIRE(taken(fetch_account(session)).contact == std::vector<std::string>{"mailto:other@example.test"});
    auto refused = update_contact(session, {"gopher:nobody"});
    REQUIRE(refused.error().code == ErrorCode::Refused);
    REQUIRE(taken(deactivate_account(session)).status == "deactivated");
    REQUIRE(new_order(session, {.names = {"a.test"}}).error().code == ErrorCode::Refused);
    REQUIRE(find_account(session).error().code == ErrorCode::Refused);
  });
}

TEST_CASE("after a key change the new key signs, and the old one no more", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    for (auto type : {conf::KeyType::P384, conf::KeyType::Rsa2048, conf::KeyType::P256}) {
      PrivateKey next = new_key(type);
      taken(change_key(session, next));
      Session confirming = session_with(pebble, next, session.account_url());
      REQUIRE(taken(fetch_account(confirming)).status == "valid");
      REQUIRE_FALSE(fetch_account(session));
      session.set_key(std::move(next));
    }
    taken(new_order(session, {.names = {"a.test"}}));
  });
}

// Some releases answer 200 and change nothing: only a request with the new key tells.
TEST_CASE("a key change to another account's key is refused, or found out by the confirmation", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session other = open_session(pebble);
    use_new_account(other);
    Session session = open_session(pebble);
    use_new_account(session);
    auto changed = change_key(session, other.key());
    Session confirming = session_with(pebble, other.key(), session.account_url());
    REQUIRE_FALSE(fetch_account(confirming));
    REQUIRE(taken(fetch_account(session)).status == "valid");
    if (!changed) REQUIRE(changed.error().code != ErrorCode::Protocol);
  });
}

TEST_CASE("the list of orders has all of them, over several pages", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    Account account = taken(fetch_account(session));
    REQUIRE(taken(list_orders(session, account)).empty());
    std::vector<std::string> made;
    for (int i = 0; i < 7; ++i)  // three a page
      made.push_back(taken(new_order(session, {.names = {"n" + std::to_string(i) + ".test"}})).url);
    auto listed = taken(list_orders(session, account));
    std::sort(made.begin(), made.end());
    std::sort(listed.begin(), listed.end());
    REQUIRE(listed == made);
  });
}

TEST_CASE("an account is bound to an external one with each MAC, and not with a wrong key", "[acme]") {
  constexpr const char* kKey = "0NHS09TV1tfY2drb3N3e3-Dh4uPk5ebn6Onq6-zt7u_w8fLz9PX29_j5-vv8_f7_AAECAwQFBgcICQoLDA0ODw";
  std::string configuration = std::string(kProfiles) +
                              R"(,"externalAccountBindingRequired":true,"externalAccountMACKeys":{"kid-1":")" + kKey +
                              "\"}";
  with_every_release(
      [&](const Pebble& pebble) {
        using Mac = ExternalAccountBinding::Mac;
        std::string key = taken(parse_mac_key(kKey, "x"));
        for (Mac mac : {Mac::Hs256, Mac::Hs384, Mac::Hs512}) {
          Session session = open_session(pebble);
          REQUIRE(session.directory().external_account_required);
          session.set_key(new_key());
          NewAccount wanted{{}, Terms::Agreed, ExternalAccountBinding{"kid-1", key, mac}};
          taken(new_account(session, wanted));
          taken(new_order(session, {.names = {"a.test"}}));
        }
        Session session = open_session(pebble);
        session.set_key(new_key());
        for (const ExternalAccountBinding& wrong : {ExternalAccountBinding{"kid-1", std::string(64, 'x'), Mac::Hs256},
                                                    ExternalAccountBinding{"kid-2", key, Mac::Hs256}})
          REQUIRE(new_account(session, {{}, Terms::Agreed, wrong}).error().code == ErrorCode::Refused);
      },
      configuration);
}

TEST_CASE("a certificate is revoked by the account or by its own key, once", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    CertificateChain first = obtain(session, {.names = {"a.test"}}, new_key());
    REQUIRE(taken(revoke_certificate(session, first, RevocationReason::Superseded, Post::Signer::Account)) ==
            Revoked::Now);
    REQUIRE(taken(revoke_certificate(session, first, {}, Post::Signer::Account)) == Revoked::Already);

    PrivateKey own = new_key();
    CertificateChain second = obtain(session, {.names = {"b.test"}}, own);
    Session bare = open_session(pebble);
    bare.set_key(copy_of(own));
    REQUIRE(taken(revoke_certificate(bare, second, RevocationReason::KeyCompromise, Post::Signer::BareKey)) ==
            Revoked::Now);

    CertificateChain third = obtain(session, {.names = {"c.test"}}, new_key());
    Session stranger = open_session(pebble);
    use_new_account(stranger);
    REQUIRE(revoke_certificate(stranger, third, {}, Post::Signer::Account).error().code == ErrorCode::Refused);
    stranger.set_key(new_key());
    REQUIRE(revoke_certificate(stranger, third, {}, Post::Signer::BareKey).error().code == ErrorCode::Refused);
  });
}

TEST_CASE("where the CA has renewal information, its window lies in the lifetime, and is past after a revocation",
          "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    CertificateChain chain = obtain_with_plain_serial(session, {.names = {"a.test"}});
    auto info = fetch_renewal_info(session, chain.ari_id());
    if (session.directory().renewal_info.empty()) {
      REQUIRE(info.error().code == ErrorCode::NotFound);
      return;
    }
    REQUIRE(taken(info).start < taken(info).end);
    REQUIRE(taken(info).start > chain.not_before());
    REQUIRE(taken(info).end < chain.not_after());
    REQUIRE(taken(info).ask_again == 6h);
    REQUIRE(fetch_renewal_info(session, "AAAA.AAAA").error().code == ErrorCode::Refused);
    taken(revoke_certificate(session, chain, {}, Post::Signer::Account));
    REQUIRE(taken(fetch_renewal_info(session, chain.ari_id())).end < base::SystemClock().wall());
  });
}

TEST_CASE("an order that replaces a certificate is taken once", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    NewOrder wanted{.names = {"a.test"}};
    CertificateChain chain = obtain_with_plain_serial(session, wanted);
    if (session.directory().renewal_info.empty()) return;
    wanted.replaces = chain.ari_id();
    Order order = taken(new_order(session, wanted));
    REQUIRE((order.replaces.empty() || order.replaces == wanted.replaces));
    // Only what was issued has replaced it.
    obtain(session, wanted, new_key());
    Problem problem;
    auto again = new_order(session, wanted, &problem);
    REQUIRE_FALSE(again);
    INFO(problem.summary());
    // 2.6 is older than RFC 9773 and calls it "malformed"; the status is the same.
    REQUIRE(problem.status == 409);
    REQUIRE((problem.is("alreadyReplaced") || problem.is("malformed")));
    wanted.replaces.clear();
    taken(new_order(session, wanted));
  });
}

TEST_CASE("where the CA has profiles, they are announced, taken and told, and an unknown one is refused", "[acme]") {
  constexpr const char* kTwo = R"("profiles":{"long":{"description":"90 days","validityPeriod":7776000},)"
                               R"("short":{"description":"6 days","validityPeriod":518400}})";
  with_every_release(
      [](const Pebble& pebble) {
        Session session = open_session(pebble);
        use_new_account(session);
        if (session.directory().profiles.empty()) {
          taken(new_order(session, {.names = {"a.test"}, .profile = "short"}));
          return;
        }
        REQUIRE(session.directory().profiles ==
                std::map<std::string, std::string>{{"long", "90 days"}, {"short", "6 days"}});
        Order order = taken(new_order(session, {.names = {"a.test"}, .profile = "short"}));
        REQUIRE(order.profile == "short");
        auto lifetime = [&](const char* profile) {
          CertificateChain chain = obtain(session, {.names = {"a.test"}, .profile = profile}, new_key());
          return std::chrono::round<std::chrono::days>(chain.not_after() - chain.not_before()).count();
        };
        REQUIRE(lifetime("short") == 6);
        REQUIRE(lifetime("long") == 90);
        Problem problem;
        REQUIRE_FALSE(new_order(session, {.names = {"a.test"}, .profile = "none"}, &problem));
        REQUIRE(problem.is("invalidProfile"));
      },
      kTwo);
}

TEST_CASE("a wish for other dates is granted", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    auto now = base::SystemClock().wall();
    NewOrder wanted{.names = {"a.test"}};
    wanted.not_before = base::format_rfc3339(now + 1h);
    wanted.not_after = base::format_rfc3339(now + 72h);
    CertificateChain chain = obtain(session, wanted, new_key());
    REQUIRE(base::format_rfc3339(chain.not_before()) == wanted.not_before);
    REQUIRE(base::format_rfc3339(chain.not_after()) == wanted.not_after);
  });
}

TEST_CASE("alternate chains are offered for the same leaf", "[acme]") {
  with_every_release(
      [](const Pebble& pebble) {
        Session session = open_session(pebble);
        use_new_account(session);
        Order order = taken(new_order(session, {.names = {"a.test"}}));
        for (auto& triggered : trigger_challenges(session, dns_challenges(session, order))) taken(triggered);
        order = poll(session, order, OrderStatus::Ready);
        order = taken(finalize_order(session, order, taken(make_csr(new_key(), {"a.test"}))));
        order = poll(session, order, OrderStatus::Valid);
        Download download = taken(fetch_certificate(session, order.certificate));
        REQUIRE(download.alternates.size() == 2);
        auto leaf = taken(CertificateChain::parse(download.pem, "x")).leaf_der();
        std::vector<std::string> chains = {download.pem};
        for (auto& alternate : fetch_certificates(session, download.alternates)) {
          chains.push_back(taken(alternate).pem);
          REQUIRE(taken(CertificateChain::parse(chains.back(), "x")).leaf_der() == leaf);
        }
        std::sort(chains.begin(), chains.end());
        REQUIRE(std::unique(chains.begin(), chains.end()) == chains.end());
      },
      kProfiles, {{"PEBBLE_ALTERNATE_ROOTS", "2"}});
}

TEST_CASE("a pending authorization is given up", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    Order order = taken(new_order(session, {.names = {"a.test", "b.test"}}));
    REQUIRE_FALSE(order.expires.empty());
    deactivate_authorizations(session, order.authorizations);
    for (const Authorization& authorization : taken(fetch_authorizations(session, order.authorizations))) {
      REQUIRE(authorization.status == AuthorizationStatus::Deactivated);
      REQUIRE_FALSE(authorization.expires.empty());
    }
    REQUIRE(taken(fetch_order(session, order.url)).status == OrderStatus::Invalid);
  });
}

TEST_CASE("where the CA offers the experimental challenges, they have what their records need", "[acme]") {
  with_every_release([](const Pebble& pebble) {
    Session session = open_session(pebble);
    use_new_account(session);
    Order order = taken(new_order(session, {.names = {"a.test"}}));
    Authorization authorization = taken(fetch_authorizations(session, order.authorizations)).front();
    REQUIRE(authorization.find("dns-01") != nullptr);
    if (const Challenge* account = authorization.find("dns-account-01"); account != nullptr)
      REQUIRE(key_authorization(account->token, "t"));
    const Challenge* persist = authorization.find("dns-persist-01");
    if (persist == nullptr) return;
    REQUIRE(persist->token.empty());
    std::string uri = persist_account_uri(session.directory(), *persist, "a.test", "t", session.account_url());
    std::string value = taken(persist_value({taken(persist_issuer(*persist)), uri, false, std::nullopt}));
    REQUIRE(value.find("; accounturi=" + session.account_url()) != std::string::npos);
  });
}
